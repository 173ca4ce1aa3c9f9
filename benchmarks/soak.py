#!/usr/bin/env python
"""A long run in short: memory, open files and time per step over 2,000 steps of the quick start.

    python benchmarks/soak.py --steps 2000

Discovery of the digits with the flags that ``--dataset digits`` brings, in a folder that is removed afterwards. Prints
a line for each tenth of the run and the change from the second tenth to the last.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    """Train, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="training steps [2000]")
    args, flags = parser.parse_known_args()

    from main_discover_inter_intra import Discoverer
    from utils import cli, experiment
    from utils.cli.flags import as_words

    samples: list[tuple[int, float, int, float]] = []  # step, MiB, open files, seconds a step

    class Watched(Discoverer):
        """Samples between steps; the time is that of the training steps alone."""

        seconds = steps = 0

        def on_train_batch_start(self, batch, batch_idx):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, outputs, batch, batch_idx):
            self.seconds += time.perf_counter() - self.begun
            self.steps += 1
            if self.steps >= max(args.steps // 10, 1):
                samples.append(
                    (self.global_step, resident(), len(os.listdir("/proc/self/fd")), self.seconds / self.steps)
                )
                self.seconds = self.steps = 0
            if self.global_step >= args.steps:
                self.trainer.should_stop = True

    with tempfile.TemporaryDirectory() as folder:
        run = {"dataset": "digits", "wandb": False, "log_dir": folder, "run_name": "soak", "max_epochs": 100_000}
        words = [*as_words({**run, "checkpoint_minutes": 0.2, "check_val_every_n_epoch": 10}), *flags]
        experiment.discover(Watched, cli.parse("discover", words, factors=Watched.factors))
    print(f"\n{'steps':>6}  {'MiB':>7}  {'files':>5}  {'ms a step':>9}")
    for step, mib, handles, seconds in samples:
        print(f"{step:6}  {mib:7.1f}  {handles:5}  {1000 * seconds:9.1f}")
    first, last = samples[min(1, len(samples) - 1)], samples[-1]
    print(f"memory {100 * (last[1] / first[1] - 1):+.1f} %, files {last[2] - first[2]:+d}")


def resident() -> float:
    """Memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
