"""Pretrained features: baselines, the estimate of the number of novel classes, and discovery with that number."""

import json
import re
import runpy

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from tests.conftest import ROOT, TINY, tiny_discovery, tiny_pretraining
from utils import cli
from utils.errors import UserError
from utils.evaluation.metrics import cluster_acc, contingency, known_and_novel_acc
from utils.evaluation.semi_kmeans import semi_kmeans
from utils.inference.clustered_features import cluster_features
from utils.inference.evaluate_checkpoint import evaluate
from utils.inference.features import PretrainedFeatures, default_folder
from utils.nets.disentangling_net import DisentanglingNet

DATA = ["--dataset", "digits", "--image_size", "8", "--width", "8"]


def features_args(weights, *words):
    return cli.parse("features", ["--checkpoint", str(weights), *DATA, *map(str, words)])


def run_script(name, args):
    runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))["main"](args)


def test_baselines_are_those_of_the_nearest_centroid(tiny_run):
    found = PretrainedFeatures(features_args(tiny_run[2]), str(tiny_run[2]), torch.device("cpu"))
    metrics, table = found.baseline("kmeans", 5, seed=0)
    x, (test, truth) = found["unlab/train"][0], found["unlab/test"]
    torch.testing.assert_close(x.norm(dim=1), torch.ones(len(x)))
    model = KMeans(5, n_init=10, random_state=0).fit(x.numpy())
    expected = cluster_acc(truth.numpy() - 5, model.predict(test.numpy()))
    assert metrics["unlab/test/acc/best"] == pytest.approx(expected)
    labeled, labels = found["lab/train"]
    means = torch.stack([labeled[labels == label].mean(dim=0) for label in range(5)])
    known, known_truth = found["lab/test"]
    right = torch.cdist(known, means).argmin(dim=1) == known_truth
    assert metrics["lab/test/acc"] == pytest.approx(right.double().mean().item())
    everything, everyone = torch.cat([known, test]), torch.cat([known_truth, truth]).numpy()
    among_all = torch.cdist(everything, torch.cat([means, torch.from_numpy(model.cluster_centers_)])).argmin(dim=1)
    assert metrics["joint/all"] == pytest.approx(cluster_acc(everyone, among_all.numpy()))
    assert table.tolist() == contingency(everyone, among_all.numpy()).tolist()
    semi, _ = found.baseline("semi_kmeans", 5, seed=0)
    assert set(semi) == set(metrics)
    assert {"lab/test/acc", "joint/all", "incremental/unlab/train/acc/best"} <= set(metrics)


def test_baselines_of_a_heap_of_known_and_novel_classes(tiny_run, tmp_path, capsys):
    """``--setting gcd``: one list of clusters for all classes, judged on the heap and on all test images."""
    args = features_args(tiny_run[2], "--setting", "gcd", "--log_dir", tmp_path, "--run_name", "out")
    metrics = {}
    for name in ("kmeans", "semi_kmeans"):
        cluster_features(args, name)
        metrics[name] = json.loads((tmp_path / "out" / name / "metrics.json").read_text())
    assert re.search(r"^unlabelled, train  +0\.\d", capsys.readouterr().out, re.MULTILINE)
    found = PretrainedFeatures(args, str(tiny_run[2]), torch.device("cpu"))
    (heap, truth), (labeled, labels) = found["unlab/train"], found["lab/train"]
    assert set(truth.tolist()) == set(range(10))
    test, test_truth = (torch.cat(parts) for parts in zip(found["lab/test"], found["unlab/test"], strict=True))
    model = KMeans(10, n_init=10, random_state=0).fit(heap.numpy())
    shares = known_and_novel_acc(contingency(truth, model.labels_), 5)
    assert [metrics["kmeans"][f"unlab/train/acc/{part}"] for part in shares] == pytest.approx([*shares.values()])
    expected = cluster_acc(test_truth, model.predict(test.numpy()))
    assert metrics["kmeans"]["test/acc/all"] == pytest.approx(expected)
    centroids, _ = semi_kmeans(heap, labeled, labels, 5, 5, seed=0, restarts=100)
    shares = known_and_novel_acc(contingency(truth, torch.cdist(heap, centroids).argmin(dim=1)), 5)
    assert [metrics["semi_kmeans"][f"unlab/train/acc/{part}"] for part in shares] == pytest.approx([*shares.values()])
    expected = cluster_acc(test_truth, torch.cdist(test, centroids).argmin(dim=1))
    assert metrics["semi_kmeans"]["test/acc/all"] == pytest.approx(expected)


def test_features_are_clustered_in_principal_components(tiny_run):
    from sklearn.decomposition import PCA

    args = features_args(tiny_run[2], "--pca", 3)
    found = PretrainedFeatures(args, str(tiny_run[2]), torch.device("cpu"))
    training = torch.cat([found.encoded(name)[0] for name in ("lab/train", "unlab/train")])
    expected = PCA(3, svd_solver="full").fit(training.numpy()).transform(found.encoded("unlab/test")[0].numpy())
    components = found["unlab/test"][0].numpy()
    signs = np.sign((components * expected).sum(axis=0))
    np.testing.assert_allclose(components, expected * signs, atol=1e-4)
    assert 0 <= found.baseline("kmeans", 5, seed=0)[0]["unlab/test/acc/best"] <= 1
    found = PretrainedFeatures(features_args(tiny_run[2], "--pca", 10**6), str(tiny_run[2]), torch.device("cpu"))
    with pytest.raises(UserError, match=r"--pca 1000000, but [\d,]+ images of 64 features have fewer components"):
        found["unlab/test"]


def test_weights_that_do_not_fit_are_told_by_the_flag_that_gave_them(tiny_run):
    args = features_args(tiny_run[2], "--width", 16)
    with pytest.raises(UserError, match=r"^--checkpoint .*\.cp holds a ResNet of width 8 but --width is 16$"):
        PretrainedFeatures(args, args.checkpoint, torch.device("cpu"))


def test_a_contrastive_model_gives_features_of_the_images_it_was_trained_on(tmp_path):
    """Its backbone sees values in [0, 1], although discovery's are normalised."""
    net = DisentanglingNet("ResNet18", feature_num=16, low_res=True, width=8).eval()
    torch.save(net.state_dict(), tmp_path / "model.pth")
    found = PretrainedFeatures(features_args(tmp_path / "model.pth"), str(tmp_path / "model.pth"), torch.device("cpu"))
    rows = found.datamodule.evaluation_rows("unlab/train")[1]
    with torch.no_grad():
        expected = net(found.datamodule.train_images[rows] / 255)["feats"]
    torch.testing.assert_close(found["unlab/train"][0], torch.nn.functional.normalize(expected), rtol=1e-4, atol=1e-5)
    assert found.estimate("silhouette", 4, seed=0).number in (2, 3, 4)


def test_the_scripts_leave_the_files_of_a_run(tiny_run, tmp_path, capsys):
    where = ["--log_dir", tmp_path, "--run_name", "out"]
    for name in ("kmeans", "semi_kmeans"):
        cluster_features(features_args(tiny_run[2], *where), name)
        folder = tmp_path / "out" / name
        assert {path.name for path in folder.iterdir()} == {"metrics.json", "hparams.yaml", "confusion.png"}
        assert 0 < json.loads((folder / "metrics.json").read_text())["unlab/train/acc/best"] <= 1
    run_script("estimate_classes", features_args(tiny_run[2], *where, "--max_unlabeled_classes", 6))
    assert {path.name for path in (tmp_path / "out").glob("estimate.*")} == {"estimate.csv", "estimate.png"}
    printed = capsys.readouterr().out
    assert "note" not in printed
    cluster_features(features_args(tiny_run[2], *where), "kmeans")
    assert f"note: {tmp_path / 'out' / 'kmeans'} held an older result" in capsys.readouterr().out
    assert "novel, test, best head" in printed
    assert "<- best" in printed
    assert "nearly as good: " in printed or "no other comes near by this criterion" in printed


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--dataset CIFAR10 --backbone lite0", "estimate-lite0-CIFAR10"),
        ("--dataset folder --backbone lite0 --comment mine", "estimate-lite0-folder-mine"),
        ("--dataset npz:x/a.npz --checkpoint models/digits/epoch_4.pth", "estimate-epoch_4-npz-x_a.npz"),
        ("--dataset digits --backbone lite0 --run_name out", "out"),
    ],
)
def test_the_folder_tells_weights_dataset_and_comment(tmp_path, words, name):
    args = cli.parse("features", [*words.split(), "--log_dir", str(tmp_path)])
    assert default_folder(args, "estimate") == tmp_path / name


def test_discovery_with_an_unknown_number(tiny_run, tmp_path, capsys):
    """The number of outputs is the estimate; the truth of a closed dataset may have another one."""
    auto = ["--num_unlabeled_classes", "auto"]
    weights = tiny_pretraining(tmp_path, *auto, "--max_epochs", "1")
    flags = [*auto, "--max_unlabeled_classes", "3", "--max_epochs", "1", "--report"]
    trainer = tiny_discovery(tmp_path, "--pretrained", str(weights), "--estimate_from", str(weights), *flags)
    hparams = trainer.lightning_module.hparams
    assert hparams["num_unlabeled_classes"] in (2, 3)
    assert hparams["num_unlabeled_estimated"]
    assert f"{hparams['num_unlabeled_classes']} classes estimated" in capsys.readouterr().out
    folder = tmp_path / "logs" / "run"
    metrics = evaluate(cli.parse("evaluate", ["--checkpoint", str(folder / "last.ckpt")]))
    assert metrics["joint/all"] == pytest.approx(float(trainer.callback_metrics["joint/all"]))
    text = (folder / "report.html").read_text()
    assert "--num_unlabeled_classes auto" in text
    assert f"{hparams['num_unlabeled_classes']} novel classes" in text
    with pytest.raises(UserError, match="auto needs --pretrained, --estimate_from or --backbone"):
        tiny_discovery(tmp_path, *auto)


@pytest.mark.parametrize("value", ["0", "many"])
def test_a_number_or_auto(value, capsys):
    with pytest.raises(SystemExit):
        cli.parse("discover", [*TINY["common"], "--num_unlabeled_classes", value])
    assert "--num_unlabeled_classes" in capsys.readouterr().err


def test_a_folder_whose_heap_nobody_has_labelled(tmp_path):
    """Training, evaluation and report work; what needs truth is absent."""
    from PIL import Image

    from utils.data.sources.digits import read_digits

    source = read_digits(None)
    for part, images, labels in (
        ("train", source.train_images[:400], source.train_labels),
        ("test", source.test_images[:100], source.test_labels),
    ):
        for row, (image, label) in enumerate(zip(images, labels, strict=False)):
            kind = f"{part}/{label}" if label < 5 else "unlabeled"
            (tmp_path / "photos" / kind).mkdir(parents=True, exist_ok=True)
            if label < 5 or part == "train":
                Image.fromarray(image).save(tmp_path / "photos" / kind / f"{row}.png")
    data = ["--dataset", "folder", "--data_dir", str(tmp_path / "photos"), "--num_labeled_classes", "5"]
    trainer = tiny_discovery(
        tmp_path, *data, "--num_unlabeled_classes", "4", "--batch_size", "32", "--max_epochs", "1", "--report"
    )
    assert [key for key in trainer.callback_metrics if "unlab" in key or key == "joint/novel"] == []
    assert "lab/test/acc" in trainer.callback_metrics
    folder = tmp_path / "logs" / "run"
    text = (folder / "report.html").read_text()
    assert "Nobody knows the classes of the unlabelled images" in text
    assert "novel-3" in text
    made = {path.stem for path in (folder / "figures").iterdir()}
    assert {"clusters", "features", "heads"} <= made
    assert "confusion-task-aware-rates" not in made
    assert np.isfinite(evaluate(cli.parse("evaluate", ["--checkpoint", str(folder / "last.ckpt")]))["lab/test/acc"])
