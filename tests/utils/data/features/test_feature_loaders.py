"""Loaders of features: which images and which of their views a batch holds. Feature (i, v) is full of 10 i + v."""

import numpy as np
import pytest
import torch

from utils.data.features.loaders import FeatureEvalLoader, FeatureViewLoader

N, V, B = 23, 5, 4
FEATURES = np.broadcast_to((10 * np.arange(N)[:, None] + np.arange(V))[..., None], (N, V, 2)).astype(np.float16)
ROWS = np.arange(N)[::-1].copy()  # image i of the loader is row N-1-i of the array
LABELS = np.where(np.arange(N) < 9, np.arange(N) % 3, -1)


def loader(**settings):
    return FeatureViewLoader(FEATURES, ROWS, LABELS, **{"num_views": 3, "batch_size": B, "seed": 0, **settings})


def batches(**settings):
    return [(torch.stack(views)[..., 0].numpy(), labels.numpy()) for views, labels in loader(**settings)]


def images_of(values):
    return N - 1 - (values // 10).astype(int)


def test_views_of_an_image_stand_together_and_are_distinct():
    for values, labels in batches():
        images = images_of(values)  # (n, B)
        assert (images == images[0]).all()
        assert (labels == LABELS[images[0]]).all()
        assert all(len(set(column)) == 3 for column in (values % 10).T)


def test_a_pass_shows_each_image_at_most_once_and_drops_the_last_batch():
    shown = np.concatenate([images_of(values)[0] for values, _ in batches()])
    assert len(loader()) == N // B
    assert len(shown) == len(set(shown)) == N // B * B
    assert list(images_of(batches()[2][0])[0]) == loader().batch_rows(0, 2).tolist()


def test_all_views_are_taken_about_as_often():
    taken = np.concatenate(
        [(values % 10).ravel() for epoch in range(40) for values, _ in batches(epoch=lambda e=epoch: e)]
    )
    shares = np.bincount(taken.astype(int), minlength=V) / len(taken)
    assert np.abs(shares - 1 / V).max() < 0.03


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": lambda: 1}])
def test_seed_and_epoch_change_order_and_views(changed):
    first, other = batches(), batches(**changed)
    assert any((a != b).any() for (a, _), (b, _) in zip(first, other, strict=True))
    again = batches()
    assert all((a == b).all() for (a, _), (b, _) in zip(first, again, strict=True))


def test_a_run_goes_on_in_the_middle_of_an_epoch():
    whole, rest = batches(), batches(start=lambda: 2)
    assert all((a == b).all() for (a, _), (b, _) in zip(whole[2:], rest, strict=True))


def test_ranks_share_the_images_and_draw_views_of_their_own():
    shown = [np.concatenate([images_of(v)[0] for v, _ in batches(rank=rank, world_size=2)]) for rank in range(2)]
    assert not set(shown[0]) & set(shown[1])
    chosen = [loader(rank=rank).chosen_views(0, 0, B) for rank in range(2)]
    assert (chosen[0] != chosen[1]).any()


def test_half_batches_hold_half_labelled_images():
    for _, labels in batches(half_labeled=3):
        assert ((labels >= 0).sum(), len(labels)) == (B // 2, B)


def test_as_many_views_as_there_are():
    for values, _ in batches(num_views=V):
        assert (np.sort(values % 10, axis=0) == np.arange(V)[:, None]).all()


@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation_shows_every_image_once_in_order(world_size):
    shown = {}
    for rank in range(world_size):
        loader = FeatureEvalLoader(FEATURES[:, 0], ROWS, LABELS, batch_size=B, rank=rank, world_size=world_size)
        found = list(loader)
        assert len(loader) == len(found)
        values = torch.cat([features[:, 0] for features, _ in found]).numpy()
        assert (torch.cat([labels for _, labels in found]).numpy() == LABELS[rank::world_size]).all()
        shown[rank] = images_of(values)
        assert (shown[rank] == np.arange(N)[rank::world_size]).all()
