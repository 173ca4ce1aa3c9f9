"""Protocols: every command is one that its main takes; tables of the pages are what the committed rows say."""

import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from utils import cli
from utils.comparison.commands import OURS, Place, all_runs
from utils.comparison.documents import MARK, refreshed
from utils.comparison.driver import Driver
from utils.comparison.protocols import Images, Method, chosen, read_protocols, require_images
from utils.comparison.published import SPLITS, published_protocol
from utils.comparison.rows import read_rows
from utils.errors import UserError
from utils.methods.named import baseline_module, baseline_names

PROTOCOLS = read_protocols()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAINS = {"uno_v2", "inter", "intra", "iic", "mse"}


def place(folder: Path, **others) -> Place:
    return Place(folder / "data", folder / "features", folder / "logs", **others)


def settings(run, protocol) -> dict:
    """What the run's main makes of its command line."""
    main, *words = run.words
    if run.method == "pretraining":
        return vars(cli.parse("pretrain", words))
    if not protocol.methods[run.method].trains:
        return vars(cli.parse("features", words))
    if main.startswith("baselines/"):
        return vars(cli.parse("discover", words, method=baseline_module(run.method).METHOD))
    discoverer = importlib.import_module(main.removesuffix(".py")).Discoverer
    return vars(cli.parse("discover", words, factors=discoverer.factors))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_command_is_taken(name, tmp_path):
    protocol = PROTOCOLS[name]
    runs = all_runs(protocol, list(protocol.methods), protocol.seeds, place(tmp_path))
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)  # seed by seed
    for run in runs[: len(runs) // len(protocol.seeds)]:
        found = settings(run, protocol)
        assert (ROOT / run.words[0]).is_file()
        assert found["seed"] == run.seed
        assert found["run_name"] == f"{run.method}-seed{run.seed}"
        if run.pretrained:
            weights = found["pretrained"] if "pretrained" in found else found["checkpoint"]
            before = settings(next(other for other in runs if other.method == "pretraining"), protocol)
            assert (
                weights
                == f"{before['checkpoint_dir']}/{cli.run_name(cli.parse('pretrain', runs[0].words[1:]), 'pretrain')}.cp"
            )


@pytest.mark.parametrize("name", ["digits", "cifar10-500"])
def test_all_methods_are_there(name):
    there = {method for method in baseline_names() if baseline_module(method).METHOD.stage != "pretrain"}
    assert set(PROTOCOLS[name].methods) == there | MAINS


def test_all_methods_of_a_protocol_train_as_long():
    for protocol in PROTOCOLS.values():
        assert all("max_epochs" not in method.settings for method in protocol.methods.values())


def test_further_flags_go_where_they_are_known(tmp_path):
    runs = all_runs(PROTOCOLS["digits"], ["kmeans", "iic"], [3], place(tmp_path, more="--width 8 --num_heads 2"))
    ends = {run.method: " ".join(run.words[-4:]) for run in runs}
    assert ends["pretraining"].endswith("--width 8")
    assert ends["kmeans"].endswith("--width 8")
    assert ends["iic"] == "--width 8 --num_heads 2"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_flags_that_are_set_for_each_run_are_no_further_ones(name, tmp_path):
    """All that a command has and its protocol does not say."""
    protocol = PROTOCOLS[name]
    given = {"common": protocol.common, "training": protocol.training, "pretraining": protocol.pretraining or {}}
    said = {
        flag for settings in [*given.values(), *(m.settings for m in protocol.methods.values())] for flag in settings
    }
    runs = all_runs(protocol, list(protocol.methods), [0], place(tmp_path))
    flags = {word[2:].removeprefix("no-") for run in runs for word in run.words if word.startswith("--")}
    assert flags - said <= OURS
    for flag in flags - said:
        with pytest.raises(UserError, match=f"--more has --{flag}, which is set for each run"):
            all_runs(protocol, list(protocol.methods), [0], place(tmp_path, more=f"--max_epochs 2 --{flag} x"))


def test_what_starts_from_no_pretraining_has_none(tmp_path):
    runs = all_runs(PROTOCOLS["frozen-cifar10-500"], ["kmeans", "uno_v2"], [0], place(tmp_path))
    assert [run.method for run in runs] == ["kmeans", "uno_v2"]


def test_a_clustering_leaves_its_metrics_under_the_name_of_its_file(tmp_path):
    method = Method("mine", "baselines/kmeans.py", trains=False, pretrained=False, settings={})
    (run,) = all_runs(replace(PROTOCOLS["digits"], methods={"mine": method}), ["mine"], [0], place(tmp_path))
    assert run.metrics == tmp_path / "logs" / "mine-seed0" / "kmeans" / "metrics.json"


def test_settings_do_not_depend_on_the_place_of_files(tmp_path):
    def digests(folder, **others):
        runs = all_runs(PROTOCOLS["frozen-cifar10-5"], ["rs", "kmeans"], [0], place(folder, **others))
        return [run.settings for run in runs]

    here = digests(tmp_path / "a")
    assert here == digests(tmp_path / "b")
    assert len(set(here)) == 3
    assert here[1] != digests(tmp_path / "a", more="--batch_size 8")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2]", "no file of protocols"),
        ("a: {methods: {iic: {}}, seeds: [0], about: x, hours: 1, colour: red}", "colour"),
        ("a: {methods: {iic: {}}, seeds: [0], about: x}", "hours"),
        ("a: !!python/object/apply:os.getcwd []", "no file of protocols"),
        ("", "no file of protocols"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "protocols.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_protocols(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_protocols(tmp_path / "absent.yaml")


def test_names_that_are_not_there_are_told():
    assert chosen("c,a", ["a", "b", "c"], "--methods") == ["a", "c"]
    with pytest.raises(UserError, match="--methods d is not of this protocol; there are a, b"):
        chosen("a,d", ["a", "b"], "--methods")


def test_other_numbers_of_images_are_refused(tmp_path):
    pixels = np.zeros((40, 32, 32, 3), np.uint8)
    labels = np.arange(40) % 10
    np.savez(tmp_path / "cifar10.npz", train_images=pixels, train_labels=labels, test_images=pixels, test_labels=labels)
    digest = require_images(Images("CIFAR10", 4, 4), tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", digest)
    with pytest.raises(UserError, match="4 to 4 training images of a class of CIFAR10, but this protocol is of 500"):
        require_images(Images("CIFAR10", 500, 4), tmp_path)
    with pytest.raises(UserError, match="4 to 4 test images"):
        require_images(Images("CIFAR10", 4, 100), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_what_the_rows_say(page):
    text = page.read_text()
    assert refreshed(text, PROTOCOLS, ROOT / "results") == text, "python scripts/compare.py --docs writes them anew"


def test_committed_rows_are_of_the_protocols_and_in_a_page(tmp_path):
    shown = {mark["name"] for page in PAGES for mark in MARK.finditer(page.read_text())}
    assert shown == set(PROTOCOLS)
    for path in (ROOT / "results").glob("*.csv"):
        protocol = published_protocol(path.stem) if path.stem in SPLITS else PROTOCOLS[path.stem]
        runs = all_runs(protocol, list(protocol.methods), protocol.seeds, place(tmp_path))
        Driver(protocol, runs, place(tmp_path), path).require_comparable()
        names = {run.name for run in runs}
        for row in read_rows(path):
            assert f"{row['method']}-seed{row['seed']}" in names
            assert not row["more"]
            assert row["device"]
            assert row["torch"]


def test_the_page_of_protocols_says_their_hours():
    text = (ROOT / "docs" / "comparing.md").read_text()
    for name, protocol in PROTOCOLS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.endswith(f"| {len(protocol.seeds)} | {protocol.hours:g} |")


def test_pretraining_belongs_to_what_starts_from_it(tmp_path):
    protocol = PROTOCOLS["frozen-cifar10-5"]
    assert protocol.pretrains(["kmeans", "kcl"])
    assert not protocol.pretrains(["kmeans", "iic"])
    assert [run.method for run in all_runs(protocol, ["kmeans", "iic"], [0], place(tmp_path))] == ["kmeans", "iic"]


@pytest.mark.parametrize("words", [["--list"], ["digits", "--table"]])
def test_what_is_printed_needs_no_torch(words):
    code = "import sys; from scripts import compare; compare.main(compare.command_line().parse_args(sys.argv[1:]))\n"
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout or "iic" in done.stdout
