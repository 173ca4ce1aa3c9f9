"""Flags that both families of mains have: each family's table names those rows in its own order."""

from utils.cli.flag_types import (
    ALL,
    AT_LEAST_ONE,
    AT_LEAST_TWO,
    AT_LEAST_ZERO,
    BATCHES,
    CD,
    LARGEST_SEED,
    NCD,
    NOT_NEGATIVE,
    RUNS,
    TRAIN,
    Flag,
    share_or_count,
)
from utils.devices import cores

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

DATA_DIR = Flag(
    "data_dir",
    {"evaluate": None, "figures": None, "others": "data"},
    "where the dataset is",
    stages=(*NCD, *CD),
)
BATCH_SIZE = Flag(
    "batch_size",
    {"disentangle": 128, "others": 256},
    "images in a batch, of each process",
    int,
    TRAIN,
    AT_LEAST_TWO,  # BatchNorm needs two
)
EVAL_BATCH_SIZE = Flag("eval_batch_size", 512, "images in a batch of evaluation", int, ALL, check=AT_LEAST_ONE)
NUM_WORKERS = Flag(
    "num_workers",
    {"predict": min(2, cores()), "others": min(10, cores())},  # of the published 10 those that can run
    "processes that decode images from disk (not used for arrays)",
    int,
    ALL,
    AT_LEAST_ZERO,
)
WIDTH = Flag("width", 64, "channels of the ResNet's first stage", int, RUNS, AT_LEAST_ONE)
SEED = Flag(
    "seed",
    {"disentangle": 42, "others": 0},
    "seed of weights, order and views",
    int,
    RUNS,
    (lambda value: 0 <= value <= LARGEST_SEED, f"from 0 to {LARGEST_SEED}"),
)
LOG_DIR = Flag("log_dir", "logs", "folder of all runs", stages=RUNS)
RUN_NAME = Flag(
    "run_name",
    None,
    "folder of this run in --log_dir (default: <stage>-<arch>-<dataset>-<comment>)",
    stages=RUNS,
)
PROJECT = Flag("project", {"disentangle": "CD", "others": "IIC"}, "project on W&B", stages=TRAIN)
ENTITY = Flag("entity", None, "user or team on W&B", stages=TRAIN)
OFFLINE = Flag("offline", False, "keep W&B's files on this machine", bool, TRAIN)
HARDWARE: tuple[Flag, ...] = (
    Flag(
        "gpus",
        None,
        "how many (-1: all) or which ('0,1'); default: one GPU if there is one, else the CPU",
        stages=ALL,
    ),
    Flag("num_processes", 1, "processes that train together on a CPU", int, TRAIN, AT_LEAST_ONE),
    Flag("num_nodes", 1, "machines that train together", int, TRAIN, AT_LEAST_ONE),
    Flag("distributed_backend", None, "strategy of several processes", stages=TRAIN, extra={"choices": ["ddp"]}),
    Flag("sync_batchnorm", False, "BatchNorm statistics over all processes", bool, TRAIN),
    Flag(
        "precision",
        "32",
        "16 (mixed), bf16 (mixed), 32 or 64",
        stages=(*TRAIN, "evaluate", "cluster"),
        extra={"choices": list(PRECISIONS)},
    ),
    Flag("deterministic", False, "only deterministic algorithms", bool, TRAIN),
    Flag("compile", False, "compile network and losses with torch.compile", bool, TRAIN),
)
RESUME_FROM_CHECKPOINT = Flag(
    "resume_from_checkpoint", None, "PATH of a checkpoint, or 'auto' for this run's last one", stages=TRAIN
)
CHECKPOINT_MINUTES = Flag(
    "checkpoint_minutes", 10.0, "longest time between two checkpoints of a run", float, TRAIN, NOT_NEGATIVE
)
ON_NONFINITE = Flag(
    "on_nonfinite",
    "stop",
    "what to do with a loss that is not finite",
    stages=TRAIN,
    extra={"choices": ["stop", "skip"]},
)
LIMIT_TRAIN_BATCHES = Flag(
    "limit_train_batches", 1.0, "share (0.25) or number (20) of training batches", share_or_count, TRAIN, BATCHES
)
FAST_DEV_RUN = Flag(
    "fast_dev_run",
    False,
    "run N (1) batches of everything and stop",
    stages=TRAIN,
    check=AT_LEAST_ZERO,
    extra={"nargs": "?", "const": 1, "type": int},
)
PROFILER = Flag(
    "profiler",
    None,
    "leave fit-profile.txt in the run's folder",
    stages=TRAIN,
    extra={"choices": ["simple", "advanced"]},
)
FORCE = Flag(
    "force", False, "overwrite files that are there and not this program's", bool, ("evaluate", "predict", "cluster")
)
ENABLE_PROGRESS_BAR = Flag("enable_progress_bar", True, "show progress", bool, (*TRAIN, "predict"))
PRINT_CONFIG = Flag("print_config", False, "print the resolved settings as YAML and stop", bool, ALL)
DEBUG = Flag("debug", False, "show the traceback of an error", bool, ALL)
