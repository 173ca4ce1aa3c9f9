"""The learning rate of every epoch against the published schedule, alone and through an optimizer."""

import json

import pytest
import torch

from utils.training.lr_scheduler import LinearWarmupCosineLR, warmup_cosine_lr


def test_published_schedules(golden):
    for case in json.loads(golden("lr_schedule.json").read_text()):
        expected = case.pop("lr_by_epoch")
        assert [warmup_cosine_lr(epoch, **case) for epoch in range(case["max_epochs"])] == pytest.approx(
            expected, abs=1e-9
        )


def test_scheduler_sets_the_learning_rate_of_the_optimizer(golden):
    case = json.loads(golden("lr_schedule.json").read_text())[4]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=case["base_lr"])
    scheduler = LinearWarmupCosineLR(
        optimizer, warmup_epochs=case["warmup_epochs"], max_epochs=case["max_epochs"], min_lr=case["min_lr"]
    )
    rates = []
    for _ in range(case["max_epochs"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(case["lr_by_epoch"], abs=1e-9)


@pytest.mark.parametrize(
    ("epoch", "warmup", "expected"),
    [(0, 0, 1.0), (5, 0, 0.5), (10, 0, 0.0), (99, 0, 0.0), (0, 1, 0.0), (1, 1, 1.0), (0, 20, 0.0), (19, 20, 1.0)],
)
def test_edges(epoch, warmup, expected):
    lr = warmup_cosine_lr(epoch, base_lr=1.0, min_lr=0.0, warmup_epochs=warmup, max_epochs=10)
    assert lr == pytest.approx(expected)


@pytest.mark.parametrize("longer", [4, 8])
def test_a_longer_schedule_goes_on_at_its_own_rate(longer):
    """What was saved at the end of a schedule is the rate of its end."""

    def schedule(max_epochs):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        return optimizer, LinearWarmupCosineLR(optimizer, warmup_epochs=0, max_epochs=max_epochs, min_lr=0.0)

    (first, short), (second, long) = schedule(4), schedule(longer)
    for _ in range(4):
        first.step()
        short.step()
    second.load_state_dict(first.state_dict())
    long.load_state_dict(short.state_dict())
    expected = warmup_cosine_lr(4, base_lr=0.3, min_lr=0.0, warmup_epochs=0, max_epochs=longer)
    assert second.param_groups[0]["lr"] == long.get_last_lr()[0] == pytest.approx(expected)
