"""A discovery checkpoint, its data, and what it says about them."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import torch_files
from utils.data import get_datamodule
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.features.datamodule import FeatureDataModule
from utils.devices import torch_device
from utils.errors import UserError, first_line, listed
from utils.inference.extraction import serve_features
from utils.methods.discoverer import Discoverer
from utils.methods.gcd_discoverer import GCDDiscoverer
from utils.methods.named import discoverer_class
from utils.report.reproduce import stage_of
from utils.targets import Own, require_folder, require_target

if TYPE_CHECKING:
    from utils.report.collect import Collection


def load_discoverer(path: str) -> Discoverer | GCDDiscoverer:
    """The module of a discovery checkpoint, whatever main wrote it.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    checkpoint = torch_files.load_torch(path)
    settings = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(settings, dict) or not {"num_heads", "sup_weight"} & settings.keys():
        raise UserError(f"{path} is not a checkpoint of a discovery run (such as logs/<run>/last.ckpt)")
    try:
        found = GCDDiscoverer if stage_of(settings) == "gcd" else discoverer_class(settings.get("baseline"))
        return found.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint of this version's discovery ({first_line(error)})") from error


def datamodule_of(module: Discoverer | GCDDiscoverer, args: argparse.Namespace) -> NCDDataModule:
    """The data of a checkpoint, from where the flags say, set up, with the features of a frozen backbone.

    Raises:
        UserError: for everything about the data, and when their labelled classes are not the checkpoint's.
    """
    settings = argparse.Namespace(**module.hparams)
    for name in ("data_dir", "download", "num_workers", "eval_batch_size", "feature_cache"):
        if getattr(args, name) is not None:
            setattr(settings, name, getattr(args, name))
    datamodule: NCDDataModule = get_datamodule(settings, "discover")  # type: ignore[assignment]
    rank_zero_only(datamodule.prepare_data)()
    datamodule.setup("validate")
    theirs, ours = module.hparams.get("class_names"), list(datamodule.split.labeled_names)
    if theirs and list(theirs) != ours:
        raise UserError(
            f"--checkpoint {args.checkpoint} was trained on the labelled classes {listed(theirs)}; those of "
            f"{datamodule.origin} are {listed(ours)}: give --data_dir with the checkpoint's own dataset"
        )
    if isinstance(datamodule, FeatureDataModule):
        settings.precision = getattr(args, "precision", "32")
        serve_features(datamodule, module.model.encoder, vars(settings), torch_device(args.gpus), training=False)
    return datamodule


def collected(args: argparse.Namespace) -> "Collection":
    """The predictions of a checkpoint on its own dataset, for the scripts that draw one figure.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint, or its data are not there.
    """
    from utils.report.collect import collect

    require_folder("out", figures_folder(args))
    device, module = torch_device(args.gpus), load_discoverer(args.checkpoint)
    return collect(module, datamodule_of(module, args), device)


def require_figures(args: argparse.Namespace, files: Mapping[str, Own]) -> None:
    """Refuse, before the work, files of the folder of figures that are no older ones of this program.

    Args:
        files: name -> what may be overwritten.

    Raises:
        UserError: naming the file.
    """
    folder = figures_folder(args)
    for name, own in files.items():
        require_target("out", folder / name, own, force=None)


def figures_folder(args: argparse.Namespace) -> Path:
    """``--out``, else ``figures/`` beside the checkpoint."""
    return Path(args.out) if args.out else Path(args.checkpoint).parent / "figures"
