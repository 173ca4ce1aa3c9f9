"""The table of flags of contrastive disentangling: ``disentangle`` (train.py) and ``cluster`` (evaluate.py).

Names and defaults are the published ones.
"""

from utils.cli import shared_flags as shared
from utils.cli.flag_types import (
    AT_LEAST_ONE,
    AT_LEAST_TWO,
    CD,
    CLUSTER,
    DISENTANGLE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE_OR_WORD,
    Flag,
    feature_numbers,
    named_places,
    share_or_word,
)

CONTRASTIVE: dict[str, tuple[Flag, ...]] = {
    "data": (
        Flag(
            "dataset",
            None,
            "cifar10, cifar100, stl10, imagenet10, tiny-imagenet, digits, npz:<file> or folder",
            stages=CD,
            extra={"required": True},
        ),
        shared.DATA_DIR,
        Flag("download", True, "download CIFAR and STL-10 into --data_dir when they are not there", bool, CD),
        Flag("image_size", 224, "side of the views in pixels", int, CD, AT_LEAST_ONE),
        shared.BATCH_SIZE,
        shared.EVAL_BATCH_SIZE,
        shared.NUM_WORKERS,
        Flag("use_unlabeled", False, "train on the 100,000 unlabelled images of STL-10 too", bool, DISENTANGLE),
        Flag("fine_labels", False, "the 100 classes of CIFAR-100 instead of its 20 super-classes", bool, CD),
        Flag("class_num", None, "number of classes, for data without labels", int, CD, AT_LEAST_ONE),
        Flag(
            "customize_datasets", None, "names for your own data: NAME=FOLDER or NAME=npz:FILE, ...", named_places, CD
        ),
    ),
    "views": (
        Flag("s", 1.0, "strength of the colour jitter", float, DISENTANGLE, NOT_NEGATIVE),
        Flag("blur", False, "blur half of the views", bool, DISENTANGLE),
    ),
    "model": (
        Flag("backbone", "ResNet34", "ResNet18, ResNet34, ResNet50, ResNet101 or ResNet152", stages=DISENTANGLE),
        shared.WIDTH,
        Flag("hidden_dim", 128, "dimension of the instance projections", int, DISENTANGLE, AT_LEAST_ONE),
        Flag("feature_num", 128, "number K of features", int, DISENTANGLE, AT_LEAST_TWO),
    ),
    "objective": (
        Flag(
            "method",
            "cd",
            "cd: contrastive disentangling; simclr: without features",
            stages=DISENTANGLE,
            extra={"choices": ["cd", "simclr"]},
        ),
        Flag("instance_temperature", 0.5, "temperature of the instance loss", float, DISENTANGLE, POSITIVE),
        Flag("feature_temperature", 1.0, "temperature of the feature loss", float, DISENTANGLE, POSITIVE),
        Flag("gather_negatives", False, "compare with the images of all processes", bool, DISENTANGLE),
    ),
    "optimisation": (
        Flag("epochs", 1000, "epochs of training", int, DISENTANGLE, AT_LEAST_ONE),
        Flag("learning_rate", 3e-4, "learning rate of Adam", float, DISENTANGLE, POSITIVE),
        Flag("weight_decay", 0.0, "weight decay", float, DISENTANGLE, NOT_NEGATIVE),
        Flag("use_scheduler", False, "let the learning rate fall to 0 along a half cosine", bool, DISENTANGLE),
        Flag("use_gradnorm", False, "clip the norm of the gradient to --max_norm", bool, DISENTANGLE),
        Flag("max_norm", 1.0, "largest norm of the gradient, with --use_gradnorm", float, DISENTANGLE, POSITIVE),
        shared.SEED,
    ),
    "logging": (
        shared.LOG_DIR,
        shared.RUN_NAME,
        Flag("comment", None, "end of the run's name (default: <method>_<feature_num>_seed<seed>)", stages=DISENTANGLE),
        Flag("use_wandb", False, "log to Weights & Biases, if it is installed", bool, DISENTANGLE),
        shared.PROJECT,
        shared.ENTITY,
        shared.OFFLINE,
    ),
    "hardware": shared.HARDWARE,
    "loop": (
        shared.RESUME_FROM_CHECKPOINT,
        Flag(
            "reload", False, "go on from --checkpoint, or from this run's last one if there is any", bool, DISENTANGLE
        ),
        Flag("checkpoint", None, "the checkpoint (last.ckpt) of --reload", stages=DISENTANGLE),
        Flag("save_checkpoint", True, "write last.ckpt, from which a run goes on", bool, DISENTANGLE),
        shared.CHECKPOINT_MINUTES,
        shared.ON_NONFINITE,
        shared.LIMIT_TRAIN_BATCHES,
        shared.FAST_DEV_RUN,
        shared.PROFILER,
        shared.ENABLE_PROGRESS_BAR,
    ),
    "evaluation": (
        Flag(
            "evaluation_mode",
            0.1,
            "all (every epoch), none (with the records and at the end) or a share of the images",
            share_or_word,
            DISENTANGLE,
            SHARE_OR_WORD,
        ),
        Flag("k", None, "clusters of k-means (default: the number of true classes)", int, CD, AT_LEAST_ONE),
        Flag(
            "record_every",
            100,
            "epochs between two records, with their models and pictures",
            int,
            DISENTANGLE,
            AT_LEAST_ONE,
        ),
        Flag("save_model", True, "write the models to --model_dir", bool, DISENTANGLE),
        Flag("model_dir", "models", "folder of the models", stages=CD),
        Flag("tsne", {"disentangle": True, "others": False}, "draw t-SNE pictures", bool, CD),
        Flag("model", None, "model file; wins over --epoch", stages=CLUSTER),
        Flag("epoch", 1000, "evaluate <model_dir>/<dataset>/model_epoch_<epoch>.pth", int, CLUSTER, AT_LEAST_ONE),
        Flag(
            "lime",
            None,
            "explain features with LIME: 'auto', or their numbers such as 0,3,17",
            feature_numbers,
            CD,
        ),
        Flag("out", None, "beginning of the paths of the results (default: the model's, without .pth)", stages=CLUSTER),
        shared.FORCE,
    ),
    "help": (
        Flag("config", "config/config.yaml", "settings: `common`, and below `datasets` a block for each", stages=CD),
        shared.PRINT_CONFIG,
        shared.DEBUG,
    ),
}
