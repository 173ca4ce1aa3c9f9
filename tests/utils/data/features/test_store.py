"""The store: whole or not at all, gone on with after a kill, one writer at a time, errors of one line."""

import json
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest

from utils.data.features.store import ABOUT, ARRAY, ROWS, UNFINISHED, FeatureRequest, FeatureStore
from utils.errors import UserError

N, V, D = 10, 2, 3
ROWS_OF_ALL = np.arange(N * V * D, dtype=np.float32).reshape(N, V, D)
REQUEST = FeatureRequest("pets-views", {"images": "abc", "seed": 0}, (N, V, D))


def quiet(text: str) -> None:
    """Say nothing."""


def chunks(row, size=4, log=None):
    for first in range(row, N, size):
        if log is not None:
            log.append(first)
        yield ROWS_OF_ALL[first : first + size]


def get(folder, request=REQUEST, **settings):
    return FeatureStore(folder, quiet).get(request, lambda row: chunks(row, **settings))


def killed_after(folder, rows):
    """An extraction that is killed when ``rows`` rows are asked for."""

    def dying(row):
        for first in range(row, N, 4):
            if first >= rows:
                os.kill(os.getpid(), signal.SIGKILL)
            yield ROWS_OF_ALL[first : first + 4]

    process = multiprocessing.get_context("fork").Process(target=FeatureStore(folder, quiet).get, args=(REQUEST, dying))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_what_is_extracted_is_read_as_a_map_and_not_extracted_again(tmp_path):
    log = []
    features = get(tmp_path, log=log)
    assert isinstance(features, np.memmap)
    assert features.dtype == np.float16
    assert (features == ROWS_OF_ALL).all()
    assert (get(tmp_path, log=log) == ROWS_OF_ALL).all()
    assert log == [0, 4, 8]
    place = tmp_path / REQUEST.folder_name
    assert json.loads((place / ABOUT).read_text())["images"] == "abc"
    assert not (place / UNFINISHED).exists()


def test_a_killed_extraction_is_not_taken_for_whole_and_goes_on(tmp_path):
    killed_after(tmp_path, 8)
    assert FeatureStore(tmp_path, quiet).find(REQUEST) is None
    log = []
    assert (get(tmp_path, log=log) == ROWS_OF_ALL).all()
    assert log == [8]


def test_rows_that_were_counted_but_are_not_there_are_extracted_again(tmp_path):
    killed_after(tmp_path, 8)
    place = tmp_path / REQUEST.folder_name
    os.truncate(place / UNFINISHED, 130)
    log = []
    assert (get(tmp_path, log=log) == ROWS_OF_ALL).all()
    assert log[0] == 0


def test_a_damaged_count_begins_anew(tmp_path):
    killed_after(tmp_path, 8)
    (tmp_path / REQUEST.folder_name / ROWS).write_text("{")
    log = []
    assert (get(tmp_path, log=log) == ROWS_OF_ALL).all()
    assert log[0] == 0


@pytest.mark.parametrize("changed", [{"images": "abd"}, {"seed": 1}, {"views": 3}])
def test_anything_else_has_a_place_of_its_own(changed):
    other = FeatureRequest(REQUEST.name, {**REQUEST.about, **changed}, REQUEST.shape)
    assert other.folder_name != REQUEST.folder_name


def test_features_of_other_data_under_this_name_are_refused(tmp_path):
    get(tmp_path)
    other = FeatureRequest("pets-views", {"images": "other"}, REQUEST.shape)
    shutil.copytree(tmp_path / REQUEST.folder_name, tmp_path / other.folder_name)
    with pytest.raises(UserError, match=r"were made from other data or another network; remove the folder .*pets"):
        get(tmp_path, other)


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    get(tmp_path)
    path = tmp_path / REQUEST.folder_name / ARRAY
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(UserError, match=r"features.npy cannot be read \(.*\); remove the folder"):
        get(tmp_path)


def test_a_second_run_waits_for_the_first(tmp_path):
    def slow(row):
        for chunk in chunks(row):
            time.sleep(0.3)
            yield chunk

    process = multiprocessing.get_context("fork").Process(
        target=FeatureStore(tmp_path, quiet).get, args=(REQUEST, slow)
    )
    process.start()
    while not (tmp_path / REQUEST.folder_name / UNFINISHED).exists():
        time.sleep(0.01)
    said, log = [], []
    features = FeatureStore(tmp_path, said.append).get(REQUEST, lambda row: chunks(row, log=log))
    process.join()
    assert (features == ROWS_OF_ALL).all()
    assert log == []
    assert len(said) == 1
    assert "waiting for another run" in said[0]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--feature_cache .*file cannot be written \(.*\); make it writable or choose"):
        get(tmp_path / "file")


def test_a_cache_that_does_not_fit(tmp_path):
    big = FeatureRequest("all", {}, (10**9, 10, 10**4))
    with pytest.raises(UserError, match=r"take 181\.9 TiB, but .* are free in --feature_cache .*lower --feature_views"):
        FeatureStore(tmp_path, quiet).get(big, lambda row: iter(()))


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"No space left on device"):
        get(tmp_path)
    monkeypatch.undo()
    assert (get(tmp_path) == ROWS_OF_ALL).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_16_bits_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(UserError, match=r"images 0 to 9 is no finite number of 16 bits"):
        FeatureStore(tmp_path, quiet).get(REQUEST, lambda row: iter([np.full((N, V, D), value, np.float32)]))
    assert FeatureStore(tmp_path, quiet).find(REQUEST) is None


def test_a_reader_who_leaves_is_no_error_of_the_disk(tmp_path):
    def unread(row):
        raise BrokenPipeError
        yield

    with pytest.raises(BrokenPipeError):
        FeatureStore(tmp_path, quiet).get(REQUEST, unread)
    assert (get(tmp_path) == ROWS_OF_ALL).all()
