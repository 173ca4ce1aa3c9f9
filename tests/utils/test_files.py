"""Files that appear whole or not at all: behind links, and under names as long as a file system takes."""

import pytest

from utils.errors import UserError
from utils.files import LONGEST_NAME, replaced_name, write_text
from utils.targets import require_different, require_target


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path, there):
    (tmp_path / "big disk").mkdir()
    link, file = tmp_path / "out.csv", tmp_path / "big disk" / "out.csv"
    link.symlink_to(file)
    if there:
        file.write_text("older")
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert [path.name for path in file.parent.iterdir()] == ["out.csv"]


def test_what_is_kept_of_a_link_is_the_link(tmp_path):
    link, file, kept = tmp_path / "out.csv", tmp_path / "theirs.csv", tmp_path / "kept.csv"
    file.write_text("theirs")
    link.symlink_to(file)
    assert write_text(link, "new", kept)
    assert (link.read_text(), kept.read_text(), file.read_text()) == ("new", "theirs", "theirs")
    assert (link.is_symlink(), kept.is_symlink()) == (False, True)


def test_the_place_behind_a_link_is_looked_at(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file/out.csv")
    with pytest.raises(UserError, match=r"--out .*link cannot be written \(Not a directory\)"):
        require_target("out", tmp_path / "link")
    (tmp_path / "other").symlink_to("out.csv")  # not there yet
    with pytest.raises(UserError, match=r"--out and --export are one file, .*other; choose two names"):
        require_different(out=str(tmp_path / "out.csv"), export=str(tmp_path / "other"))


def test_names_of_any_length(tmp_path):
    path = tmp_path / ("é" * 125 + "x.csv")
    assert len(path.name.encode()) == LONGEST_NAME
    require_target("out", path)
    for turn in range(3):
        write_text(path, f"{turn}", replaced_name(path))
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["0", "1", "2"]
