"""What may change when a run goes on from a checkpoint: every flag of training is in this table.

``refused``: it would be another run, or the checkpoint's value would win in silence (the optimizer's settings).
``said``: it may change, and the run says so. ``free``: it changes nothing that is learnt or measured.
"""

from collections.abc import Mapping
from typing import Any

from utils.cli.baseline_flags import BASELINE

REFUSED, SAID, FREE = "refused", "said", "free"
RULES: dict[str, tuple[str, ...]] = {
    REFUSED: (
        *("dataset", "imagenet_split", "labeled_classes", "num_labeled_classes", "num_unlabeled_classes"),
        *("class_names", "images", "image_size", "use_unlabeled", "batch_size", "seed"),
        *("multicrop", "num_large_crops", "num_small_crops", "s", "blur"),
        *("arch", "width", "num_heads", "hidden_dim", "proj_dim", "num_hidden_layers", "overcluster_factor"),
        *("backbone", "backbone_weights", "backbone_size", "train", "feature_num", "method"),
        *("baseline", *(flag.name for group in BASELINE.values() for flag in group)),
        *("feature_views", "feature_seed"),
        *("temperature", "num_iters_sk", "epsilon_sk", "global_sinkhorn"),
        *("instance_temperature", "feature_temperature", "gather_negatives"),
        *("base_lr", "min_lr", "warmup_epochs", "momentum_opt", "weight_decay_opt"),
        *("setting", "prop_train_labels", "sampler", "num_mlp_layers", "standardize", "sup_weight", "memax_weight"),
        *("warmup_teacher_temp", "teacher_temp", "warmup_teacher_temp_epochs"),
        *("learning_rate", "weight_decay", "use_scheduler", "use_gradnorm", "max_norm"),
    ),
    SAID: (
        *("max_epochs", "epochs", "accumulate_grad_batches", "limit_train_batches", "on_nonfinite", "pretrained"),
        *("data_dir", "customize_datasets", "checkpoint_dir", "model_dir"),
        *("gpus", "num_processes", "num_nodes", "sync_batchnorm", "precision", "deterministic"),
        *("check_val_every_n_epoch", "limit_val_batches", "evaluation_mode", "record_every"),
        *("k", "class_num", "fine_labels"),
    ),
    FREE: (
        *("download", "num_workers", "eval_batch_size", "estimator", "estimate_from", "max_unlabeled_classes"),
        *("num_unlabeled_estimated", "pretrained_from", "backbone_weights_from", "backbone_data"),
        *("log_dir", "run_name", "comment", "project", "entity", "wandb", "use_wandb", "offline"),
        *("distributed_backend", "compile", "profiler", "enable_progress_bar", "num_sanity_val_steps", "fast_dev_run"),
        *("resume_from_checkpoint", "reload", "checkpoint", "checkpoint_minutes", "config", "print_config", "debug"),
        *("report", "tsne", "lime", "save_model", "save_checkpoint", "feature_cache"),
    ),
}
STAGE_MARKS = ("num_heads", "sup_weight", "feature_num")  # flags that one stage of training has alone
NOT_ALWAYS = ("class_names", "images")  # recorded by some runs, not by others
_RULE = {name: rule for rule, names in RULES.items() for name in names}


def rule_of(name: str) -> str:
    """What happens when a flag has changed; the weight of a constraint is part of the objective."""
    return REFUSED if name.startswith("factor_") else _RULE.get(name, SAID)


def changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Rule -> flag -> (value in the checkpoint, value now), for all flags that differ.

    A flag that a checkpoint does not have is younger than the checkpoint, unless it is a constraint's weight: then it
    is of another main.
    """
    before = dict(theirs) | {"pretrained": theirs.get("pretrained") or theirs.get("pretrained_from")}
    if theirs.get("backbone_weights_from"):
        before["backbone_weights"] = theirs["backbone_weights_from"]
    found: dict[str, dict[str, tuple[Any, Any]]] = {rule: {} for rule in RULES}
    for name in [*before, *(name for name in ours if name not in before)]:
        there, here = before.get(name), ours.get(name)
        if there == here or (name in NOT_ALWAYS and not (there and here)):
            continue
        if name.startswith("factor_") or (name in before and name in ours):
            found[rule_of(name)][name] = (there, here)
    return found
