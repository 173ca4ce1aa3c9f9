"""The table of flags: name, default and help, once for all mains. Names and defaults are the published ones.

A flag belongs to the stages named in its row: ``pretrain``, ``discover``, ``evaluate``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Flag:
    """One command-line flag.

    Args:
        name: without dashes.
        default: one value, or a value for each stage.
        help: one line.
        kind: converts the text; ``bool`` makes a pair ``--name`` / ``--no-name``.
        stages: the mains that have it.
        check: (predicate, what the value has to be).
        extra: further arguments of ``add_argument``.
    """

    name: str
    default: Any
    help: str
    kind: Callable[[str], Any] = str
    stages: tuple[str, ...] = ("pretrain", "discover")
    check: tuple[Callable[[Any], bool], str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def default_for(self, stage: str) -> Any:
        """The default of a stage."""
        return self.default[stage] if isinstance(self.default, Mapping) else self.default


def share_or_count(text: str) -> int | float:
    """``0.25`` is a share, ``20`` a number of batches, as in Lightning."""
    return float(text) if "." in text else int(text)


POSITIVE = (lambda value: value > 0, "above 0")
AT_LEAST_ONE = (lambda value: value >= 1, "at least 1")
NOT_NEGATIVE = (lambda value: value >= 0, "at least 0")
ALL = ("pretrain", "discover", "evaluate")
DISCOVER = ("discover",)
PRECISIONS = {
    "16": "16-mixed",
    "bf16": "bf16-mixed",
    "32": "32-true",
    "64": "64-true",
    "16-mixed": "16-mixed",
    "bf16-mixed": "bf16-mixed",
    "32-true": "32-true",
    "64-true": "64-true",
}

GROUPS: dict[str, tuple[Flag, ...]] = {
    "data": (
        Flag("dataset", "CIFAR100", "CIFAR10, CIFAR100, ImageNet, digits, npz:<file> or folder"),
        Flag(
            "data_dir", {"pretrain": "data", "discover": "data", "evaluate": None}, "where the dataset is", stages=ALL
        ),
        Flag("download", False, "download CIFAR into --data_dir when it is not there", bool, ALL),
        Flag("num_labeled_classes", 80, "number L of labelled classes", int, check=AT_LEAST_ONE),
        Flag("num_unlabeled_classes", 20, "number U of novel classes", int, check=AT_LEAST_ONE),
        Flag("labeled_classes", None, "names of the labelled classes, comma-separated (default: the first L)"),
        Flag("imagenet_split", "A", "novel classes of ImageNet", extra={"choices": ["A", "B", "C"]}),
        Flag("image_size", None, "side of the large views in pixels (default: the dataset's)", int, check=AT_LEAST_ONE),
        Flag("batch_size", 256, "images in a batch, of each process", int, check=AT_LEAST_ONE),
        Flag("eval_batch_size", 512, "images in a batch of evaluation", int, ALL, check=AT_LEAST_ONE),
        Flag("num_workers", 10, "processes that decode images from disk (not used for arrays)", int, ALL, NOT_NEGATIVE),
    ),
    "views": (
        Flag("multicrop", False, "add small crops to the large ones", bool, DISCOVER),
        Flag("num_large_crops", 2, "large views of each image", int, check=AT_LEAST_ONE),
        Flag("num_small_crops", 2, "small views of each image, with --multicrop", int, DISCOVER, NOT_NEGATIVE),
    ),
    "model": (
        Flag("arch", "resnet18", "resnet18, resnet34, resnet50, resnet101 or resnet152"),
        Flag("width", 64, "channels of the ResNet's first stage", int, check=AT_LEAST_ONE),
        Flag("pretrained", None, "checkpoint whose encoder and labelled head are the start"),
        Flag("num_heads", 5, "number H of clustering heads", int, DISCOVER, AT_LEAST_ONE),
        Flag("hidden_dim", 2048, "hidden units of a head's projector", int, DISCOVER, AT_LEAST_ONE),
        Flag("proj_dim", 256, "dimension of the prototypes of novel classes", int, DISCOVER, AT_LEAST_ONE),
        Flag("num_hidden_layers", 1, "hidden layers of a head's projector", int, DISCOVER, NOT_NEGATIVE),
        Flag("overcluster_factor", 3, "over-clustering prototypes for each novel class", int, DISCOVER, AT_LEAST_ONE),
    ),
    "objective": (
        Flag("temperature", 0.1, "temperature of every softmax", float, check=POSITIVE),
        Flag("num_iters_sk", 3, "iterations of Sinkhorn-Knopp", int, DISCOVER, AT_LEAST_ONE),
        Flag("epsilon_sk", 0.05, "entropy of Sinkhorn-Knopp's assignments", float, DISCOVER, POSITIVE),
        Flag("global_sinkhorn", False, "assignments and constraints on the batch of all processes", bool, DISCOVER),
    ),
    "optimisation": (
        Flag("max_epochs", {"pretrain": 200, "discover": 500}, "epochs of training", int, check=AT_LEAST_ONE),
        Flag("base_lr", {"pretrain": 0.1, "discover": 0.4}, "learning rate after warm-up", float, check=POSITIVE),
        Flag("min_lr", 0.001, "learning rate at the start of warm-up and at the end", float, check=NOT_NEGATIVE),
        Flag("warmup_epochs", 10, "epochs of linear warm-up", int, check=NOT_NEGATIVE),
        Flag("momentum_opt", 0.9, "momentum of SGD", float, check=NOT_NEGATIVE),
        Flag("weight_decay_opt", {"pretrain": 1.0e-4, "discover": 1.5e-4}, "weight decay", float, check=NOT_NEGATIVE),
        Flag("seed", 0, "seed of weights, order and views", int, check=NOT_NEGATIVE),
    ),
    "logging": (
        Flag("log_dir", "logs", "folder of all runs"),
        Flag("run_name", None, "folder of this run in --log_dir (default: <stage>-<arch>-<dataset>-<comment>)"),
        Flag("comment", None, "end of the run's name (default: the time)"),
        Flag("checkpoint_dir", "checkpoints_iic", "folder for the pretrained weights", stages=("pretrain",)),
        Flag("wandb", True, "log to Weights & Biases, if it is installed", bool),
        Flag("project", "IIC", "project on W&B"),
        Flag("entity", None, "user or team on W&B"),
        Flag("offline", False, "keep W&B's files on this machine", bool),
    ),
    "hardware": (
        Flag(
            "gpus",
            None,
            "how many (-1: all) or which ('0,1'); default: one GPU if there is one, else the CPU",
            stages=ALL,
        ),
        Flag("num_processes", 1, "processes that train together on a CPU", int, check=AT_LEAST_ONE),
        Flag("num_nodes", 1, "machines that train together", int, check=AT_LEAST_ONE),
        Flag("distributed_backend", None, "strategy of several processes", extra={"choices": ["ddp"]}),
        Flag("sync_batchnorm", False, "BatchNorm statistics over all processes", bool),
        Flag("precision", "32", "16 (mixed), bf16 (mixed), 32 or 64", stages=ALL, extra={"choices": list(PRECISIONS)}),
        Flag("deterministic", False, "only deterministic algorithms", bool),
        Flag("compile", False, "compile network and losses with torch.compile", bool),
    ),
    "loop": (
        Flag("resume_from_checkpoint", None, "PATH of a checkpoint, or 'auto' for this run's last one"),
        Flag("checkpoint_minutes", 10.0, "longest time between two checkpoints of a run", float, check=NOT_NEGATIVE),
        Flag("on_nonfinite", "stop", "what to do with a loss that is not finite", extra={"choices": ["stop", "skip"]}),
        Flag("check_val_every_n_epoch", 1, "epochs between two evaluations", int, check=AT_LEAST_ONE),
        Flag("num_sanity_val_steps", 2, "evaluation batches before training, as a check", int),
        Flag("limit_train_batches", 1.0, "share (0.25) or number (20) of training batches", share_or_count),
        Flag("limit_val_batches", 1.0, "share or number of evaluation batches", share_or_count),
        Flag("accumulate_grad_batches", 1, "batches for each step", int, check=AT_LEAST_ONE),
        Flag(
            "fast_dev_run",
            False,
            "run N (1) batches of everything and stop",
            extra={"nargs": "?", "const": 1, "type": int},
        ),
        Flag("profiler", None, "profile the run", extra={"choices": ["simple", "advanced"]}),
        Flag("enable_progress_bar", True, "show progress", bool),
    ),
    "evaluation": (
        Flag("checkpoint", None, "a discovery run's last.ckpt", stages=("evaluate",), extra={"required": True}),
        Flag(
            "out", None, "file for the metrics (default: evaluation.json beside the checkpoint)", stages=("evaluate",)
        ),
        Flag("baselines", False, "also k-means on pixels and on the features of --pretrained", bool, ("evaluate",)),
        Flag("pretrained", None, "pretrained checkpoint for --baselines (default: the run's)", stages=("evaluate",)),
    ),
    "help": (
        Flag("print_config", False, "print the resolved settings as YAML and stop", bool, ALL),
        Flag("debug", False, "show the traceback of an error", bool, ALL),
    ),
}
