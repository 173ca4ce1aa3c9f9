"""The commands end to end: files of a run, evaluation from the checkpoint alone, seeds, resuming, the best head."""

import json
import shutil

import pytest
import torch
import yaml
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from main_discover_inter_intra import Discoverer
from tests.conftest import read_table, tiny_discovery, tiny_pretraining
from tests.utils.data.makers import normalized_digits
from utils import cli, experiment
from utils.evaluation import cluster_acc
from utils.inference import evaluate_checkpoint
from utils.methods.discoverer import Discoverer as Baseline
from utils.methods.pretrainer import Pretrainer

SEED_KEYS = {
    "loss",
    "loss_cluster",
    "loss_overcluster",
    "inter_loss",
    "intra_loss",
    "lr",
    "lab/test/acc",
    "incremental/lab/test/acc",
    *(
        f"{prefix}unlab/{part}/{metric}/{which}"
        for prefix in ("", "incremental/")
        for part in ("train", "test")
        for metric in ("acc", "nmi", "ari")
        for which in ("avg", "best")
    ),
}


def rows(folder):
    return read_table(folder / "metrics.csv")


def weights(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def evaluate(checkpoint, *flags):
    return evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(checkpoint), *flags]))


def test_files_of_a_run(tiny_run):
    folder, _, pretrained = tiny_run
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "report.html",
        "figures",
        "last.ckpt",
        "hparams.yaml",
        "metrics.csv",
        "metrics.json",
        "log.txt",
        "curves.png",
        "confusion.png",
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() >= SEED_KEYS | {"joint/lab", "joint/novel", "joint/all", "seconds"}
    assert all(isinstance(value, (int, float)) for value in metrics.values())
    table = rows(folder)
    assert [row["epoch"] for row in table] == ["0", "1", "2"]
    assert set(table[0]) >= SEED_KEYS
    assert all(row["unlab/test/acc/best"] for row in table)
    settings = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert (settings["dataset"], settings["pretrained"], settings["factor_inter"]) == ("digits", str(pretrained), 0.1)
    assert "novel (5, 6, 7, 8, 9)" in (folder / "log.txt").read_text()


def test_the_learning_rate_is_that_of_its_epoch(tiny_run):
    from utils.training.lr_scheduler import warmup_cosine_lr

    folder, trainer, _ = tiny_run
    hparams = trainer.lightning_module.hparams
    settings = {name: hparams[name] for name in ("base_lr", "min_lr", "warmup_epochs", "max_epochs")}
    for row in rows(folder):
        assert float(row["lr"]) == pytest.approx(warmup_cosine_lr(int(row["epoch"]), **settings))


def test_evaluation_needs_the_checkpoint_alone_and_gives_the_last_epoch_s_numbers(tiny_run, tmp_path):
    folder, trainer, _ = tiny_run
    shutil.copy(folder / "last.ckpt", tmp_path / "moved.ckpt")
    metrics = evaluate(tmp_path / "moved.ckpt", "--baselines", "--pretrained", str(tiny_run[2]))
    for name in SEED_KEYS - {"loss", "loss_cluster", "loss_overcluster", "inter_loss", "intra_loss", "lr"}:
        assert metrics[name] == pytest.approx(float(trainer.callback_metrics[name]), abs=1e-7), name
    pretrained = Pretrainer.load_from_checkpoint(tiny_run[2].parent / "logs" / tiny_run[2].stem / "last.ckpt").eval()
    for space, embed in (("pixels", torch.nn.Flatten()), ("features", pretrained.model.encoder)):
        train, (test, truth) = normalized_digits("train", novel=True)[0], normalized_digits("test", novel=True)
        with torch.no_grad():
            clusters = KMeans(5, n_init=10, random_state=0).fit(embed(train).numpy()).predict(embed(test).numpy())
        found = [metrics[f"baseline/kmeans_{space}/{measure}"] for measure in ("acc", "nmi")]
        expected = [cluster_acc(truth, clusters), normalized_mutual_info_score(truth, clusters)]
        assert found == pytest.approx(expected, abs=0.01), space  # one image may round to another cluster


def test_load_from_checkpoint_needs_no_other_file(tiny_run, tmp_path):
    folder, trainer, pretrained = tiny_run
    checkpoint = shutil.copy(folder / "last.ckpt", tmp_path)
    hidden = pretrained.rename(tmp_path / "hidden.cp")
    try:
        module = Discoverer.load_from_checkpoint(checkpoint)
    finally:
        hidden.rename(pretrained)
    assert_same_weights(module.state_dict(), trainer.lightning_module.state_dict())
    assert module.hparams["factor_inter"] == 0.1
    assert module.pretrained_path == str(pretrained)


def test_pretraining_leaves_a_bare_state_dict_that_discovery_starts_from(tiny_run):
    state = torch.load(tiny_run[2], weights_only=True)
    assert all(name.startswith(("encoder.", "head_lab.")) for name in state)
    flags = {"dataset": "digits", "num_labeled_classes": 5, "num_unlabeled_classes": 5, "width": 8, "hidden_dim": 16}
    module = Discoverer(**flags, pretrained=str(tiny_run[2]))
    for name, value in state.items():
        assert torch.equal(module.model.state_dict()[name], value), name


def test_same_seed_same_bits_other_seed_other_run(tiny_run, tmp_path):
    folder, _, pretrained = tiny_run
    tiny_discovery(tmp_path, "--pretrained", str(pretrained), name="again")
    tiny_discovery(tmp_path, "--pretrained", str(pretrained), "--seed", "1", name="other")
    assert_same_weights(weights(folder), weights(tmp_path / "logs" / "again"))
    assert rows(folder) == rows(tmp_path / "logs" / "again")
    assert rows(folder) != rows(tmp_path / "logs" / "other")


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tiny_run, tmp_path):
    folder, _, pretrained = tiny_run

    class Stopping(Discoverer):
        def on_train_epoch_start(self):
            super().on_train_epoch_start()
            if self.current_epoch == 2:
                raise RuntimeError("stopped")

    flags = ["--pretrained", str(pretrained), "--checkpoint_minutes", "0"]
    with pytest.raises(RuntimeError, match="stopped"):
        tiny_discovery(tmp_path, *flags, discoverer=Stopping)
    stopped = tmp_path / "logs" / "run"
    assert [row["epoch"] for row in rows(stopped)] == ["0", "1"]
    tiny_discovery(tmp_path, *flags, "--resume_from_checkpoint", "auto")
    assert_same_weights(weights(folder), weights(stopped))
    assert rows(folder) == rows(stopped)


def test_best_head_is_the_one_of_this_training_epoch(tmp_path):
    """Head 2 is best in the first epoch, head 0 in the second; a sanity check comes before, validation after each."""
    seen = []

    class Planned(Discoverer):
        def compute_losses(self, outputs, labels):
            best = [2, 0][self.current_epoch]
            losses = super().compute_losses(outputs, labels)
            return losses | {"loss_per_head": torch.ones(3).index_fill_(0, torch.tensor([best]), 0.5)}

        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            seen.append((self.trainer.sanity_checking, int(self.best_head), self.loss_per_head.tolist()))

    tiny_discovery(tmp_path, "--max_epochs", "2", discoverer=Planned)
    assert seen == [(True, 0, [0, 0, 0]), (False, 2, [3, 3, 1.5]), (False, 0, [1.5, 3, 3])]


def test_reported_metrics_are_the_best_head_s(tiny_run):
    _, trainer, _ = tiny_run
    module = trainer.lightning_module
    per_head = module.evaluation.metrics["unlab/test"].compute()["acc"]
    reported = {which: float(trainer.callback_metrics[f"unlab/test/acc/{which}"]) for which in ("best", "avg")}
    assert reported["best"] == pytest.approx(per_head[int(module.best_head)], abs=1e-6)
    assert reported["avg"] == pytest.approx(sum(per_head) / len(per_head), abs=1e-6)


def test_the_last_epoch_is_always_evaluated(tmp_path):
    tiny_discovery(tmp_path, "--check_val_every_n_epoch", "100", "--max_epochs", "2")
    table = rows(tmp_path / "logs" / "run")
    assert [bool(row["unlab/test/acc/best"]) for row in table] == [False, True]


def test_fast_dev_run_leaves_an_empty_folder_and_compile_is_of_what_is_trained(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(experiment, "compile_step", compiled.append)
    monkeypatch.setattr(experiment, "wandb_logger", lambda *args: pytest.fail("a run on W&B"))
    trainer = tiny_discovery(tmp_path, "--fast_dev_run", "--compile", "--wandb", discoverer=Baseline)
    assert trainer.global_step == 1
    assert list((tmp_path / "logs" / "run").iterdir()) == []
    assert compiled == [trainer.lightning_module]


def test_a_profile_is_left_in_the_folder(tmp_path):
    tiny_discovery(tmp_path, "--max_epochs", "1", "--profiler", "simple")
    assert "run_training_batch" in (tmp_path / "logs" / "run" / "fit-profile.txt").read_text()


def test_mixed_precision_is_that_of_the_network_and_not_of_the_losses(tmp_path, capsys):
    """On a CPU 16 means bf16, which is said."""
    seen = set()

    class Watching(Discoverer):
        def compute_losses(self, outputs, labels):
            losses = super().compute_losses(outputs, labels)
            weight = self.model.encoder.conv1.weight
            product = torch.nn.functional.linear(weight.flatten(1), weight.flatten(1))
            seen.add((product.dtype, weight.dtype, *(value.dtype for value in losses.values())))
            return losses

    with pytest.warns(UserWarning, match="fp16 is not supported on CPU. Using `precision='bf16-mixed'` instead"):
        trainer = tiny_discovery(tmp_path, "--precision", "16", "--max_epochs", "1", discoverer=Watching)
    assert ", precision bf16-mixed, " in capsys.readouterr().out
    (types,) = seen
    assert types == (torch.bfloat16, *[torch.float32] * (len(types) - 1))
    assert torch.isfinite(trainer.callback_metrics["loss"])


def test_pretraining_learns(tmp_path):
    tiny_pretraining(tmp_path, "--max_epochs", "6", "--limit_train_batches", "1.0")
    metrics = json.loads((tmp_path / "logs" / "pretrain-resnet18-digits-tiny" / "metrics.json").read_text())
    assert metrics["val/acc"] > 0.7
