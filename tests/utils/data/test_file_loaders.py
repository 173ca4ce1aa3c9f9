"""File loaders: the batches do not depend on the workers; halves are shuffled on their own; damage is named."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.utils.data.makers import pixels
from utils.data.dead_workers import told_of_dead_workers
from utils.data.file_loaders import EpochBatches, FileEvalLoader, FileViewLoader
from utils.errors import UserError
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline
from utils.transforms.spec import EvalSpec, Jitter, ResizedCrop, ViewSpec

VIEWS = (
    ViewSpec(24, (ResizedCrop((0.5, 1.0)),), jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.5)),
    ViewSpec(24, (ResizedCrop((0.5, 1.0)),), jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.5)),
    ViewSpec(12, (ResizedCrop((0.1, 0.5)),)),
)
MEAN = STD = (0.5, 0.5, 0.5)
L = 3


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    made = [str(folder / f"{number:02}.png") for number in range(14)]
    for number, path in enumerate(made):
        Image.fromarray(pixels(30 + number, 40, 3, seed=number)).save(path)
    return made


LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, -1, -1, -1, -1, -1])


def loader(paths, **settings):
    pipeline = ViewPipeline(VIEWS, MEAN, STD)
    return FileViewLoader(paths, LABELS, pipeline, VIEWS, **{"batch_size": 4, "seed": 0, **settings})


def same(first, second):
    return all(
        torch.equal(labels, others) and all(map(torch.equal, views, other_views))
        for (views, labels), (other_views, others) in zip(first, second, strict=True)
    )


def test_batches(paths):
    drawn = list(loader(paths))
    assert len(loader(paths)) == len(drawn) == 3
    for views, labels in drawn:
        assert [tuple(view.shape) for view in views] == [(4, 3, 24, 24), (4, 3, 24, 24), (4, 3, 12, 12)]
        assert all(view.dtype == torch.float32 for view in views)
        assert (labels.dtype, labels.shape) == (torch.int64, (4,))
        assert not torch.equal(views[0], views[1])


def test_workers_change_nothing(paths):
    now = SimpleNamespace(epoch=0)
    alone, shared = (loader(paths, num_workers=count, epoch=lambda: now.epoch) for count in (0, 2))
    epochs = []
    for now.epoch in (0, 1):
        epochs.append(list(alone))
        assert same(epochs[-1], list(shared))
    assert not same(*epochs)
    next(iter(shared))  # a pass that is broken off
    now.epoch = 0
    assert same(epochs[0], list(shared))


def test_seed(paths):
    assert same(list(loader(paths)), list(loader(paths)))
    assert not same(list(loader(paths)), list(loader(paths, seed=1)))


def test_an_epoch_goes_on_where_it_was_left(paths):
    whole = list(loader(paths))
    for workers in (0, 2):
        later = loader(paths, num_workers=workers, start=lambda: 1)
        assert same(whole[1:], list(later))
    assert LABELS[later.batch_rows(0, 2)].tolist() == whole[2][1].tolist()


def lose_a_worker(paths):
    batches = iter(loader(paths, num_workers=1, batch_size=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    with told_of_dead_workers():  # as in a run: the signal may come before the next batch is asked for
        os.kill(worker.pid, signal.SIGKILL)
        list(batches)


def test_a_worker_that_dies_is_told(paths):
    """In a process of its own: torch raises from the handler of a signal that any other child's end sends as well."""
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone,
        pytest.raises(UserError, match="a process that decodes images has died"),
    ):
        alone.submit(lose_a_worker, paths).result()


TOLD_BY = [RuntimeError("DataLoader worker (pid 7) is killed"), ConnectionResetError(104, "reset by peer"), EOFError()]


@pytest.mark.parametrize("error", TOLD_BY)
def test_the_end_of_a_worker_is_told_once(paths, error, monkeypatch):
    def broken():
        raise error
        yield

    handlers = []
    monkeypatch.setattr(signal, "signal", lambda *of: handlers.append(of))
    batches = loader(paths)
    batches._loader = broken()
    with pytest.raises(UserError) as raised, told_of_dead_workers():  # as a run has it around its loaders' own
        list(batches)
    assert str(raised.value).count("has died") == 1
    assert handlers == [(signal.SIGCHLD, signal.SIG_DFL)]


@pytest.mark.parametrize("error", [ConnectionResetError(), UserError("DataLoader worker"), RuntimeError("another")])
def test_other_errors_are_not_taken_for_the_end_of_a_worker(error):
    with pytest.raises(type(error)) as raised, told_of_dead_workers():
        raise error
    assert raised.value is error


def test_damaged_file_is_named(paths, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"damaged")
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"bad\.jpg cannot be read") as raised:
            list(loader([*paths[:-1], str(bad)], num_workers=workers, batch_size=14))
        assert "\n" not in str(raised.value)
        with pytest.raises(UserError, match=r"bad\.jpg cannot be read"):
            list(evaluation([str(bad)], LABELS[:1], num_workers=workers))


def evaluation(paths, labels, **settings):
    pipeline = EvalPipeline(EvalSpec(16, resize=20), MEAN, STD)
    return FileEvalLoader(paths, labels, pipeline, **{"batch_size": 4, **settings})


@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation(paths, world_size):
    shares = [
        list(evaluation(paths, np.arange(14), rank=rank, world_size=world_size, num_workers=rank % 2))
        for rank in range(world_size)
    ]
    for rank, share in enumerate(shares):
        assert torch.cat([labels for _, labels in share]).tolist() == list(range(14))[rank::world_size]
        assert all(images.shape[1:] == (3, 16, 16) for images, _ in share)
        assert all(images.dtype == torch.float32 for images, _ in share)


def test_empty_evaluation():
    assert len(evaluation([], np.zeros(0, np.int64))) == 0
    assert list(evaluation([], np.zeros(0, np.int64))) == []


@pytest.mark.parametrize(("batch_size", "labeled", "steps"), [(4, 2, 4), (5, 2, 4), (2, 1, 9), (6, 3, 3)])
def test_half_batches(paths, batch_size, labeled, steps):
    half = loader(paths, half_labeled=L, batch_size=batch_size)
    drawn = [labels for _, labels in half]
    assert len(half) == len(drawn) == steps
    for labels in drawn:
        assert (labels >= 0).tolist() == [True] * labeled + [False] * (batch_size - labeled)


def epoch_batches(sizes=(2, 2), counts=(9, 5), epoch=0, **settings):
    groups = [np.arange(counts[0]), 100 + np.arange(counts[1])]
    batches = EpochBatches(groups, sizes, **{"seed": 0, **settings})
    batches.epoch = epoch
    return list(batches)


def test_shorter_half_is_cycled_and_reordered():
    drawn = epoch_batches(sizes=(1, 1), counts=(12, 3))
    longer = [batch[0][2] for batch in drawn]
    assert sorted(longer) == list(range(12))
    passes = np.array([batch[1][2] for batch in drawn]).reshape(4, 3)
    assert (np.sort(passes) == [100, 101, 102]).all()
    assert len({tuple(turn) for turn in passes.tolist()}) > 1


def test_halves_are_shuffled_on_their_own():
    counts = (64, 64)
    drawn = np.array([[item[2] for item in batch] for batch in epoch_batches(sizes=(1, 1), counts=counts)])
    assert (drawn[:, 0] != drawn[:, 1] - 100).any()
    fewer = np.array([[item[2] for item in batch] for batch in epoch_batches(sizes=(1, 1), counts=(64, 10))])
    assert (drawn[:, 0] == fewer[:, 0]).all()


def test_positions_name_the_images_of_an_epoch():
    shares = [epoch_batches(rank=rank, world_size=2, counts=(40, 40), epoch=7) for rank in range(2)]
    items = [item for share in shares for batch in share for item in batch]
    assert {epoch for epoch, _, _ in items} == {7}
    positions = [position for _, position, _ in items]
    assert sorted(positions) == list(range(len(items)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch(world_size):
    shares = [epoch_batches(rank=rank, world_size=world_size, counts=(40, 31)) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    labeled = [item[2] for share in shares for batch in share for item in batch[:2]]
    assert len(labeled) == len(set(labeled)) == 40 // (2 * world_size) * 2 * world_size


def test_epochs_differ():
    assert epoch_batches() == epoch_batches()
    assert epoch_batches() != epoch_batches(epoch=1)
    assert epoch_batches() != epoch_batches(seed=1)
