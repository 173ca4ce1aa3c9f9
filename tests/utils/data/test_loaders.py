"""Array loaders: what each batch holds, on each rank and in each epoch. The pipelines show what they were given."""

import pytest
import torch

from utils.data.loaders import EvalLoader, ViewLoader
from utils.data.randomness import Stream, stream_seed

N, B = 23, 4


class ShownViews:
    """Two views: the images as they are, and a random number for each."""

    def __call__(self, images, generator):
        return [images, torch.rand(len(images), generator=generator, device=images.device)]


def shown_image(images):
    return images.float()


def images(count=N):
    """Image i is full of i."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).contiguous()


def loader(count=N, **settings):
    return ViewLoader(images(count), torch.arange(count) * 10, ShownViews(), **{"batch_size": B, "seed": 0, **settings})


def batches(**settings):
    return [(views[0][:, 0, 0, 0].tolist(), views[1].tolist(), labels.tolist()) for views, labels in loader(**settings)]


def order(**settings):
    return [row for rows, _, _ in batches(**settings) for row in rows]


def test_last_incomplete_batch_is_dropped():
    drawn = batches()
    assert len(loader()) == len(drawn) == N // B
    assert all(len(rows) == B for rows, _, _ in drawn)
    assert len({row for rows, _, _ in drawn for row in rows}) == N // B * B


def test_labels_belong_to_images():
    for rows, _, labels in batches():
        assert labels == [10 * row for row in rows]


def test_same_seed_same_batches():
    assert batches() == batches()


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": lambda: 1}])
def test_seed_and_epoch_change_order_and_views(changed):
    assert order() != order(**changed)
    drawn, others = ([value for _, values, _ in batches(**settings) for value in values] for settings in ({}, changed))
    assert not set(drawn) & set(others)


def test_every_step_has_views_of_its_own():
    values = [value for _, values, _ in batches() for value in values]
    assert len(set(values)) == len(values)


def test_epoch_is_read_when_its_first_batch_is_drawn():
    epoch = 0
    some = loader(epoch=lambda: epoch)
    iterator = iter(some)
    epoch = 5
    views, _ = next(iterator)
    assert views[0][:, 0, 0, 0].tolist() == order(epoch=lambda: 5)[:B]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch(world_size):
    shares = [batches(rank=rank, world_size=world_size, batch_size=3) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    rows = [row for share in shares for rows, _, _ in share for row in rows]
    assert len(rows) == len(set(rows)) == N // world_size // 3 * 3 * world_size
    values = [value for share in shares for _, values, _ in share for value in values]
    assert len(values) == len(set(values))


def test_ranks_together_are_one_order():
    whole = order(batch_size=1)
    for rank in range(2):
        assert order(rank=rank, world_size=2, batch_size=1) == whole[rank::2][: N // 2]


def test_own_and_global_random_state_are_left_alone():
    state = torch.random.get_rng_state()
    batches()
    assert (torch.random.get_rng_state() == state).all()


def evaluated(count=N, **settings):
    return list(EvalLoader(images(count), torch.arange(count) * 10, shown_image, **{"batch_size": B, **settings}))


def test_evaluation_keeps_order_and_last_batch():
    drawn = evaluated()
    assert [len(labels) for _, labels in drawn] == [4, 4, 4, 4, 4, 3]
    shown = torch.cat([batch[:, 0, 0, 0] for batch, _ in drawn])
    assert shown.tolist() == list(range(N))
    assert torch.cat([labels for _, labels in drawn]).tolist() == [10 * row for row in range(N)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_evaluation_shards_without_padding(world_size):
    shares = [evaluated(rank=rank, world_size=world_size) for rank in range(world_size)]
    rows = [int(row) for share in shares for batch, _ in share for row in batch[:, 0, 0, 0]]
    assert sorted(rows) == list(range(N))


def test_evaluation_of_some_rows():
    rows = torch.tensor([5, 2, 9])
    drawn = list(EvalLoader(images(), torch.tensor([0, 1, -1]), shown_image, batch_size=2, rows=rows))
    assert [batch[:, 0, 0, 0].tolist() for batch, _ in drawn] == [[5, 2], [9]]
    assert [labels.tolist() for _, labels in drawn] == [[0, 1], [-1]]


def test_empty_evaluation():
    empty = EvalLoader(images(0), torch.zeros(0, dtype=torch.int64), shown_image, batch_size=2)
    assert len(empty) == 0
    assert list(empty) == []


def test_stream_seeds_differ():
    names = [(), (0,), (0, 0), (1,), (1, 0), (0, 1), (0, 0, 1), (0, 0, 0, 0, 0)]
    names += [(stream, seed, epoch) for stream in Stream for seed in range(10) for epoch in range(10)]
    seeds = [stream_seed(*name) for name in names]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_stream_seed_is_the_same_everywhere():
    assert stream_seed(2, 0, 3, 7, 1) == 3524648663275685202
