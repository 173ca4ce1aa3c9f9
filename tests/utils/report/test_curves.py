"""The curves of a run: a person can read what each is, and only what is measured alike shares a panel."""

import pytest

from utils.report.plots.curves import plot_curves


def panels(tmp_path, *keys, epochs=3):
    """Title -> (names in the legend, lines) of the panels drawn for these logged keys."""
    path = tmp_path / "metrics.csv"
    rows = [f"{epoch},{epoch}," + ",".join("0.5" for _ in keys) for epoch in range(epochs)]
    path.write_text("\n".join([",".join(("epoch", "step", *keys)), *rows]) + "\n")
    return {axis.get_title(): [line.get_label() for line in axis.lines] for axis in plot_curves(path).axes}


def test_the_test_loss_without_temperature_is_not_beside_the_training_loss(tmp_path):
    found = panels(tmp_path, "loss_supervised", "val/loss_supervised", "val/acc")
    assert found == {
        "training loss": ["supervised"],
        "test loss, without temperature": ["supervised"],
        "accuracy": ["known, test"],
    }


def test_names_are_words_and_a_new_loss_or_constraint_is_drawn_too(tmp_path):
    keys = ("loss", "loss_cluster", "loss_new", "inter_loss", "other_loss", "unlab/test/acc/best", "lr")
    assert panels(tmp_path, *keys) == {
        "training loss": ["total", "clustering", "new"],
        "constraints (unweighted)": ["inter-class", "other"],
        "accuracy": ["novel, test, best head"],
        "learning rate": ["learning rate"],
    }


def test_without_truth_of_novel_classes_all_is_not_drawn_as_if_it_were_more_than_known(tmp_path):
    known = panels(tmp_path, "lab/test/acc", "joint/lab", "joint/all")
    assert known == {"accuracy": ["known, test"]}
    both = panels(tmp_path, "lab/test/acc", "joint/lab", "joint/novel", "joint/all")
    assert both == {"accuracy": ["known, test", "known and novel together, test"]}


@pytest.mark.parametrize("epochs", [1, 7, 500])
def test_every_curve_has_marks_of_its_own_that_can_be_counted(tmp_path, epochs):
    keys = ["loss", "loss_cluster", "loss_overcluster", *(f"loss_{name}" for name in "abcd")]
    panels(tmp_path, *keys, epochs=epochs)
    lines = plot_curves(tmp_path / "metrics.csv").axes[0].lines
    assert len({(line.get_marker(), line.get_color()) for line in lines}) == len(keys)
    for line in lines:
        assert len(line.get_xdata()) == epochs
        marks = len(line.get_xdata()[:: line.get_markevery()])
        assert marks == epochs or 20 <= marks <= 30


def test_generalized_discovery_has_its_accuracies(tmp_path):
    keys = [f"{images}/acc/{part}" for images in ("unlab/train", "test") for part in ("all", "old", "new")]
    (names,) = panels(tmp_path, *keys).values()
    assert len(set(names)) == len(keys)
