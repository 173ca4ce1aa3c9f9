#!/usr/bin/env python
"""t-SNE of the features of a discovery checkpoint, known and novel classes marked.

    python scripts/visualization.py --checkpoint logs/quickstart/last.ckpt --out figures

leaves features.pdf, .png and .csv (default: figures/ beside the checkpoint). Test images, or the unlabelled training
images by cluster where no class is known; normalised as in training.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Draw and save."""
    from utils.inference.discovery_checkpoint import collected, figures_folder, require_figures
    from utils.report.figures import features, features_files, save_drawings

    require_figures(args, features_files())
    save_drawings(features(collected(args)), figures_folder(args), args.checkpoint)


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("figures", doc=__doc__))
