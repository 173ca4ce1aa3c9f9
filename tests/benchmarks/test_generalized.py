"""benchmarks/generalized.py: commands that its mains take, means over seeds, finished rows not run again."""

import importlib
import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_docs import parse


@pytest.fixture
def benchmark(monkeypatch):
    """The module, and the settings of the commands it runs; each run finds the share 0.5 + seed / 10."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    found = importlib.import_module("generalized")
    ran = []

    def run(words, threads):
        stage, args = parse([str(word) for word in words])
        ran.append((stage, args))
        folder = Path(args.log_dir) / args.run_name
        folder = folder / words[1].removeprefix("baselines.") if words[0] == "-m" else folder
        folder.mkdir(parents=True)
        metrics = {f"unlab/train/acc/{part}": 0.5 + args.seed / 10 for part in ("all", "old", "new")}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return {"seconds": 30.0, "extraction": 10.0, "CPU seconds": 5.0}

    monkeypatch.setattr(found.commands, "run", run)
    return found, ran


def test_rows_means_and_what_is_not_run_again(benchmark, tmp_path, capsys):
    module, ran = benchmark
    words = ["--data", "CIFAR100", "--device", "cpu", "--log_dir", str(tmp_path), "--json", str(tmp_path / "rows.json")]
    table = module.main(words)
    assert [row["method"] for row in table["means"]] == list(module.METHODS)
    assert [row["all"] for row in table["means"]] == pytest.approx([60] * 3)
    assert table["means"][0]["all, each"] == "50.0 60.0 70.0"
    assert table["means"][0]["longest after extraction, s"] == 20
    assert len(ran) == 9
    for stage, args in ran:
        assert (args.num_labeled_classes, args.num_unlabeled_classes, args.setting) == (80, 20, "gcd")
        assert (args.backbone, args.backbone_size) == ("lite0", 96)
        assert args.pca == 64 if stage == "features" else args.feature_views == 0
    assert module.main([*words, "--seeds", "0,1,2,3", "--methods", "SimGCD"])["means"][2]["seeds"] == 4
    assert len(ran) == 10
