"""Rows in one file that several processes add to, and tables of them."""

import multiprocessing
import re

import pytest

from utils.comparison.commands import Place, all_runs, extraction_seconds
from utils.comparison.documents import refreshed
from utils.comparison.plots import dot_plot, require_picture
from utils.comparison.protocols import Method, Protocol
from utils.comparison.rows import FIRST, add_row, read_rows
from utils.comparison.selection import select
from utils.comparison.tables import COLUMNS, markdown
from utils.errors import UserError

METHODS = {name: Method(name, f"{name}.py", True, True, {}) for name in ("iic", "rs", "ncl")}
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


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("", "method, seed"),
        ("method,accuracy\niic,3\n", "seed, more"),
        (";".join(FIRST), "method, seed"),
        (",".join(FIRST[:-1]) + "\n", "settings"),
    ],
)
def test_another_table_is_refused(tmp_path, text, lacks):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=f"is not a table of this program: its first line lacks {lacks}"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(tmp_path)


DAMAGES = [  # what stands in the third line, what comes there instead, and what is said
    (",cafe,.*", "", "it has fewer cells than the first line"),
    ("$", ",5", "it has more cells than the first line"),
    ("iic,", ",", "method is '' but must be the name of one"),
    ("iic,1,", "iic,seven,", "seed is 'seven' but must be a whole number"),
    ("iic,1,", "iic,1.0,", "seed is '1.0'"),
    ("iic,1,", "iic,01,", "seed is '01'"),
    ("iic,1,", "iic,,", "seed is ''"),
    ("iic,1,", "iic,0,", "iic, seed 0, is in line 2 already; remove one"),
    ("2.5,", ",", "seconds is '' but must be a number of them"),
    ("2.5,", "inf,", "seconds is 'inf'"),
    (",2,", ",two,", "cpu_seconds is 'two'"),
    ("0.75", "9.1", "unlab/test/acc/best is '9.1' but must be a number from 0 to 1, or empty"),
    ("0.75", "nan", "unlab/test/acc/best is 'nan'"),
    ("0.75", "ninety", "unlab/test/acc/best is 'ninety'"),
]


@pytest.mark.parametrize(("old", "new", "message"), DAMAGES, ids=[message for _, _, message in DAMAGES])
def test_a_damaged_row_is_told_with_its_line(tmp_path, old, new, message):
    path = tmp_path / "small.csv"
    for seed in (0, 1):
        add_row(path, row("iic", seed, settings="", device="cafe", **{"unlab/test/acc/best": 0.75}))
    lines = path.read_text().splitlines()
    lines[2] = re.sub(old, new, lines[2], count=1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=re.escape(f"{path}, line 3: {message}")):
        read_rows(path)
    with pytest.raises(UserError, match="line 3"):
        add_row(path, row("rs", 0))


def test_what_a_user_adds_is_kept(tmp_path):
    """A column of notes, an empty line at the end, and the mark that a spreadsheet puts in front."""
    path = tmp_path / "small.csv"
    add_row(path, row("iic", 0))
    header, first = path.read_text().splitlines()
    path.write_text(f"\ufeff{header},note\n{first},=see below\n\n", encoding="utf-8")
    assert add_row(path, row("iic", 1))
    assert [one["note"] for one in read_rows(path)] == ["'=see below", ""]


def test_rows_of_other_seeds_or_settings_are_not_shown(tmp_path):
    path = tmp_path / "small.csv"
    now = [run.settings for run in all_runs(PROTOCOL, ["iic"], (0, 1, 2), Place(tmp_path, tmp_path, tmp_path))]
    for seed, settings in enumerate((now[0], "", "00000000")):
        add_row(path, row("iic", seed, settings=settings, commit="abc" if seed else "abc,def"))
    text = markdown(select(PROTOCOL, read_rows(path), ["iic"], (0, 1, 2)), "go")
    assert text.splitlines()[-3:] == [
        "Rows of commits abc and def (1), abc (1).",
        "Left out, since the protocol has other flags now: iic 2.",
        "1 of 3 runs are missing; `go` goes on.",
    ]
    text = markdown(select(PROTOCOL, read_rows(path), ["iic"], (1,)), "go")
    assert text.splitlines()[-3:] == ["| iic |  |  |  |  | 2 | 1 |", "", "Rows of commit abc (1)."]


def test_rows_of_other_images_are_not_shown(tmp_path):
    path = tmp_path / "small.csv"
    for seed, images in enumerate(("cafe", "beef", "beef", "")):
        add_row(path, row("iic", seed, images=images, **{"unlab/test/acc/best": 0.1 * (seed + 1)}))
    text = markdown(select(PROTOCOL, read_rows(path), ["iic"], range(4)), "go")
    assert "| iic |  | 30.0 ± 10.0 |" in text
    assert "\nLeft out, since they are of other images than the rest: iic 0.\n" in text
    assert "30.0" not in markdown(select(PROTOCOL, read_rows(path), ["iic"], (0, 1)), "go")  # of as many, the first


@pytest.mark.parametrize(
    ("extraction", "cell"),
    [
        ((90, 0, 0), "11 ± 1 (2 of 3)"),
        ((90, 0, ""), "11 ± 1 (2 of 3)"),
        ((0, 0, 0), "41 ± 51"),
        ((90, 80, 70), "41 ± 51 with extraction"),
    ],
)
def test_seconds_of_rows_that_extracted_stand_alone(tmp_path, extraction, cell):
    for seed, (all_of_it, extracting) in enumerate(zip((100, 10, 12), extraction, strict=True)):
        accuracy = {"unlab/test/acc/best": None if seed == 1 else 0.5}
        new = row("iic", seed, extraction_seconds=extracting, **accuracy) | {"cpu_seconds": all_of_it}
        add_row(tmp_path / "a.csv", new)
    text = markdown(select(PROTOCOL, read_rows(tmp_path / "a.csv"), ["iic"], (0, 1, 2)), "go")
    assert f"| 50.0 ± 0.0 (2 of 3) |  |  | {cell} | 3 |" in text


def test_seconds_of_features_are_read_from_what_a_command_prints():
    line = "features  1,234 images in {} seconds (3.0 images/s)"
    assert extraction_seconds(f"{line.format('12.5')}\nelse {line.format('9.0')}\n{line.format('1,001.5')}\n") == 1014


def test_the_table_says_what_is_missing(tmp_path):
    path = tmp_path / "small.csv"
    assert markdown(select(PROTOCOL, [], ["iic"], (0, 1)), "go") == "Nothing is measured yet; `go` begins."
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        add_row(path, row("iic", seed, **{"unlab/test/acc/best": accuracy}))
    add_row(path, row("iic", 0, more="--x 1", **{"unlab/test/acc/best": 0.0}))
    text = markdown(select(PROTOCOL, read_rows(path), ["iic", "rs", "ncl"], PROTOCOL.seeds), "go")
    assert text.splitlines() == [
        "| accuracy (%), best head | " + " | ".join(COLUMNS) + " | CPU seconds | seeds |",
        "|---|---|---|---|---|---|---|",
        "| iic |  | 60.0 ± 10.0 |  |  | 2 ± 0 | 3 |",
        "| rs, ncl | missing | missing | missing | missing | missing | 0 of 3 |",
        "",
        "Rows of commit unknown (3).",
        "6 of 9 runs are missing; `go` goes on.",
    ]
    page = (
        "before\n<!-- python scripts/compare.py small --table --methods rs,iic -->\nold\n<!-- end of table -->\nafter\n"
    )
    new = refreshed(page, {"small": PROTOCOL}, tmp_path)
    assert "60.0 ± 10.0" in new
    assert "old" not in new
    assert "3 of 6 runs are missing; `python scripts/compare.py small --methods rs,iic` goes on." in new
    assert (new[:6], new[-6:]) == ("before", "after\n")
    assert refreshed(new, {"small": PROTOCOL}, tmp_path) == new
    with pytest.raises(UserError, match="a table of small, which is no protocol"):
        refreshed(page, {}, tmp_path)


def test_the_picture(tmp_path):
    path = tmp_path / "small.csv"
    with pytest.raises(UserError, match="small has no rows to show"):
        dot_plot("small", select(PROTOCOL, [], ["iic"], (0,)), tmp_path / "a.png")
    add_row(path, row("iic", 0, **{"unlab/test/acc/best": 0.5}))
    add_row(path, row("rs", 9, **{"unlab/test/acc/best": 0.9}))  # no seed of the protocol
    add_row(path, row("rs", 0, more="--x 1", **{"unlab/test/acc/best": 0.9}))
    with pytest.raises(
        UserError, match=r"small has no rows to show; run it first. 1 row of other flags: --more='--x 1'"
    ):
        dot_plot("small", select(PROTOCOL, read_rows(path), ["rs"], PROTOCOL.seeds), tmp_path / "a.png")
    dot_plot("small", select(PROTOCOL, read_rows(path), ["iic", "rs"], PROTOCOL.seeds), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    require_picture(tmp_path / "a.png")  # an older one of ours


def test_nothing_but_a_picture_is_overwritten_by_one(tmp_path):
    for name, message in (("a.csv", "give a name that ends in .png"), ("a.png", "no older figure of this program, or")):
        (tmp_path / name).write_text("Matplotlib in the notes")
        with pytest.raises(UserError, match=message) as raised:
            require_picture(tmp_path / name)
        assert "--force" not in str(raised.value)
    require_picture(tmp_path / "new" / "b.png")
