#!/usr/bin/env python
"""Seconds until a main answers: --help, a wrong flag, --print_config, and the first training step.

python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile
from functools import partial

import measure

from utils.cli.flags import as_words


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--rounds", type=int, default=3)
    args = measure.start(flags, words)
    with tempfile.TemporaryDirectory() as folder:
        short = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0, "log_dir": folder, "wandb": False}
        step = as_words({"dataset": "digits", "num_labeled_classes": 5, "num_unlabeled_classes": 5, **short})
        commands = {  # and their exit codes
            "--help": (["main_discover_inter_intra.py", "--help"], 0),
            "a wrong flag": (["main_discover_inter_intra.py", "--num_haeds", "3"], 2),
            "--print_config": (["main_discover_inter_intra.py", "--dataset", "digits", "--print_config"], 0),
            "import torch and pytorch_lightning": (["-c", "import torch, pytorch_lightning"], 0),
            "one step on digits, from start to end": (["main_discover_inter_intra.py", *step], 0),
        }
        works = {name: partial(run, *command) for name, command in commands.items()}
        seconds = measure.in_turns(works, args.rounds)
    rows = [{"command": name, "seconds": value} for name, value in seconds.items()]
    measure.report(args, "Start-up", rows=rows)
    return {"rows": rows}


def run(words: list[str], code: int) -> None:
    """A command from its start to its end.

    Raises:
        RuntimeError: when it ends otherwise than it should: its time would be that of something else.
    """
    done = subprocess.run([sys.executable, *words], cwd=measure.ROOT, capture_output=True, text=True)
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}, not {code}: {done.stderr[-500:]}")


if __name__ == "__main__":
    main()
