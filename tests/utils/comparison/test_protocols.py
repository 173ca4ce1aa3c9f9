"""Protocols: every command is one that its main takes; tables of the pages are what the committed rows say."""

import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from utils import cli
from utils.comparison.commands import OURS, Place, all_runs
from utils.comparison.documents import MARK, refreshed
from utils.comparison.driver import Driver
from utils.comparison.protocol_file import read_protocols
from utils.comparison.protocols import Images, Method, chosen, require_images
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
        ("", " is no file of protocols: it holds no block"),
        ("3", " is no file of protocols: it holds no block"),
        ("a: !!python/object/apply:os.getcwd []", " is no file of protocols (could not determine a constructor"),
        ("a: {about: x}\na: {about: y}", " is no file of protocols (the key 'a' is there twice in"),
        ("a: {methods: {iic: {x: 1}, iic: {x: 2}}}", " is no file of protocols (the key 'iic' is there twice in"),
        ("a: [1, 2]", ": a is [1, 2] but must be a block of keys and values"),
        ("7: {}", ": 7: its name is 7 but must be a text"),
        ("a: {about: x, methods:}", ": a lacks hours, seeds, methods"),
        ("a: {hors: 1}", ": a has the unknown key 'hors'; did you mean 'hours'?"),
        ("a: {WHOLE, hours: two}", ": a.hours is 'two' but must be a number of hours"),
        ("a: {WHOLE, hours: .nan}", ": a.hours is nan but must be"),
        (
            "a: {WHOLE, seeds: 3}",
            ": a.seeds is 3 but must be a list of whole numbers such as [0, 1, 2], each there once",
        ),
        ("a: {WHOLE, seeds: []}", ": a.seeds is [] but"),
        ("a: {WHOLE, seeds: [a]}", ": a.seeds is ['a'] but"),
        ("a: {WHOLE, seeds: [0.5]}", ": a.seeds is [0.5] but"),
        ("a: {WHOLE, seeds: [true]}", ": a.seeds is [True] but"),
        ("a: {WHOLE, seeds: [-1]}", ": a.seeds is [-1] but"),
        ("a: {WHOLE, seeds: [0, 0]}", ": a.seeds is [0, 0] but"),
        ("a: {WHOLE, seeds: '01'}", ": a.seeds is '01' but"),
        ("a: {WHOLE, pretraining: true}", ": a.pretraining is True but must be a block of keys and values"),
        ("a: {WHOLE, training: {width: [1]}}", ": a.training.width is [1] but must be a number, a text, true or false"),
        ("a: {WHOLE, images: {dataset: CIFAR10, train: 5}}", ": a.images lacks test"),
        (
            "a: {WHOLE, images: {dataset: CIFAR10, train: 5, test: x}}",
            ": a.images.test is 'x' but must be a whole number",
        ),
        ("a: {WHOLE, methods: {}}", ": a.methods is {} but must be a block of at least one method"),
        ("a: {WHOLE, methods: {iic: 3}}", ": a.methods.iic is 3 but must be a block"),
        ("a: {WHOLE, methods: {1: {}}}", ": a.methods.1: its name is 1 but must be a text"),
        ("a: {WHOLE, methods: {pretraining: {}}}", ": a.methods.pretraining has the name that the rows of the"),
        ("a: {WHOLE, methods: {iic: {trains: 1}}}", ": a.methods.iic.trains is 1 but must be true or false"),
        ("a: {WHOLE, methods: {iic: {width: }}}", ": a.methods.iic.width is None but must be a number"),
        ("a: {WHOLE, common: {seed: 3}}", ": a.common has seed, which is set for each run (seeds are given by --seeds"),
        ("a: {WHOLE, pretraining: {run_name: x}}", ": a.pretraining has run_name, which is set for each run"),
        ("a: {WHOLE, training: {no-wandb: true}}", ": a.training has no-wandb, which is set for each run"),
        ("a: {WHOLE, methods: {iic: {data_dir: x}}}", ": a.methods.iic has data_dir, which is set for each run"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    """In one line with the file, the protocol and the key."""
    path, given = tmp_path / "protocols.yaml", {"about": "x", "hours": "1", "seeds": "[0]", "methods": "{iic: }"}
    whole = ", ".join(f"{key}: {value}" for key, value in given.items() if f"{key}:" not in text)
    path.write_text(text.replace("WHOLE", whole))
    with pytest.raises(UserError, match=re.escape(f"{path}{message}")) as raised:
        read_protocols(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    (tmp_path / "protocols.yaml").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"cannot be read \(it is not text\)"):
        read_protocols(tmp_path / "protocols.yaml")
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


def test_images_without_a_class_are_not_counted(tmp_path):
    pixels, labels = np.zeros((6, 8, 8, 3), np.uint8), np.array([0, 0, 1, 1, -1, -1])
    np.savez(tmp_path / "a.npz", train_images=pixels, train_labels=labels, test_images=pixels, test_labels=labels)
    require_images(Images("npz:a.npz", 2, 2), tmp_path)


def test_images_that_are_read_one_by_one_are_not_counted(tmp_path):
    for path in [tmp_path / split / name / "0.png" for split in ("train", "test") for name in "ab"]:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (100, 100)).save(path)
    with pytest.raises(UserError, match="the images of folder are too large to be kept in memory and are not counted"):
        require_images(Images("folder", 1, 1), tmp_path)


@pytest.mark.parametrize(("dataset", "given"), [("folder", True), ("npz:a.npz", True), ("digits", False)])
def test_what_is_read_from_files_is_told_where(tmp_path, dataset, given):
    protocol = replace(PROTOCOLS["digits"], common={"dataset": dataset})
    for run in all_runs(protocol, ["iic", "kmeans"], [0], place(tmp_path)):
        assert (f"--data_dir {tmp_path / 'data'}" in " ".join(run.words)) == given


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
