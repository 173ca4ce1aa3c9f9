#!/usr/bin/env python
"""How the discovery step grows with batch size, heads and classes; nothing may grow faster than linearly.

python benchmarks/growth.py --json logs/benchmarks/growth.json --picture docs/images/growth.png
"""

import measure

BASE = {"batch": 64, "heads": 4, "classes": 20}
SWEEPS = {"batch": [32, 64, 128, 256, 512, 1024], "heads": [1, 2, 4, 8, 16], "classes": [10, 30, 100, 300, 1000]}


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--width", type=int, default=16, help="of the encoder")
    flags.add_argument("--hidden_dim", type=int, default=512)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--picture", default=None, metavar="FILE")
    args = measure.start(flags, words)
    measure.memory_as_in_a_run(args.device)
    tables = {}
    for name, values in SWEEPS.items():
        works = {str(value): step(args, BASE | {name: value}) for value in values}
        seconds = measure.in_turns(works, args.rounds, args.device)
        first = seconds[str(values[0])]
        tables[name] = [
            {
                name: value,
                "ms": 1e3 * seconds[str(value)],
                "times the first": seconds[str(value)] / first,
                "linear would be": value / values[0],
            }
            for value in values
        ]
    measure.report(args, f"Growth of the step (base {BASE}, width {args.width}, hidden {args.hidden_dim})", **tables)
    if args.picture:
        draw(tables, args.picture)
    return tables


def step(args, sizes):
    """A training step of these sizes, as a function without arguments."""
    import torch

    from main_discover_inter_intra import Discoverer

    torch.manual_seed(0)
    labeled = sizes["classes"] // 2
    module = Discoverer(
        dataset="npz:growth",
        image_size=16,
        num_labeled_classes=labeled,
        num_unlabeled_classes=sizes["classes"] - labeled,
        num_heads=sizes["heads"],
        hidden_dim=args.hidden_dim,
        width=args.width,
    ).to(args.device)
    module.train()
    views = [torch.randn(sizes["batch"], 3, 16, 16, device=args.device) for _ in range(2)]
    labels = torch.arange(sizes["batch"], device=args.device) % sizes["classes"]
    return measure.training_step(module, views, labels)


def draw(tables, path: str) -> None:
    """Time against each size, relative to the first, with the line of linear growth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(tables), figsize=(10, 3.2), constrained_layout=True)
    for axis, (name, rows) in zip(axes, tables.items(), strict=True):
        sizes = [row[name] for row in rows]
        axis.loglog(sizes, [row["linear would be"] for row in rows], "--", color="0.6", label="linear")
        axis.loglog(sizes, [row["times the first"] for row in rows], "o-", color="#0072B2", label="measured")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.set_xticks([], minor=True)
        axis.set_xlabel({"batch": "batch size", "heads": "heads", "classes": "classes, known and novel"}[name])
        axis.set_ylabel("time of a step / first")
        axis.grid(True, which="major", alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
