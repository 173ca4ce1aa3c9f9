#!/usr/bin/env python
"""Lightning's loop against a bare loop over the same loader, module and optimizer: epoch by epoch, in turns.

python benchmarks/loop.py --width 64 --batch_size 64 --limit_train_batches 4
"""

import statistics
import tempfile
import time
from unittest import mock

import measure


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--dataset", default="digits")
    flags.add_argument("--width", type=int, default=16)
    flags.add_argument("--image_size", type=int, default=32)
    flags.add_argument("--batch_size", type=int, default=64)
    flags.add_argument("--limit_train_batches", type=int, default=20)
    flags.add_argument("--epochs", type=int, default=6)
    flags.add_argument("--precision", default="32")
    args = measure.start(flags, words)
    import torch

    from main_discover_inter_intra import Discoverer
    from utils import cli, experiment
    from utils.cli.flags import as_words

    class Timed(Discoverer):
        """Times its own epochs, and after each the same number of steps in a bare loop."""

        lightning: list[float] = []
        bare: list[float] = []

        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            measure.wait(args.device)
            self.begun = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            measure.wait(args.device)
            self.lightning.append(time.perf_counter() - self.begun)
            super().on_train_epoch_end()
            begun = time.perf_counter()
            self.bare_epoch(self.optimizers(use_pl_optimizer=False))
            measure.wait(args.device)
            self.bare.append(time.perf_counter() - begun)

        def bare_epoch(self, optimizer) -> None:
            dtype = {"bf16": torch.bfloat16, "16": torch.float16}.get(args.precision, torch.float32)
            loader = self.trainer.train_dataloader
            with mock.patch.object(loader, "start", return_value=0):  # it would go on where the epoch has ended
                for step, batch in zip(range(self.trainer.num_training_batches), loader, strict=False):
                    optimizer.zero_grad()
                    with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
                        loss = self.training_step(batch, step)
                    loss.backward()
                    optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        given = ("dataset", "image_size", "width", "batch_size", "limit_train_batches", "precision")
        settings = {name: getattr(args, name) for name in given} | {"max_epochs": args.epochs + 1}
        settings |= {"check_val_every_n_epoch": 1000, "log_dir": folder, "wandb": False}
        settings |= {"num_labeled_classes": 5, "num_unlabeled_classes": 5, "hidden_dim": 256, "proj_dim": 64}
        words = as_words(settings | {"gpus": 1 if args.device == "cuda" else 0})
        trainer = experiment.discover(Timed, cli.parse("discover", words, factors=Discoverer.factors))
    # The first epoch warms up; the ratio is of neighbours in time.
    ratios = [ours / bare for ours, bare in zip(Timed.lightning[1:], Timed.bare[1:], strict=True)]
    steps = trainer.num_training_batches
    row = {
        "loop": f"{steps} steps an epoch",
        "Lightning, ms/step": 1e3 * statistics.median(Timed.lightning[1:]) / steps,
        "bare, ms/step": 1e3 * statistics.median(Timed.bare[1:]) / steps,
        "Lightning / bare": statistics.median(ratios),
    }
    measure.report(args, f"Loop, batch {args.batch_size}, width {args.width}", rows=[row])
    return {"rows": [row]}


if __name__ == "__main__":
    main()
