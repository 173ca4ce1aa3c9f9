"""Data, method, logger, callbacks, Trainer and fit: the only place where a training Trainer is built."""

import argparse
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, SimpleProfiler
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import cli
from utils.cli.flag_types import AUTO, DISCOVERING, NCD_DATA
from utils.cli.settings import remarks
from utils.data import get_datamodule
from utils.data.dead_workers import told_of_dead_workers
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.features.datamodule import FeatureDataModule
from utils.devices import count_processes, require_devices, require_launcher, torch_device
from utils.distributed import say, take_rank
from utils.errors import UserError
from utils.files import remove_unfinished
from utils.inference.evaluate_checkpoint import write_discovery_report
from utils.inference.extraction import serve_features
from utils.methods.discoverer import Discoverer
from utils.methods.disentangler import Disentangler
from utils.methods.gcd_discoverer import GCDDiscoverer
from utils.methods.pretrainer import Pretrainer
from utils.nets.backbone import backbone_data
from utils.nets.batch_norm import ViewSyncBatchNorm
from utils.targets import require_folder, require_space, require_target
from utils.training import callbacks, resuming
from utils.training.checkpoint_io import AtomicCheckpointIO
from utils.training.contrastive_files import ModelFiles, Pictures
from utils.training.failure_propagation import FailTogether
from utils.training.freed_memory import keep_freed_memory
from utils.training.last_checkpoint import LastCheckpoint
from utils.training.lightning_messages import silence_lightning
from utils.training.loggers import CSVLogger, wandb_logger
from utils.training.nonfinite import NonFinite
from utils.training.signals import Interruptions, heeding_signals
from utils.training.throughput import Throughput


def pretrain(args: argparse.Namespace, pretrainer: type[Pretrainer] = Pretrainer) -> pl.Trainer:
    """Pretraining, supervised on the labelled classes by default; leaves ``<checkpoint_dir>/<run name>.cp``."""
    args.baseline = pretrainer.method.name if pretrainer.method else None
    stage = args.baseline or "pretrain"
    target = Path(args.checkpoint_dir) / f"{cli.run_name(args, stage)}.cp"
    require_target("checkpoint_dir", target)
    return _fit(pretrainer, args, stage, [callbacks.SavePretrained(target)])


def discover(discoverer: type[Discoverer], args: argparse.Namespace) -> pl.Trainer:
    """Discovery of the novel classes with the given objective; ends with a report unless ``--no-report``."""
    args.baseline = discoverer.method.name if discoverer.method else None
    return _discover(discoverer, args, "discover")


def _discover(module_class: type[pl.LightningModule], args: argparse.Namespace, stage: str) -> pl.Trainer:
    trainer = _fit(module_class, args, stage, [])
    if args.report and trainer.is_global_zero and not args.fast_dev_run:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        write_discovery_report(trainer, metrics, run_folder(args, stage))
    return trainer


def discover_generalized(args: argparse.Namespace) -> pl.Trainer:
    """SimGCD where the unlabelled images are of known and novel classes; ends with a report unless ``--no-report``."""
    return _discover(GCDDiscoverer, args, "gcd")


def disentangle(args: argparse.Namespace) -> pl.Trainer:
    """Contrastive disentangling or SimCLR; leaves models and records in ``<model_dir>``."""
    models, name = Path(args.model_dir), cli.file_name(args.dataset)
    run = f"{args.method}_{args.feature_num}_seed{args.seed}"
    model_files = ModelFiles(
        folder=models / name,
        best=models / "finished" / f"{name}_{run}.pth",
        records=models / name / f"records_{run}.csv",
        every=args.record_every,
        save_model=args.save_model,
    )
    if args.lime is not None and args.method == "simclr":
        raise UserError("--lime explains features, and --method simclr has none")
    require_folder("model_dir", models)
    pictures = Pictures(run_folder(args, "disentangle"), args.record_every, args.tsne, args.lime)
    return _fit(Disentangler, args, "disentangle", [model_files, pictures])


def run_folder(args: argparse.Namespace, stage: str) -> Path:
    """The folder of a run's files."""
    return Path(args.log_dir) / (args.run_name or cli.run_name(args, stage))


def _fit(
    module_class: type[pl.LightningModule], args: argparse.Namespace, stage: str, extra: list[pl.Callback]
) -> pl.Trainer:
    started = time.monotonic()
    silence_lightning()
    require_devices(args.gpus, args.num_processes)
    processes = count_processes(args.gpus, args.num_processes, args.num_nodes)
    require_launcher(args.num_nodes, processes)
    take_rank(args.num_nodes, processes)
    for remark in remarks(vars(args)):
        say(f"warning: {remark}")
    folder = run_folder(args, stage)
    require_folder("log_dir", folder)
    resuming.require_checkpoint(args.resume_from_checkpoint)
    pl.seed_everything(args.seed, verbose=False)

    if getattr(args, "num_unlabeled_classes", None) == AUTO:
        _settle_number(args, stage)
    if stage in NCD_DATA and args.backbone:
        args.backbone_data = asdict(backbone_data(args.backbone, args.backbone_size))
    mode = "discover" if stage in DISCOVERING else getattr(module_class, "images", stage)
    datamodule = get_datamodule(args, mode)
    rank_zero_only(datamodule.prepare_data)()
    datamodule.setup("fit")  # before the model: a problem with the data is told at once
    args.images = datamodule.contents
    args.image_size = datamodule.spec.image_size
    if isinstance(datamodule, NCDDataModule):
        args.image_size = datamodule.image_size
        args.class_names = list(datamodule.split.labeled_names)
    module = module_class(**vars(args))
    if not args.fast_dev_run:
        weights = sum(value.numel() * value.element_size() for value in module.state_dict().values())
        require_space(folder, 2 * weights)  # with the momentum
    if isinstance(datamodule, FeatureDataModule):
        encoder: Any = module.model.encoder  # type: ignore[union-attr]
        serve_features(datamodule, encoder, vars(args), torch_device(args.gpus))
    _require_batches(args, datamodule)
    if args.compile:
        compile_step(module)
    with resuming.own_folder(folder), Interruptions().installed() as interruptions:
        resume = resuming.find_checkpoint(args.resume_from_checkpoint, folder, vars(args))
        rank_zero_only(remove_unfinished)(folder)
        labels = cli.run_labels(args, stage)
        trainer = _trainer(args, folder, extra, started, resume, interruptions, labels)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        with told_of_dead_workers():
            trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    if not args.fast_dev_run and not callbacks.has_trained(trainer):
        raise UserError(
            f"nothing was trained: not one step of an epoch was made with --limit_train_batches "
            f"{args.limit_train_batches}; nothing was written"
        )
    return trainer


def _require_batches(args: argparse.Namespace, datamodule: pl.LightningDataModule) -> None:
    """Refuse shares of the batches that are less than one.

    Raises:
        UserError: saying how many batches there are.
    """
    processes = count_processes(args.gpus, args.num_processes, args.num_nodes)
    counts = {
        "limit_train_batches": lambda: [len(datamodule.train_dataloader()) // processes],
        "limit_val_batches": lambda: [-(-len(loader) // processes) for loader in datamodule.val_dataloader()],
    }
    for name, count in counts.items():
        share = getattr(args, name, 1.0)
        if isinstance(share, float) and 0 < share < 1:
            fewest = min(filter(None, count()), default=1)
            if int(fewest * share) < 1:
                raise UserError(
                    f"--{name} {share} of {fewest} batches is less than one; give a number of batches, such as 1, "
                    "or a larger share"
                )


def _trainer(
    args: argparse.Namespace,
    folder: Path,
    extra: list[pl.Callback],
    started: float,
    resume: str | None,
    interruptions: Interruptions,
    labels: cli.RunLabels,
) -> pl.Trainer:
    settings = cli.trainer_arguments(args) | {"enable_progress_bar": False}  # callbacks.Progress is ours
    if settings["profiler"]:  # to a file: what Lightning prints by itself is silenced above
        profilers = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}
        settings["profiler"] = profilers[settings["profiler"]](dirpath=folder, filename="profile")
    plugins: list = [AtomicCheckpointIO()]
    if settings.pop("sync_batchnorm"):
        plugins.append(ViewSyncBatchNorm())
    loggers: list[Logger] = [CSVLogger(folder, resume=resume is not None)]
    wanted = getattr(args, "wandb", getattr(args, "use_wandb", False))  # the two families of mains name it differently
    if wanted and not args.fast_dev_run:
        loggers += wandb_logger(folder, args.project, args.entity, args.offline, resume is not None, labels)
    trainer = pl.Trainer(
        **settings,
        logger=loggers,
        plugins=plugins,
        callbacks=[
            callbacks.StartScreen(folder, resume),
            NonFinite(folder, args.on_nonfinite),
            callbacks.Progress(folder / "log.txt", enabled=args.enable_progress_bar),
            Throughput(args.batch_size),
            *extra,  # before the checkpoint, which holds their state
            LastCheckpoint(
                folder / resuming.LAST, args.checkpoint_minutes, interruptions, getattr(args, "save_checkpoint", True)
            ),
            FailTogether(),
            callbacks.RunFiles(folder, started),
        ],
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # A signal is handled between two steps; Lightning's handlers send messages from wherever one arrives.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    strategy = trainer.strategy
    if args.num_nodes > 1 and isinstance(strategy, DDPStrategy):
        meet = partial(heeding_signals, strategy.setup_distributed, strategy.root_device)
        strategy.setup_distributed = meet  # type: ignore[method-assign]
    return trainer


def compile_step(module: pl.LightningModule, backend: str = "inductor") -> None:
    """Compile the network, and the objective where it is a method ``compute_losses``; their values stay the same."""
    module.model.compile(backend=backend)  # type: ignore[union-attr, operator]
    if hasattr(module, "compute_losses"):
        module.compute_losses = torch.compile(module.compute_losses, backend=backend)  # type: ignore[assignment, arg-type]


def _settle_number(args: argparse.Namespace, stage: str) -> None:
    """``--num_unlabeled_classes auto`` as a number; pretraining does not look at it.

    Raises:
        UserError: for discovery without ``--estimate_from`` and ``--pretrained``: features are needed.
    """
    args.num_unlabeled_estimated = True
    args.num_unlabeled_classes = 1
    if stage in DISCOVERING:
        weights = args.estimate_from or args.pretrained
        if weights is None and args.backbone is None:
            raise UserError(
                "--num_unlabeled_classes auto needs --pretrained, --estimate_from or --backbone: it clusters features"
            )
        from utils.inference.features import PretrainedFeatures

        features = PretrainedFeatures(args, weights, torch_device(args.gpus))
        found = features.estimate(args.estimator, args.max_unlabeled_classes, args.seed)
        args.num_unlabeled_classes = found.number
        say(f"novel     {found.number} classes estimated ({args.estimator}; {found.certainty})")
