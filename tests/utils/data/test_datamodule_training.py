"""The datamodule under a trainer: ranks, epochs, empty loaders."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from tests.utils.data.makers import labels_of, write_folder
from utils.data import get_datamodule
from utils.errors import UserError


def attach(data, rank, world_size, epoch=0, step=0):
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=step)))
    place = {"global_rank": rank, "world_size": world_size, "current_epoch": epoch}
    data.trainer = SimpleNamespace(**place, strategy=strategy, fit_loop=SimpleNamespace(epoch_loop=progress))
    return data


def test_ranks(datamodule):
    shares = [attach(datamodule(), rank, 3) for rank in range(3)]
    assert {len(data.train_dataloader()) for data in shares} == {1442 // 3 // 8}
    for place in range(3):
        truths = [labels_of(data.val_dataloader()[place]) for data in shares]
        whole = labels_of(datamodule().val_dataloader()[place])
        assert sum(map(len, truths)) == len(whole)
        assert all(torch.equal(truth, whole[rank::3]) for rank, truth in enumerate(truths))


def test_epoch_comes_from_the_trainer(datamodule):
    first, later = (next(iter(attach(datamodule(), 0, 1, epoch).train_dataloader())) for epoch in (0, 4))
    alone = datamodule()
    alone.epoch = 4
    views, _ = next(iter(alone.train_dataloader()))
    assert torch.equal(later[0][0], views[0])
    assert not torch.equal(first[0][0], views[0])


def test_an_epoch_goes_on_where_it_was_left(datamodule):
    whole = attach(datamodule(), 0, 1).train_dataloader()
    rest = attach(datamodule(), 0, 1, step=175).train_dataloader()
    assert len(rest) == len(whole) == 180
    for (views, labels), (same, truth) in zip(list(whole)[175:], rest, strict=True):
        assert torch.equal(labels, truth)
        assert all(map(torch.equal, views, same))
    targets = datamodule()
    targets.setup()
    hidden = targets.training_labels()
    assert hidden[whole.batch_rows(0, 179)].tolist() == truth.tolist()


def test_batch_size_on_many_processes(datamodule):
    data = attach(datamodule(batch_size=700), 0, 3)
    with pytest.raises(UserError, match=r"--batch_size 700 on each of 3 processes .* choose at most 480"):
        data.train_dataloader()


class Recorder(pl.LightningModule):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list] = {"train": [], "val": []}

    def training_step(self, batch, batch_idx):
        views, labels = batch
        self.seen["train"].append((self.current_epoch, views[0].clone(), labels.clone()))
        return self.weight * views[0].mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.seen["val"].append((self.trainer.datamodule.dataloader_mapping[dataloader_idx], len(batch[1])))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data, **settings):
    module = Recorder()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator="cpu", devices=1, max_epochs=2, num_sanity_val_steps=1, **quiet, **settings)
    trainer.fit(module, datamodule=data)
    return module.seen


def test_trainer(flags):
    data = get_datamodule(flags(batch_size=64), "discover")
    seen = fit(data, limit_train_batches=3, limit_val_batches=1)
    assert len(seen["train"]) == 2 * 3
    data.trainer = None
    for epoch in range(2):
        data.epoch = epoch
        drawn = [item for item in seen["train"] if item[0] == epoch]
        for (_, views, labels), (expected, expected_labels) in zip(drawn, data.train_dataloader(), strict=False):
            assert torch.equal(views, expected[0])
            assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("image_size", [None, 72])
def test_trainer_with_empty_loaders(flags, tmp_path, image_size):
    write_folder(tmp_path, classes="ab")
    given = flags(
        dataset="folder", num_labeled_classes=2, num_unlabeled_classes=3, image_size=image_size, eval_batch_size=3
    )
    seen = fit(get_datamodule(given, "discover"), limit_train_batches=1)
    sanity, each = [("unlab/train", 3), ("lab/test", 3)], [("unlab/train", 3)] * 2 + [("unlab/train", 1)]
    each += [("lab/test", 3), ("lab/test", 1)]
    assert seen["val"] == sanity + 2 * each
