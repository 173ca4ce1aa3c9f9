#!/usr/bin/env python
"""Make a workspace on W&B with the panels that discovery is judged by; runs that differ in their seed are one band.

    python scripts/wandb/workspace.py --entity my-team
    python scripts/wandb/workspace.py --entity my-team --out workspace.json

The first needs a login and prints where the workspace is; the second writes it as JSON and sends nothing. Needs
requirements-wandb.txt.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils import cli
from utils.errors import UserError, first_line
from utils.targets import object_with, require_target

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

NOVEL = {"train": "novel training images", "test": "novel test images"}
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {  # section -> title of a panel -> logged keys
    "Accuracy on novel classes": {
        f"{shown}: {head}": (f"unlab/{part}/acc/{kind}",)
        for part, shown in NOVEL.items()
        for kind, head in {"best": "best head", "avg": "mean over heads"}.items()
    },
    "Losses": {
        "loss": ("loss",),
        "swapped prediction": ("loss_cluster",),
        "swapped prediction, over-clustering": ("loss_overcluster",),
        "supervised": ("loss_supervised",),
        "contrastive": ("loss_instance", "loss_feature"),
    },
    "Constraints": {
        "inter-class": ("inter_loss",),
        "intra-class": ("intra_loss",),
        "squared error between views": ("mse_loss",),
    },
    "Incremental and joint": {
        **{f"incremental: {shown}": (f"incremental/unlab/{part}/acc/best",) for part, shown in NOVEL.items()},
        "incremental: known test images": ("incremental/lab/test/acc",),
        "joint: all test images": ("joint/all",),
    },
    "Known classes": {"known test images": ("lab/test/acc",), "pretraining": ("val/acc",)},
    "NMI and ARI": {
        f"{shown}: {name.upper()}": (f"unlab/{part}/{name}/best",)
        for part, shown in NOVEL.items()
        for name in ("nmi", "ari")
    },
    "Generalized discovery": {
        f"unlabelled training images: {which}": (f"unlab/train/acc/{which}",) for which in ("all", "old", "new")
    },
    "Contrastive disentangling": {"k-means on backbone and features": ("backbone/acc", "feature/acc")},
    "Training": {"learning rate": ("lr",), "images/s": ("images_per_second",)},
}
PICTURES = ("confusion", "curves")
COLUMNS = ("unlab/train/acc/best", "unlab/test/acc/best", "lab/test/acc", "incremental/unlab/test/acc/best")
OWN = object_with("workspace", "entity", "project", "displayName", "spec")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", required=True, help="user or team on W&B")
    parser.add_argument("--project", default="IIC", help="project on W&B [IIC]")
    parser.add_argument("--name", default="Novel class discovery", help="of the workspace [Novel class discovery]")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the workspace there and send nothing")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def workspace(entity: str, project: str, name: str) -> "Workspace":
    """The workspace, not yet saved.

    Raises:
        UserError: where ``wandb-workspaces`` is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError:
        raise UserError("wandb-workspaces is not installed: pip install -r requirements-wandb.txt") from None

    def line(title: str, keys: tuple[str, ...]) -> wr.LinePlot:
        # with runs in groups: the mean over seeds, in a band of one standard deviation
        band = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return wr.LinePlot(title=title, x="epoch", y=list(keys), **band)

    sections = [
        ws.Section(section, panels=[line(title, keys) for title, keys in panels.items()], is_open=True)
        for section, panels in SECTIONS.items()
    ]
    pictures = [wr.MediaBrowser(title=key, media_keys=[key]) for key in PICTURES]
    sections.append(ws.Section("Confusion matrix and curves", panels=pictures, is_open=True))
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=20),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Metric("Group")], pinned_columns=[f"summary:{key}" for key in COLUMNS]
        ),
    )


def main(args: argparse.Namespace) -> None:
    """Write the workspace to a file, or to W&B."""
    if args.out:
        require_target("out", args.out, OWN, force=None)
    made = workspace(args.entity, args.project, args.name)
    if args.out:
        from utils.files import write_text

        write_text(args.out, made._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n")
        print(f"workspace {args.out}")
        return
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError("no login to W&B on this machine: wandb login, or give --out FILE.json")
    try:
        made.save()
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(f"W&B did not take the workspace: {first_line(error)}") from error
    print(f"workspace {made.url}")


if __name__ == "__main__":
    cli.run(main, parse)
