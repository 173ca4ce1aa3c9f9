"""Every method of baselines/: a run, its checkpoint in the other mains, going on, the command line."""

import os
import re
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import main_predict
from baselines.__main__ import table
from tests.baselines.networks import SMALL
from tests.conftest import ROOT, tiny_discovery, tiny_pretraining
from utils import cli, experiment
from utils.cli.baseline_flags import BASELINE
from utils.cli.methods import PAIR_FLAGS
from utils.errors import UserError
from utils.inference.discovery_checkpoint import load_discoverer
from utils.inference.evaluate_checkpoint import evaluate
from utils.inference.onnx_export import PixelsToProbabilities, export_onnx
from utils.methods.named import baseline_module, baseline_names
from utils.report.reproduce import reproduce_command
from utils.training.last_checkpoint import LastCheckpoint
from utils.training.signals import Interruptions

NAMES = baseline_names()
STATEFUL = {"comex", "ncl"}  # what they remember of the steps before has to be in the checkpoint
OWN_PREDICTIONS = {"comex", "rs_plus"}  # of more than one head
TRAINED = [name for name in NAMES if hasattr(baseline_module(name), "Discoverer")]
ONE_HEAD = [name for name in TRAINED if baseline_module(name).METHOD.always.get("num_heads") == 1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_pretraining(tmp_path_factory.mktemp("weights"))


def run(name, folder, weights, *flags, run_name="run", discoverer=None):
    heads = ["--num_heads", "1"] if name in ONE_HEAD else []
    discoverer = discoverer or baseline_module(name).Discoverer
    return tiny_discovery(folder, "--pretrained", str(weights), *heads, *flags, discoverer=discoverer, name=run_name)


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_and_what_reads_its_checkpoint(name, tmp_path, weights):
    trainer = run(name, tmp_path, weights, "--report", "--max_epochs", "1", "--limit_train_batches", "2")
    folder = tmp_path / "logs" / "run"
    assert (folder / "report.html").is_file()
    logged = trainer.callback_metrics
    assert {"loss", "lr", "unlab/train/acc/best", "unlab/test/acc/avg", "lab/test/acc", "joint/all"} <= logged.keys()
    module = load_discoverer(str(folder / "last.ckpt"))
    assert type(module).__module__ == f"baselines.{name}"

    metrics = evaluate(cli.parse("evaluate", ["--checkpoint", str(folder / "last.ckpt")]))
    assert metrics == pytest.approx({key: float(logged[key]) for key in metrics}, abs=1e-7)
    Image.new("L", (9, 9), 255).save(tmp_path / "white.png")
    out = tmp_path / "predictions.csv"
    words = ["--checkpoint", str(folder / "last.ckpt"), "--images", str(tmp_path / "white.png"), "--out", str(out)]
    assert main_predict.main(cli.parse("predict", words)) == 0
    assert len(out.read_text().splitlines()) == 2
    require_export(module, tmp_path)

    words = shlex.split(reproduce_command(module.hparams, module.method))
    assert words[:2] == ["python", f"baselines/{name}.py"]
    again = vars(cli.parse("discover", words[2:], factors=module.factors, method=module.method))
    unlike = {key for key, value in again.items() if module.hparams.get(key) != value}
    assert unlike <= {"pretrained", "class_names", "image_size"}


def require_export(module, folder):
    """The network that would be exported predicts what the method does; a method that has its own way is refused."""
    if name_of(module) in OWN_PREDICTIONS:
        with pytest.raises(UserError, match=f"predictions of {name_of(module)}; leave it away"):
            export_onnx(module, folder / "model.onnx")
        return
    network, pixels = PixelsToProbabilities(module.eval()), torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        outputs = module.predictions(pixels * network.scale + network.shift)
        logits = torch.cat([outputs["logits_lab"], outputs["logits_unlab"][module.best_head]], dim=1)
        probabilities, feats = network(pixels)
    torch.testing.assert_close(probabilities, torch.softmax(logits / module.hparams["temperature"], dim=1))
    torch.testing.assert_close(feats, outputs["feats"])


def name_of(module):
    return module.hparams["baseline"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dtc", "dualrank", "uno_v1"])  # each has a network of its own
def test_the_exported_file_predicts_what_the_method_does(name, tmp_path, weights):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run(name, tmp_path, weights, "--max_epochs", "1", "--limit_train_batches", "2")
    module = load_discoverer(str(tmp_path / "logs" / "run" / "last.ckpt"))
    export_onnx(module, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        pixels = torch.randint(256, (batch, 3, 8, 8), dtype=torch.uint8)
        found = session.run(None, {"images": pixels.numpy()})
        with torch.no_grad():
            expected = PixelsToProbabilities(module)(pixels)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in STATEFUL else pytest.mark.slow) for name in TRAINED]
)
def test_a_stopped_run_goes_on_as_if_it_had_not(name, tmp_path, weights):
    class Stopping(baseline_module(name).Discoverer):
        def training_step(self, batch, batch_idx):
            if (self.current_epoch, batch_idx) == (2, 1):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    run(name, tmp_path, weights, run_name="whole")
    with pytest.raises(SystemExit):  # in the middle of an epoch
        run(name, tmp_path, weights, discoverer=Stopping)
    run(name, tmp_path, weights, "--resume_from_checkpoint", "auto")
    states = [load(tmp_path / "logs" / folder / "last.ckpt") for folder in ("whole", "run")]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def load(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in TRAINED])
def test_features_of_a_frozen_encoder(name, tmp_path):
    """Extracted once, then every method learns on them."""
    pytest.importorskip("timm")
    backbone = ["--backbone", "test_resnet", "--backbone_weights", "none", "--train", "frozen", "--backbone_size", "32"]
    common = ["--dataset", "digits", "--no-wandb", "--limit_train_batches", "2", "--max_epochs", "2", "--no-report"]
    where = ["--log_dir", str(tmp_path / "logs"), "--feature_cache", str(tmp_path / "cache"), *backbone]
    sizes = ["--hidden_dim", "16", "--proj_dim", "8", "--run_name", "run"]
    pretrained = []
    if name == "rkd":
        weights = ["--checkpoint_dir", str(tmp_path), "--comment", "x", "--run_name", "pretraining"]
        experiment.pretrain(cli.parse("pretrain", [*common[:-1], *where, *weights]))
        pretrained = ["--pretrained", str(next(tmp_path.glob("*.cp")))]
    discoverer = baseline_module(name).Discoverer
    if name == "dualrank":
        with pytest.raises(UserError, match="leave --backbone away"):
            discoverer(dataset="digits", backbone="test_resnet", backbone_weights="none")
        return
    args = cli.parse("discover", [*common, *where, *sizes, *pretrained], method=discoverer.method)
    trainer = experiment.discover(discoverer, args)
    assert trainer.callback_metrics["loss"].isfinite()
    assert type(load_discoverer(str(tmp_path / "logs" / "run" / "last.ckpt"))).__module__ == f"baselines.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_it_is(name):
    """A claim with the paper, the command, the numbers; the row of the table; flags that the table of flags has."""
    module = baseline_module(name)
    assert module.METHOD.name == name
    text = module.__doc__
    assert f"python -m baselines.{name} " in text
    assert "Published" in text
    for value in module.METHOD.published:
        assert value is None or f"{value:.1f}" in text
    known = {flag.name for group in BASELINE.values() for flag in group}
    assert set(module.METHOD.flags) <= known
    command = text[text.index(f"python -m baselines.{name}") :].split("\n\n")[0]
    words = shlex.split(command.replace("\\\n", " "))[3:]
    cli.parse(module.METHOD.stage, words, method=module.METHOD)


def test_every_flag_belongs_to_a_method_and_the_table_has_all():
    used = {flag for name in NAMES for flag in baseline_module(name).METHOD.flags}
    assert used == {flag.name for group in BASELINE.values() for flag in group}
    lines = table().splitlines()
    assert len(lines) == len(NAMES) + 2
    assert any(line.split()[2] == "baselines.uno_v1" and "96.1" in line for line in lines)


def test_the_documented_table_names_the_methods_of_every_flag():
    used: dict[str, set[str]] = {}
    for name in NAMES:
        method = baseline_module(name).METHOD
        for flag in (*method.flags, *(f"factor_{factor}" for factor in method.factors)):
            used.setdefault(flag, set()).add(name)
    page = (ROOT / "docs" / "baselines.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `--")]
    documented = {flag: methods for flags, methods in rows for flag in re.findall(r"--(\w+)", flags)}
    assert documented.keys() == used.keys()
    for flag, methods in documented.items():
        assert "on pairs" in methods if flag in PAIR_FLAGS else set(re.findall(r"`(\w+)`", methods)) == used[flag], flag


@pytest.mark.parametrize("words", [["-m", "baselines.uno_v1", "--help"], ["baselines/uno_v1.py", "--help"]])
def test_both_ways_to_run_a_file_answer_without_torch(words):
    code = f"import runpy, sys; sys.argv = {words[-2:]!r}; "
    start = (
        "runpy.run_module('baselines.uno_v1', run_name='__main__')"
        if words[0] == "-m"
        else "runpy.run_path('baselines/uno_v1.py', run_name='__main__')"
    )
    code += f"\ntry:\n    {start}\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "loss = cluster + over-cluster" in done.stdout


def test_a_checkpoint_cannot_name_other_code(tmp_path, tiny_run):
    path = tmp_path / "other.ckpt"
    checkpoint = torch.load(tiny_run[0] / "last.ckpt", weights_only=True)
    for name in ("os", "..main_discover", "__main__", "nobody"):
        checkpoint["hyper_parameters"]["baseline"] = name
        torch.save(checkpoint, path)
        with pytest.raises(UserError, match="unknown baseline"):
            load_discoverer(str(path))


def test_a_run_does_not_go_on_from_another_method(tmp_path, tiny_run, weights):
    with pytest.raises(UserError, match=r"it has --baseline None, this one uno_v1"):
        run("uno_v1", tmp_path, weights, "--resume_from_checkpoint", str(tiny_run[0] / "last.ckpt"))


@pytest.mark.parametrize(("world_size", "rank", "process", "share"), [(1, 0, 0, 2), (2, 1, 1, 4), (3, 2, 0, 2)])
def test_another_number_of_processes_goes_on_with_whole_memories(tmp_path, world_size, rank, process, share):
    """Two have saved; a mean over their memories would be rows of nobody, with labels of neither."""
    module = baseline_module("ncl").Discoverer(**SMALL)
    module._trainer = SimpleNamespace(world_size=world_size, global_rank=rank)
    memories = {f"{name}_{kind}" for name in ("memory", "pointer") for kind in ("lab", "unlab")} | {"labels_lab"}
    own = {name: getattr(module, name).clone() for name in memories | {"loss_per_head"}}
    callback = LastCheckpoint(tmp_path / "last.ckpt", 10, Interruptions())
    saved = {name: torch.stack([value, value + 4]) for name, value in own.items()}
    callback._restored = {"means": {}, "buffers": saved, "lr": 0.1}
    callback._restore_epoch(module)
    for name in memories:
        assert torch.equal(getattr(module, name), saved[name][process]), name
    assert module.loss_per_head.tolist() == [share]  # with other processes the mean of theirs
