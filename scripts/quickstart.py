#!/usr/bin/env python
"""The quick start: discover the digits 5 to 9 in unlabelled images, after seeing labels of 0 to 4 alone.

    python scripts/quickstart.py --seed 0

Runs main_pretrain.py, main_discover_inter_intra.py and main_evaluate.py --baselines in one process, with the flags
that ``--dataset digits`` brings, and ends with a table. Everything is in logs/quickstart/.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli


def parse() -> argparse.Namespace:
    """The command line; ``flags`` are those for the three mains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default="0", help="seed of weights, order and views [0]")
    parser.add_argument("--log_dir", default="logs", help="folder of all runs [logs]")
    parser.add_argument("--run_name", default="quickstart", help="folder of this run in --log_dir [quickstart]")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of torch; with one the numbers do not depend on how many cores there are [1]",
    )
    args, flags = parser.parse_known_args()
    return argparse.Namespace(**vars(args), flags=flags, debug="--debug" in flags)


def main(args: argparse.Namespace) -> None:
    """Pretrain, discover, evaluate, print the table."""
    started = time.monotonic()
    print("discover the digits 5 to 9 after seeing labels of 0 to 4 alone\n", flush=True)
    import torch

    from main_discover_inter_intra import Discoverer
    from utils import experiment, files
    from utils.inference.evaluate_checkpoint import evaluate
    from utils.report.tables import metrics_table

    torch.set_num_threads(args.threads)
    folder = Path(args.log_dir) / args.run_name
    common = ["--dataset", "digits", "--seed", args.seed, "--log_dir", args.log_dir, "--no-wandb", *args.flags]
    names = ["--comment", f"quickstart-seed{args.seed}", "--run_name", f"{args.run_name}/pretrain"]
    pretraining = cli.parse("pretrain", [*common, *names])
    experiment.pretrain(pretraining)
    pretrained = f"{pretraining.checkpoint_dir}/{cli.run_name(pretraining, 'pretrain')}.cp"
    print(flush=True)
    discovery = [*common, "--run_name", args.run_name, "--pretrained", pretrained]
    training = cli.parse("discover", discovery, factors=Discoverer.factors)
    experiment.discover(Discoverer, training)
    evaluation = cli.parse("evaluate", ["--checkpoint", str(folder / "last.ckpt"), "--baselines"])
    for name in ("gpus", "precision", "eval_batch_size"):
        setattr(evaluation, name, getattr(training, name))

    metrics = json.loads((folder / "metrics.json").read_text()) | evaluate(evaluation)
    metrics["seconds"] = round(time.monotonic() - started, 1)
    files.write_json(folder / "metrics.json", metrics)
    print(f"\n{metrics_table(metrics)}\n\n{metrics['seconds']:.0f} seconds; open {folder / 'report.html'} in a browser")


if __name__ == "__main__":
    cli.run(main, parse)
