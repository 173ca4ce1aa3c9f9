"""The report of a run: its numbers are the logged ones, its files are whole, and a browser shows all of it."""

import csv
import re
import shlex
import shutil
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from main_discover_inter_intra import Discoverer
from tests.conftest import ROOT
from utils import cli
from utils.cli.settings import RECORDED
from utils.data import get_datamodule
from utils.errors import UserError
from utils.evaluation.metrics import cluster_acc
from utils.inference.discovery_checkpoint import load_discoverer
from utils.report import clusters, figures
from utils.report.collect import collect
from utils.report.discovery_report import write_report
from utils.report.plots import confusion
from utils.report.plots.style import to_svg
from utils.report.reproduce import discovery_main, reproduce_words

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FIGURES = {
    "class-accuracy",
    "clusters",
    "confused-pairs",
    "confusion-task-agnostic-counts",
    "confusion-task-agnostic-rates",
    "confusion-task-aware-counts",
    "confusion-task-aware-rates",
    "curves",
    "features",
    "heads",
}


@pytest.fixture(scope="module")
def found(tiny_run):
    """The collection of the tiny run."""
    module = load_discoverer(tiny_run[0] / "last.ckpt")
    datamodule = get_datamodule(Namespace(**module.hparams), "discover")
    datamodule.setup("fit")
    return collect(module, datamodule)


def table(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_a_run_leaves_a_page_and_its_figures(tiny_run):
    folder, trainer, _ = tiny_run
    text = (folder / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)|<script|@import', text)
    assert f"{100 * float(trainer.callback_metrics['unlab/test/acc/best']):.1f}" in text
    assert {path.stem for path in (folder / "figures").iterdir()} == FIGURES
    for name in FIGURES:
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        rows = table(folder / "figures" / f"{name}.csv")
        assert len(rows) > 1
        assert all(len(row) == len(rows[0]) for row in rows), name


def test_the_report_s_numbers_are_the_logged_ones(tiny_run, found):
    metrics = tiny_run[1].callback_metrics
    aware, agnostic = found.aware_table, found.agnostic_table
    assert aware.shape == (5, 5)
    assert agnostic.shape == (10, 10)
    shares = confusion.class_accuracies(aware)
    totals = aware.sum(axis=1)
    assert (shares * totals).sum() / totals.sum() == pytest.approx(float(metrics["unlab/test/acc/best"]), abs=1e-6)
    shares, totals = confusion.class_accuracies(agnostic), agnostic.sum(axis=1)
    assert (shares * totals).sum() / totals.sum() == pytest.approx(float(metrics["joint/all"]), abs=1e-6)
    known = found.sets["lab/test"]
    assert (known.known == known.labels).mean() == pytest.approx(float(metrics["lab/test/acc"]), abs=1e-6)
    train = found.sets["unlab/train"]
    heads = [cluster_acc(train.labels - 5, head) for head in train.heads]
    assert np.mean(heads) == pytest.approx(float(metrics["unlab/train/acc/avg"]), abs=1e-6)


def test_an_image_is_the_one_of_its_row(found):
    part, data = found.sets["unlab/test"], found.datamodule
    novel = np.flatnonzero(data.test_targets >= 5)
    for row in (0, 17, len(part) - 1):
        picture = found.picture("unlab/test", row, 96)
        np.testing.assert_array_equal(picture, data.test_images[novel[row]].permute(1, 2, 0))
        assert part.labels[row] == data.test_targets[novel[row]]
        assert found.file_name("unlab/test", row) == f"test {novel[row]}"


def test_every_unlabelled_image_is_in_the_table_of_clusters(found):
    part = found.sets["unlab/train"]
    rows = [row for sheet in clusters.cluster_sheets(found) for row in sheet.rows]
    assert sorted(row[2] for row in rows) == sorted(found.file_name("unlab/train", row) for row in range(len(part)))
    places = {found.file_name("unlab/train", row): row for row in range(len(part))}
    for name, _, image, truth, *numbers in rows:
        row = places[image]
        assert name == f"novel-{part.cluster[row]}"
        assert truth == found.class_name(part.labels[row])
        values = (part.cluster_probability, part.cluster_margin, part.cluster_distance)
        near = [found.outputs[part.known[row]], f"{part.known_probability[row]:.4f}"]
        assert numbers == [*(f"{value[row]:.4f}" for value in values), *near]


def test_sheets_hold_the_nearest_and_the_most_doubtful(found):
    part = found.sets["unlab/train"]
    for cluster, sheet in enumerate(clusters.cluster_sheets(found)):
        rows = [row for row in range(len(part)) if part.cluster[row] == cluster]
        assert f": {clusters.counted(len(rows))}" in sheet.title
        by_distance = sorted(rows, key=lambda row: part.cluster_distance[row])
        typical, doubtful = (
            [row for row in sheet.rows if row[1] == kind] for kind in ("most typical", "most doubtful")
        )
        expected = [found.file_name("unlab/train", row) for row in by_distance[: len(typical)]]
        assert [row[2] for row in typical] == expected
        assert not {row[2] for row in typical} & {row[2] for row in doubtful}
        assert [float(row[5]) for row in doubtful] == sorted(float(row[5]) for row in doubtful)


def test_misclassified_images_and_pairs(found):
    rows = clusters.misclassified(found)
    assert len(rows) - 1 == found.agnostic_table.sum() - sum(
        found.agnostic_table[label, cluster] for cluster, label in confusion.table_mapping(found.agnostic_table).items()
    )
    counts = [int(re.search(r": ([\d,]+) image", sheet.title)[1]) for sheet in clusters.pair_sheets(found)]
    assert counts == sorted(counts, reverse=True)


def test_confused_pairs_and_order_of_a_small_table():
    counts = np.array([[1, 8, 0, 1], [7, 0, 3, 0], [0, 0, 2, 5]])
    assert confusion.matched_order(counts) == [1, 0, 3, 2]
    assert confusion.confused_pairs(counts, 3) == [(1, 2, 3), (2, 2, 2), (0, 0, 1)]
    np.testing.assert_allclose(confusion.class_accuracies(counts), [0.8, 0.7, 5 / 7])
    rows = list(confusion.confusion_rows(counts, "abc", "wxyz"))
    assert rows[:2] == [("true class", "x", "w", "z", "y"), ("a", "0.8000", "0.1000", "0.1000", "0.0000")]


def test_many_classes_are_all_labelled():
    names = [f"a class {i}" for i in range(100)]
    axis = confusion.plot_confusion(np.eye(100, dtype=np.int64), names, 80, names).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == names
    sizes = axis.get_window_extent().height / 100, axis.get_yticklabels()[0].get_fontsize()
    assert sizes[1] < sizes[0]  # points of a label, points between two


def test_a_confusion_matrix_names_the_classes_on_both_axes():
    counts = np.array([[1, 8, 0, 1], [7, 0, 3, 0], [0, 0, 2, 5]])
    axis = confusion.plot_confusion(counts, ("cat", "dog", "ship"), 1).axes[0]
    shown = [text.get_text() for text in axis.get_xticklabels()]
    assert shown == ["cat (novel-0)", "dog (cat)", "ship (novel-2)", "novel-1"]
    axis = confusion.plot_confusion(np.eye(2, dtype=np.int64), ("cat", "dog"), 1, ("cat", "novel-0")).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["cat", "dog (novel-0)"]


def test_numbers_in_light_cells_stay_dark_on_a_dark_page():
    axis = confusion.plot_confusion(np.eye(2, dtype=np.int64), ("cat", "dog"), 0).axes[0]
    svg = to_svg(axis.figure, "matrix", "a matrix")
    assert [text.get_text() for text in axis.texts] == ["1.00", "1.00"]
    assert svg.count(f"fill: {axis.texts[0].get_color()}") == 2


def test_the_command_gives_the_same_settings(found):
    hparams = found.discoverer.hparams
    assert discovery_main(hparams) == "main_discover_inter_intra.py"
    words = shlex.split(shlex.join(reproduce_words(hparams)))
    again = vars(cli.parse("discover", words, factors=Discoverer.factors))
    known = {name: value for name, value in hparams.items() if name not in RECORDED}
    assert again | {"pretrained": None, "image_size": 8} == known | {"image_size": 8}
    assert again["pretrained"] == hparams["pretrained_from"]


@pytest.mark.parametrize("script", ["visualization", "draw_confusion_matrix", "compute_misclassification"])
def test_the_scripts_draw_from_a_checkpoint(script, tiny_run, found, tmp_path, monkeypatch, capsys):
    import importlib

    from utils.inference import discovery_checkpoint

    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(discovery_checkpoint, "collected", lambda args: found)
    out = ["--out", str(tmp_path / "out"), "--data_dir", str(tmp_path)]
    args = cli.parse("figures", ["--checkpoint", str(tiny_run[0] / "last.ckpt"), *out])
    for _ in range(2):  # an older figure of its own is replaced
        importlib.import_module(script).main(args)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {
        "visualization": {f"features.{kind}" for kind in ("pdf", "png", "csv")},
        "draw_confusion_matrix": {f"{n}.{k}" for n in FIGURES if "confusion" in n for k in ("pdf", "png", "csv")},
        "compute_misclassification": {"misclassified.csv", "confused-pairs.pdf", "confused-pairs.csv"},
    }
    assert made == expected[script]
    assert str(tmp_path / "out") in capsys.readouterr().out
    assert all(Image.open(path).width > 300 for path in (tmp_path / "out").glob("*.png"))
    monkeypatch.setattr(discovery_checkpoint, "collected", lambda args: pytest.fail("work began"))
    for path in (tmp_path / "out").iterdir():
        before = path.read_bytes()
        path.write_text("my own\n")
        with pytest.raises(UserError, match=rf"{path.name} is there already and is no older .*choose another$"):
            importlib.import_module(script).main(args)
        assert path.read_text() == "my own\n"
        path.write_bytes(before)


def test_a_checkpoint_s_own_data_are_collected(tiny_run, found):
    from utils.inference.discovery_checkpoint import collected

    again = collected(cli.parse("figures", ["--checkpoint", str(tiny_run[0] / "last.ckpt")]))
    np.testing.assert_array_equal(again.agnostic_table, found.agnostic_table)
    assert [drawing.name for drawing in figures.heads(again)] == ["heads"]


@pytest.fixture
def browser():
    """A headless Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


HOSTILE = [
    "<script>window.owned = 1</script>",
    '"><img src=x onerror="window.owned = 2">',
    "$\\frac{$ & $_$",
    "&lt;b&gt;",
]


def test_names_are_text_in_a_browser(found, tmp_path, browser, monkeypatch):
    names = [*HOSTILE, *(f"class {i}" for i in range(4, 10))]
    for name, value in (("names", tuple(names)), ("outputs", [*names[:5], *HOSTILE, "novel-5"])):
        monkeypatch.setitem(found.__dict__, name, value)
    monkeypatch.setattr(type(found), "file_name", lambda self, part, row: f"{HOSTILE[row % 4]}/{row}.png")
    path = write_report(found, {"joint/all": 0.5}, tmp_path)
    text = path.read_text()
    path.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text))  # escaping has to do alone
    page = browser.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto(path.as_uri())
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.querySelectorAll('script, [onerror], [src=x]').length") == 0
    shown = page.evaluate("document.body.innerText")
    assert all(name in shown for name in HOSTILE)
    assert problems == []


def test_a_browser_shows_all_of_it(tiny_run, browser):
    problems, requests, colors = [], [], set()
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tiny_run[0] / "report.html").as_uri())
        images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        assert len(images) > 20
        assert all(images)
        boxes = page.evaluate("[...document.querySelectorAll('svg[role=img]')].map(s => s.getBBox().width)")
        assert len(boxes) == 8
        assert min(boxes) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colors.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert problems == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert len([url for url in requests if url.startswith("file:")]) == 2
    assert len(colors) == 2
