"""Logger, callbacks, Trainer and fit: the only place where a Trainer is built."""

import argparse
import logging
import time
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import callbacks, cli, files, resuming
from utils.batch_norm import ViewSyncBatchNorm
from utils.data import get_datamodule
from utils.data.file_loaders import told_of_dead_workers
from utils.discoverer import Discoverer
from utils.errors import UserError
from utils.fail_together import FailTogether
from utils.interruptions import Interruptions
from utils.last_checkpoint import LastCheckpoint
from utils.loggers import CSVLogger, wandb_logger
from utils.nonfinite import NonFinite
from utils.pretrainer import Pretrainer

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its tips and its list of devices that are not there
# The last one asks for a reduction, but what is logged is reduced already.
for _message in ("smaller than the logging interval", "LeafSpec", "sync_dist=True", "is not resumable"):
    warnings.filterwarnings("ignore", message=f".*{_message}", module="pytorch_lightning")


def pretrain(args: argparse.Namespace) -> pl.Trainer:
    """Supervised pretraining on the labelled classes; leaves ``<checkpoint_dir>/<run name>.cp``."""
    target = Path(args.checkpoint_dir) / f"{cli.run_name(args, 'pretrain')}.cp"
    return _fit(Pretrainer, args, "pretrain", [callbacks.SavePretrained(target)])


def discover(discoverer: type[Discoverer], args: argparse.Namespace) -> pl.Trainer:
    """Discovery of the novel classes with the given objective."""
    return _fit(discoverer, args, "discover", [])


def _fit(
    module_class: type[pl.LightningModule], args: argparse.Namespace, stage: str, extra: list[pl.Callback]
) -> pl.Trainer:
    started = time.monotonic()
    require_devices(args)
    folder = Path(args.log_dir) / (args.run_name or cli.run_name(args, stage))
    require_checkpoint(args.resume_from_checkpoint)
    pl.seed_everything(args.seed, verbose=False)

    datamodule = get_datamodule(args, stage)
    rank_zero_only(datamodule.prepare_data)()
    datamodule.setup("fit")  # before the model: a problem with the data is told at once
    args.image_size = datamodule.spec.image_size
    module = module_class(**vars(args))
    if args.compile:
        compile_step(module)
    with resuming.own_folder(folder), Interruptions().installed() as interruptions:
        resume = resuming.find_checkpoint(args.resume_from_checkpoint, folder, vars(args))
        resuming.make_ready(folder, resumed=resume is not None)
        trainer = _trainer(args, folder, extra, started, resume is not None, interruptions)
        with told_of_dead_workers():
            trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return trainer


def _trainer(
    args: argparse.Namespace,
    folder: Path,
    extra: list[pl.Callback],
    started: float,
    resumed: bool,
    interruptions: Interruptions,
) -> pl.Trainer:
    settings = cli.trainer_arguments(args) | {"enable_progress_bar": False}  # callbacks.Progress is ours
    plugins: list = [files.AtomicCheckpointIO()]
    if settings.pop("sync_batchnorm"):
        plugins.append(ViewSyncBatchNorm())
    loggers = [CSVLogger(folder, resume=resumed), *wandb_logger(args, folder, resumed)]
    trainer = pl.Trainer(
        **settings,
        logger=loggers,
        plugins=plugins,
        callbacks=[
            callbacks.StartScreen(folder),
            NonFinite(folder, args.on_nonfinite),
            callbacks.Progress(folder / "log.txt", enabled=args.enable_progress_bar),
            LastCheckpoint(folder / resuming.LAST, args.checkpoint_minutes, interruptions),
            *extra,
            FailTogether(),
            callbacks.RunFiles(folder, started),
        ],
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # A signal is handled between two steps; Lightning's handlers send messages from wherever one arrives.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def compile_step(module: pl.LightningModule) -> None:
    """Compile the network, and the objective where it is a method ``compute_losses``; their values stay the same."""
    module.model.compile()  # type: ignore[union-attr, operator]
    if hasattr(module, "compute_losses"):
        module.compute_losses = torch.compile(module.compute_losses)  # type: ignore[assignment, arg-type]


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Metrics of a discovery checkpoint, recomputed from it alone.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    require_devices(args)
    module = load_discoverer(args.checkpoint)
    settings = argparse.Namespace(**module.hparams)
    for name in ("data_dir", "download", "num_workers", "eval_batch_size"):
        if getattr(args, name) is not None:
            setattr(settings, name, getattr(args, name))
    pl.seed_everything(settings.seed, verbose=False)
    trainer = pl.Trainer(
        **cli.trainer_arguments(args),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    datamodule = get_datamodule(settings, "discover")
    metrics = {key: float(value) for key, value in trainer.validate(module, datamodule, verbose=False)[0].items()}
    if args.baselines:
        from utils.baselines import kmeans_baselines

        metrics |= kmeans_baselines(datamodule, args.pretrained or module.pretrained_path, module.hparams)
    return metrics


def load_discoverer(path: str) -> Discoverer:
    """The module of a discovery checkpoint, whatever main wrote it.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    checkpoint = files.load_torch(path)
    settings = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(settings, dict) or "num_heads" not in settings:
        raise UserError(f"{path} is not a checkpoint of a discovery run (such as logs/<run>/last.ckpt)")
    try:
        return Discoverer.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a checkpoint of this version's discovery ({reason})") from error


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


def require_checkpoint(value: str | None) -> None:
    """Refuse a checkpoint to go on from that is not there, before any data are read.

    Raises:
        UserError: naming it.
    """
    if value not in (None, "auto") and not Path(str(value)).is_file():
        raise UserError(f"--resume_from_checkpoint {value}: there is no such file")
