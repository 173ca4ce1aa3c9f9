"""Logger, callbacks, Trainer and fit: the only place where a Trainer is built."""

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import callbacks, cli, files
from utils.batch_norm import ViewSyncBatchNorm
from utils.data import get_datamodule
from utils.discoverer import Discoverer
from utils.errors import UserError
from utils.flags import AUTO
from utils.loggers import CSVLogger, wandb_logger
from utils.pretrainer import Pretrainer

if TYPE_CHECKING:
    from utils.data.datamodules import NCDDataModule
    from utils.report.collect import Collection

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its tips and its list of devices that are not there
# The last one asks for a reduction, but what is logged is reduced already.
for _message in ("smaller than the logging interval", "LeafSpec", "sync_dist=True"):
    warnings.filterwarnings("ignore", message=f".*{_message}", module="pytorch_lightning")


def pretrain(args: argparse.Namespace) -> pl.Trainer:
    """Supervised pretraining on the labelled classes; leaves ``<checkpoint_dir>/<run name>.cp``."""
    target = Path(args.checkpoint_dir) / f"{cli.run_name(args, 'pretrain')}.cp"
    return _fit(Pretrainer, args, "pretrain", [callbacks.SavePretrained(target)])


def discover(discoverer: type[Discoverer], args: argparse.Namespace) -> pl.Trainer:
    """Discovery of the novel classes with the given objective; ends with a report unless ``--no-report``."""
    trainer = _fit(discoverer, args, "discover", [])
    if args.report and trainer.is_global_zero and not args.fast_dev_run:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        report(trainer, metrics, _folder(args, "discover"))
    return trainer


def report(trainer: pl.Trainer, metrics: dict[str, float], folder: Path) -> None:
    """``report.html`` and ``figures/`` of a trainer's discovery module, in a folder; on its device, in one process."""
    from utils.report.collect import collect
    from utils.report.discovery import write_report

    found = collect(trainer.lightning_module, trainer.datamodule, trainer.strategy.root_device)  # type: ignore[attr-defined]
    page = write_report(found, metrics, folder, folder / "metrics.csv")
    print(f"report    {page}", flush=True)


def _folder(args: argparse.Namespace, stage: str) -> Path:
    return Path(args.log_dir) / (args.run_name or cli.run_name(args, stage))


def _fit(
    module_class: type[pl.LightningModule], args: argparse.Namespace, stage: str, extra: list[pl.Callback]
) -> pl.Trainer:
    started = time.monotonic()
    require_devices(args)
    folder = _folder(args, stage)
    resume = resume_path(args.resume_from_checkpoint, folder)
    pl.seed_everything(args.seed, verbose=False)

    if args.num_unlabeled_classes == AUTO:
        _settle_number(args, stage)
    datamodule = get_datamodule(args, stage)
    rank_zero_only(datamodule.prepare_data)()
    datamodule.setup("fit")  # before the model: a problem with the data is told at once
    args.image_size = datamodule.spec.image_size
    args.class_names = list(datamodule.split.labeled_names)
    module = module_class(**vars(args))
    if args.compile:
        module.model.encoder.compile()  # type: ignore[union-attr, operator]
    _make_folder(folder, keep_log=resume is not None)
    settings = cli.trainer_arguments(args) | {"enable_progress_bar": False}  # callbacks.Progress is ours
    plugins: list = [files.AtomicCheckpointIO()]
    if settings.pop("sync_batchnorm"):
        plugins.append(ViewSyncBatchNorm())
    loggers = [CSVLogger(folder, resume=resume is not None), *wandb_logger(args, folder)]
    trainer = pl.Trainer(
        **settings,
        logger=loggers,
        plugins=plugins,
        callbacks=[
            callbacks.StartScreen(folder),
            callbacks.Progress(folder / "log.txt", enabled=args.enable_progress_bar),
            callbacks.LastCheckpoint(folder / "last.ckpt", minutes=args.checkpoint_minutes),
            *extra,
            callbacks.RunFiles(folder, started),
        ],
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return trainer


def _settle_number(args: argparse.Namespace, stage: str) -> None:
    """``--num_unlabeled_classes auto`` as a number; pretraining does not look at it.

    Raises:
        UserError: for discovery without ``--pretrained``, whose features are needed.
    """
    args.num_unlabeled_estimated = True
    args.num_unlabeled_classes = 1
    if stage == "discover":
        if args.pretrained is None:
            raise UserError("--num_unlabeled_classes auto needs --pretrained, whose features are clustered")
        from utils.features import PretrainedFeatures

        features = PretrainedFeatures(args, args.pretrained, torch_device(args))
        found = features.estimate(args.estimator, args.max_unlabeled_classes, args.seed)
        args.num_unlabeled_classes = found.number
        text = (
            f"novel     {found.number} classes estimated ({args.estimator}; {found.low} to {found.high} nearly as good)"
        )
        rank_zero_only(print)(text)


@rank_zero_only
def _make_folder(folder: Path, keep_log: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not keep_log:
        (folder / "log.txt").unlink(missing_ok=True)


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Metrics of a discovery checkpoint, recomputed from it alone.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    require_devices(args)
    module = load_discoverer(args.checkpoint)
    pl.seed_everything(module.hparams["seed"], verbose=False)
    trainer = pl.Trainer(
        **cli.trainer_arguments(args),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    datamodule = _datamodule_of(module, args)
    metrics = {key: float(value) for key, value in trainer.validate(module, datamodule, verbose=False)[0].items()}
    if args.baselines:
        from utils.baselines import kmeans_baselines

        metrics |= kmeans_baselines(datamodule, args.pretrained or module.pretrained_path, module.hparams)
    if args.report:
        report(trainer, metrics, Path(args.checkpoint).parent)
    return metrics


def collected(args: argparse.Namespace) -> "Collection":
    """The predictions of a checkpoint on its own dataset, for the scripts that draw one figure.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint, or its data are not there.
    """
    from utils.report.collect import collect

    device, module = torch_device(args), load_discoverer(args.checkpoint)
    datamodule = _datamodule_of(module, args)
    datamodule.setup("fit")
    return collect(module, datamodule, device)


def _datamodule_of(module: Discoverer, args: argparse.Namespace) -> "NCDDataModule":
    """The data of a checkpoint, from where the flags say."""
    settings = argparse.Namespace(**module.hparams)
    for name in ("data_dir", "download", "num_workers", "eval_batch_size"):
        if getattr(args, name) is not None:
            setattr(settings, name, getattr(args, name))
    return get_datamodule(settings, "discover")


def load_discoverer(path: str) -> Discoverer:
    """The module of a discovery checkpoint, whatever main wrote it.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    checkpoint = files.load_torch(path)
    if not isinstance(checkpoint, dict) or "num_heads" not in checkpoint.get("hyper_parameters", {}):
        raise UserError(f"{path} is not a checkpoint of a discovery run (such as logs/<run>/last.ckpt)")
    return Discoverer.load_from_checkpoint(path, map_location="cpu", weights_only=True)


def require_devices(args: argparse.Namespace) -> None:
    """Refuse GPUs that are asked for and not there.

    Raises:
        UserError: saying how many there are.
    """
    settings = cli.trainer_arguments(args)
    if settings["accelerator"] != "gpu":
        return
    devices, there = settings["devices"], torch.cuda.device_count()
    needed = max(devices) + 1 if isinstance(devices, list) else max(devices, 1)
    if needed > there:
        raise UserError(f"--gpus {args.gpus} but this machine has {there} GPUs; leave --gpus away to use the CPU")


def torch_device(args: argparse.Namespace) -> torch.device:
    """The one device that ``--gpus`` means where no Trainer is needed.

    Raises:
        UserError: for GPUs that are not there.
    """
    require_devices(args)
    settings = cli.trainer_arguments(args)
    if settings["accelerator"] == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", settings["devices"][0] if isinstance(settings["devices"], list) else 0)


def resume_path(value: str | None, folder: Path) -> str | None:
    """The checkpoint to go on from: a path, or with ``auto`` this run's last one if there is any.

    Raises:
        UserError: when a path is given and not there.
    """
    if value is None:
        return None
    path = folder / "last.ckpt" if value == "auto" else Path(value)
    if not path.is_file():
        if value == "auto":
            return None
        raise UserError(f"--resume_from_checkpoint {value}: there is no such file")
    return str(path)
