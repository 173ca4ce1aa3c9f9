#!/usr/bin/env python
"""Which classes a discovery checkpoint mixes up, and every judged image that it gets wrong.

    python scripts/compute_misclassification.py --checkpoint logs/quickstart/last.ckpt --out figures

prints the most confused pairs and leaves misclassified.csv, and the pairs with examples as confused-pairs.pdf and .csv
(default: figures/ beside the checkpoint). The best head, one Hungarian over all known and novel test images together.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Match, print, save."""
    from utils.errors import printable
    from utils.files import csv_text, write_text
    from utils.inference.discovery_checkpoint import collected, figures_folder, require_figures
    from utils.report.clusters import PAIR_SHEETS, misclassified, misclassified_files, pair_sheets, save_sheets

    require_figures(args, misclassified_files())
    found, folder = collected(args), figures_folder(args)
    total, rows = found.agnostic_table.sum(), misclassified(found)
    sheets = pair_sheets(found)
    write_text(folder / "misclassified.csv", csv_text(rows[0], rows[1:]))
    if sheets:
        save_sheets(sheets, folder, PAIR_SHEETS)
    print("\n".join(printable(sheet.title) for sheet in sheets))
    print(f"{len(rows) - 1:,} of {total:,} {found.judged_text} are wrong: {folder / 'misclassified.csv'}")


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("figures", doc=__doc__))
