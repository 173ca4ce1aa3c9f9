"""List the methods of this folder with what the published table says of them: python -m baselines --list."""

import argparse

from utils import cli


def table() -> str:
    """A line for each method: its command, title, venue and published accuracies."""
    from utils.methods.named import baseline_module, baseline_names

    rows = [("run", "method", "venue", "CIFAR10", "CIFAR100-20", "CIFAR100-50", "ImageNet")]
    for name in baseline_names():
        method = baseline_module(name).METHOD
        values = ("–" if value is None else f"{value:.1f}" for value in method.published)
        rows.append((f"python -m baselines.{name}", method.title, method.venue, *values))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "accuracies (%) on novel training images, as published; each has --help"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m baselines", description=__doc__)
    parser.add_argument("--list", action="store_true", help="the table of methods (also without this flag)")
    cli.run(lambda _: print(table()), parser.parse_args)
