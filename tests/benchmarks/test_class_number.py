"""benchmarks/class_number.py: classes drawn by the seed, mean errors, finished rows not measured again."""

import importlib

import pytest

from tests.conftest import ROOT


def test_rows_means_and_what_is_not_measured_again(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("class_number")
    measured = []

    def estimates(args, split, seed, names):
        measured.extend((split, seed, name) for name in names)
        numbers = {"split": split, "seed": seed, "found": 20 + seed, "relative error": seed / 20}
        return [{**numbers, "estimator": name} for name in names]

    monkeypatch.setattr(module, "estimates", estimates)
    words = ["--device", "cpu", "--json", str(tmp_path / "rows.json"), "--splits", "CIFAR100-20,CIFAR100-50"]
    first = module.main([*words, "--estimators", "brent"])["means"]
    assert first == [
        {
            **{"estimator": "brent", "CIFAR100-20": "20 21 22", "CIFAR100-20, error %": pytest.approx(5)},
            **{"CIFAR100-50": "20 21 22", "CIFAR100-50, error %": pytest.approx(5), "mean error, %": pytest.approx(5)},
        }
    ]
    module.main([*words, "--estimators", "brent,novelty"])
    assert len(measured) == len(set(measured)) == 12


def test_the_seed_draws_the_known_classes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    drawn = importlib.import_module("class_number").drawn_classes
    assert drawn("digits", "data", 5, 0) == drawn("digits", "data", 5, 0) != drawn("digits", "data", 5, 1)
    assert len(set(drawn("digits", "data", 5, 0))) == 5
