"""Rows in one file that several processes add to, and tables of them."""

import math
import multiprocessing
import statistics

import pytest

from utils.comparison.commands import extraction_seconds
from utils.comparison.documents import refreshed
from utils.comparison.plots import dot_plot
from utils.comparison.protocols import Method, Protocol
from utils.comparison.rows import add_row, mean_and_deviation, read_rows
from utils.comparison.tables import COLUMNS, markdown
from utils.errors import UserError

METHODS = {name: Method(name, f"{name}.py", True, True, {}) for name in ("iic", "rs")}
PROTOCOL = Protocol("small", "for a test", 1, (0, 1, 2), METHODS)


def row(method: str, seed: int, **others) -> dict:
    return {"method": method, "seed": seed, "more": "", "seconds": 2.5, "cpu_seconds": 2, **others}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "small.csv"
    assert read_rows(path) == []
    assert add_row(path, row("iic", 0, **{"unlab/test/acc/best": 0.5, "device": 'a "b", c'}))
    assert add_row(path, row("pretraining", 0, **{"val/acc": 0.25, "cpu_seconds": None}))
    assert add_row(path, row("iic", 0, more="--max_epochs 2"))
    assert not add_row(path, row("iic", 0))  # the first stays
    first, second, third = read_rows(path)
    assert (first["method"], first["seed"], first["unlab/test/acc/best"], first["val/acc"]) == ("iic", "0", "0.5", "")
    assert first["device"] == 'a "b", c'
    assert (second["val/acc"], second["cpu_seconds"], second["unlab/test/acc/best"]) == ("0.25", "", "")
    assert third["more"] == "--max_epochs 2"
    assert [file.name for file in path.parent.iterdir()] == ["small.csv"]


def _add(path, method):
    for seed in range(20):
        add_row(path, row(method, seed, **{f"of {method}": seed}))


def test_two_drivers_lose_no_row(tmp_path):
    path = tmp_path / "small.csv"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(path, method)) for method in ("iic", "rs")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = {(one["method"], int(one["seed"]), one[f"of {one['method']}"]) for one in read_rows(path)}
    assert found == {(method, seed, str(seed)) for method in ("iic", "rs") for seed in range(20)}


def test_another_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("method,accuracy\niic,3\n")
    with pytest.raises(UserError, match="is not a table of this program"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(tmp_path)


def test_mean_and_deviation():
    values = [0.1, 0.4, 0.7, 0.2]
    assert mean_and_deviation(values) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert math.isnan(mean_and_deviation([3.0])[1])


def test_seconds_of_features_are_read_from_what_a_command_prints():
    line = "features  1,234 images in {} seconds (3.0 images/s)"
    assert extraction_seconds(f"{line.format('12.5')}\nelse {line.format('9.0')}\n{line.format('1,001.5')}\n") == 1014


def test_the_table_says_what_is_missing(tmp_path):
    path = tmp_path / "small.csv"
    assert markdown(PROTOCOL, [], ["iic"], "", "go") == "Nothing is measured yet; `go` begins."
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        add_row(path, row("iic", seed, **{"unlab/test/acc/best": accuracy}))
    add_row(path, row("iic", 0, more="--x 1", **{"unlab/test/acc/best": 0.0}))
    text = markdown(PROTOCOL, read_rows(path), ["iic", "rs", "ncl"], "", "go")
    assert text.splitlines() == [
        "| accuracy (%), best head | " + " | ".join(COLUMNS) + " | CPU seconds | seeds |",
        "|---|---|---|---|---|---|---|",
        "| iic |  | 60.0 ± 10.0 |  |  | 2 ± 0 | 3 |",
        "| rs, ncl | missing | missing | missing | missing | missing | 0 of 3 |",
        "",
        "6 of 9 runs are missing; `go` goes on.",
    ]
    page = (
        "before\n<!-- python scripts/compare.py small --table --methods rs,iic -->\nold\n<!-- end of table -->\nafter\n"
    )
    new = refreshed(page, {"small": PROTOCOL}, tmp_path)
    assert "60.0 ± 10.0" in new
    assert "old" not in new
    assert (new[:6], new[-6:]) == ("before", "after\n")
    assert refreshed(new, {"small": PROTOCOL}, tmp_path) == new
    with pytest.raises(UserError, match="a table of small, which is no protocol"):
        refreshed(page, {}, tmp_path)


def test_the_picture(tmp_path):
    path = tmp_path / "small.csv"
    with pytest.raises(UserError, match="small has no rows to show"):
        dot_plot(PROTOCOL, [], ["iic"], "", tmp_path / "a.png")
    add_row(path, row("iic", 0, **{"unlab/test/acc/best": 0.5}))
    add_row(path, row("rs", 9, **{"unlab/test/acc/best": 0.9}))  # no seed of the protocol
    add_row(path, row("rs", 0, more="--x 1", **{"unlab/test/acc/best": 0.9}))
    with pytest.raises(UserError, match="small has no rows to show"):
        dot_plot(PROTOCOL, read_rows(path), ["rs"], "", tmp_path / "a.png")
    dot_plot(PROTOCOL, read_rows(path), ["iic", "rs"], "", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
