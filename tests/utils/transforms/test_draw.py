"""The law of the draws: ranges, frequencies, torchvision's crops, and parameters of its own for every image."""

import math
from dataclasses import fields

import pytest
import torch
from scipy.stats import chisquare, ks_2samp, kstest
from torchvision.transforms import RandomResizedCrop

from utils.data.specs import DATASETS
from utils.transforms.draw import FinishParams, draw_crop, draw_finish, draw_view, rows
from utils.transforms.spec import Blur, Jitter, PadCrop, ResizedCrop, ViewSpec

DRAWS = 20_000
SURPRISE = 1e-4  # p-value below which a draw with a fixed seed counts as a wrong law
EVERYTHING = ViewSpec(
    32,
    (PadCrop(4), ResizedCrop((0.5, 1.0))),
    rotation=15.0,
    jitter=Jitter(0.4, 0.3, 0.2, 0.1, p=0.6),
    solarize=0.1,
    equalize=0.15,
    grayscale=0.2,
    blur=Blur(p=0.5),
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_frequency(events, p):
    assert abs(events.float().mean().item() - p) < 4 * math.sqrt(p * (1 - p) / len(events))


def assert_uniform(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    assert kstest(values.numpy(), "uniform", (low, high - low)).pvalue > SURPRISE


@pytest.mark.parametrize(
    ("height", "width", "scale"),
    [
        (32, 32, (0.5, 1.0)),
        (32, 32, (0.3, 0.8)),
        (224, 300, (0.08, 1.0)),
        (96, 40, (0.08, 0.5)),
        (40, 100, (0.5, 1.0)),
    ],
)
def test_resized_crop_follows_torchvisions_law(height, width, scale):
    spec = ViewSpec(32, (ResizedCrop(scale),))
    box = draw_crop(spec, DRAWS, height, width, seeded()).box
    top, left, box_height, box_width = box.unbind(1)
    assert torch.equal(box, box.round())
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + box_height <= height).all()
    assert (left + box_width <= width).all()
    torch.manual_seed(1)
    image = torch.empty(3, height, width)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3)) for _ in range(2000)]).float()
    for ours, expected in zip(box.unbind(1), theirs.unbind(1), strict=True):
        assert ks_2samp(ours.numpy(), expected.numpy()).pvalue > SURPRISE
    ratios = box_width / box_height, theirs[:, 3] / theirs[:, 2]
    areas = box_width * box_height, theirs[:, 3] * theirs[:, 2]
    for ours, expected in (ratios, areas):
        assert ks_2samp(ours.numpy(), expected.numpy()).pvalue > SURPRISE


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (33, 90)])
def test_boxes_that_never_fit_fall_back_to_the_centre(height, width):
    box = draw_crop(ViewSpec(8, (ResizedCrop((0.95, 1.0)),)), 50, height, width, seeded()).box
    expected = RandomResizedCrop.get_params(torch.empty(3, height, width), (0.95, 1.0), (3 / 4, 4 / 3))
    assert torch.equal(box, torch.tensor(expected).float().expand(50, 4))


def test_padded_crop_is_uniform_over_all_offsets():
    box = draw_crop(ViewSpec(32, (PadCrop(4),)), DRAWS, 32, 32, seeded()).box
    assert (box[:, 2:] == 32).all()
    cells = ((box[:, 0] + 4) * 9 + box[:, 1] + 4).long()
    assert chisquare(torch.bincount(cells, minlength=81).numpy()).pvalue > SURPRISE


def test_padded_crop_must_fit():
    with pytest.raises(ValueError, match="a 32 pixel crop does not fit into 30 x 20 pixels padded by 4"):
        draw_crop(ViewSpec(32, (PadCrop(4),)), 2, 30, 20, seeded())


@pytest.mark.parametrize("kinds", [2, 3])
def test_each_image_chooses_its_kind_of_crop(kinds):
    shares = [(0.9, 1.0), (0.5, 0.6), (0.1, 0.2)][:kinds]
    box = draw_crop(ViewSpec(32, tuple(ResizedCrop(share) for share in shares)), DRAWS, 100, 100, seeded()).box
    area = box[:, 2] * box[:, 3] / 1e4
    for low, high in shares:
        assert_frequency((area > low - 0.02) & (area < high + 0.02), 1 / kinds)


def test_frequencies_of_the_branches():
    params = draw_view(EVERYTHING, DRAWS, 32, 32, seeded())
    finish = params.finish
    jittered = (finish.factors != 1).any(1)
    applied = {
        0.5: [params.crop.flip, finish.sigma > 0],
        0.6: [jittered, finish.hue != 0],
        0.1: [finish.threshold < 256],
        0.15: [finish.equalize],
        0.2: [finish.grayscale],
    }
    for p, events in applied.items():
        for event in events:
            assert_frequency(event, p)
    assert torch.equal(jittered, finish.hue != 0)  # one decision for all four operations
    flags = [params.crop.flip, jittered, finish.threshold < 256, finish.equalize, finish.grayscale, finish.sigma > 0]
    correlations = torch.corrcoef(torch.stack(flags).float()) - torch.eye(len(flags))
    assert correlations.abs().max() < 4 / math.sqrt(DRAWS)  # and one of its own for everything else


def test_strengths_are_uniform_where_applied_and_neutral_elsewhere():
    finish = draw_finish(EVERYTHING, DRAWS, seeded())
    on = finish.hue != 0
    for column, strength in enumerate((0.4, 0.3, 0.2)):
        assert_uniform(finish.factors[on, column], 1 - strength, 1 + strength)
        assert (finish.factors[~on, column] == 1).all()
    assert_uniform(finish.hue[on], -0.1, 0.1)
    assert_uniform(finish.threshold[finish.threshold < 256], 0, 256)
    assert_uniform(finish.sigma[finish.sigma > 0], 0.1, 2.0)
    assert_uniform(finish.angle, -15, 15)


def test_strong_jitter_never_has_a_negative_factor():
    factors = draw_finish(ViewSpec(8, (PadCrop(0),), jitter=Jitter(1.6, 0, 0, 0, p=1)), DRAWS, seeded()).factors
    assert_uniform(factors[:, 0], 0, 2.6)
    assert (factors[:, 1:] == 1).all()


@pytest.mark.parametrize(("hue", "operations"), [(0.1, 4), (0.0, 3)])
def test_all_orders_are_equally_likely(hue, operations):
    spec = ViewSpec(8, (PadCrop(0),), jitter=Jitter(0.4, 0.4, 0.2, hue, p=1.0))
    order = draw_finish(spec, DRAWS, seeded()).order
    assert torch.equal(order.sort(1).values, torch.arange(operations).expand(DRAWS, operations))
    code = (order * 4 ** torch.arange(operations)).sum(1)
    counts = code.unique(return_counts=True)[1]
    assert len(counts) == math.factorial(operations)
    assert chisquare(counts.numpy()).pvalue > SURPRISE


def test_every_image_has_parameters_of_its_own():
    spec = ViewSpec(32, (ResizedCrop((0.08, 1.0)),), jitter=Jitter(0.8, 0.8, 0.8, 0.2, p=1), solarize=1, rotation=9)
    params = draw_view(spec, 64, 500, 500, seeded())
    finish = params.finish
    for values in (params.crop.box, finish.factors, finish.hue[:, None], finish.threshold[:, None]):
        assert len(values.unique(dim=0)) == 64
    assert len(finish.angle.unique()) == 64


def test_the_seed_decides():
    first, again, other = (draw_view(EVERYTHING, 16, 32, 32, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.crop.box, again.crop.box)
    assert not torch.equal(first.crop.box, other.crop.box)
    for field in fields(FinishParams):
        assert torch.equal(getattr(first.finish, field.name), getattr(again.finish, field.name))
    assert not torch.equal(first.finish.factors, other.finish.factors)


def test_what_a_specification_lacks_is_not_drawn():
    blank = ViewSpec(8, (PadCrop(0),), jitter=Jitter(0.4, 0.4, 0.4, 0.1, p=0), blur=Blur(p=0))
    assert draw_finish(blank, 4, seeded()) == FinishParams()
    digits = draw_finish(DATASETS["digits"].large, 4, seeded())
    drawn = {field.name for field in fields(digits) if getattr(digits, field.name) is not None}
    assert drawn == {"angle", "factors", "order"}


def test_rows_of_parameters():
    finish = draw_finish(EVERYTHING, 8, seeded())
    part = rows(finish, 2, 5)
    assert torch.equal(part.factors, finish.factors[2:5])
    assert torch.equal(part.sigma, finish.sigma[2:5])
    assert rows(FinishParams(), 2, 5) == FinishParams()
