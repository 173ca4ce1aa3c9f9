#!/usr/bin/env python
"""Confusion matrices of a discovery checkpoint: task-aware and task-agnostic, as rates and as counts.

    python scripts/draw_confusion_matrix.py --checkpoint logs/quickstart/last.ckpt --out figures

leaves confusion-*.pdf, .png and .csv (default: figures/ beside the checkpoint). The best head's clusters are matched
to the classes by one Hungarian over the whole set, not one for each batch.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Draw and save."""
    from utils.inference.discovery_checkpoint import collected, figures_folder, require_figures
    from utils.report.figures import confusion_files, confusions, save_drawings

    require_figures(args, confusion_files())
    save_drawings(confusions(collected(args)), figures_folder(args), args.checkpoint)


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("figures", doc=__doc__))
