#!/usr/bin/env python
"""Seconds until a main answers: --help, a wrong flag, --print_config, and the first training step.

python benchmarks/startup.py
"""

import subprocess
import sys
import tempfile

import measure


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--rounds", type=int, default=3)
    args = measure.start(flags, words)
    with tempfile.TemporaryDirectory() as folder:
        step = [
            "--dataset",
            "digits",
            "--num_labeled_classes",
            "5",
            "--num_unlabeled_classes",
            "5",
            "--max_epochs",
            "1",
        ]
        step += ["--limit_train_batches", "1", "--limit_val_batches", "0", "--log_dir", folder, "--no-wandb"]
        commands = {
            "--help": ["main_discover_inter_intra.py", "--help"],
            "a wrong flag": ["main_discover_inter_intra.py", "--num_haeds", "3"],
            "--print_config": ["main_discover_inter_intra.py", "--dataset", "digits", "--print_config"],
            "import torch and pytorch_lightning": ["-c", "import torch, pytorch_lightning"],
            "one step on digits, from start to end": ["main_discover_inter_intra.py", *step],
        }

        def runner(command):
            return lambda: subprocess.run(
                [sys.executable, *command], cwd=measure.ROOT, capture_output=True, check=False
            )

        seconds = measure.in_turns({name: runner(command) for name, command in commands.items()}, args.rounds)
    rows = [{"command": name, "seconds": value} for name, value in seconds.items()]
    measure.report(args, "Start-up", rows=rows)
    return {"rows": rows}


if __name__ == "__main__":
    main()
