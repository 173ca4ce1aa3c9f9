"""DualRank (Zhao & Han, NeurIPS 2021, arXiv:2107.03358): RS on whole images and on their parts.

    python -m baselines.dualrank --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_dualrank

    loss = RS (global) + RS (local) + mutual,   two last stages on one trunk
    local pairs: the largest entries of bags of words, whose dictionary of pixels of the local map is renewed by steps
    mutual: symmetric KL of both branches' cosines with the other view and with a memory, at mutual_temperature

What the paper describes; three slips of the published code are left out (docs/differences.md). Predictions are those
of the global branch. The second last stage makes a step dearer; it needs the ResNet of --arch and its pixels.

Published accuracy on the novel training images: CIFAR10-5 91.6, CIFAR100-20 75.3, ImageNet 88.9.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.pair_method(
    *("dualrank", "DualRank", "NeurIPS'21", (91.6, 75.3, None, 88.9)),
    *("topk", "memory_size", "num_words", "mutual_temperature"),
    recipe={"rampup_length": 150, "rampup_coefficient": 50.0},
    digits={"topk": 2, "rampup_coefficient": 5.0, "memory_size": 500, "num_words": 512},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.dual_rank import bag_of_words, inner_pixels, mutual_loss, word_distances
from utils.losses.pairwise import rank_statistics
from utils.losses.queue import advance, remember, slots
from utils.methods.pair_discoverer import PairDiscoverer
from utils.nets.dual_rank_net import DualRankNet

SHARPNESS, DECAY = 15.0, 0.99  # of the softmax over words; of the running distance to the nearest word


class Discoverer(PairDiscoverer):
    """RS twice, a mutual term, a memory of each branch and a dictionary of words."""

    method = METHOD
    model: DualRankNet
    memory_global: Tensor  # (K, D) unit features of the other view
    memory_local: Tensor
    words: Tensor  # (W, D)
    scale: Tensor  # running mean of the squared distance of a pixel to its nearest word
    pointer: Tensor
    word_pointer: Tensor

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        self.model.local.layer4.load_state_dict(self.model.encoder.layer4.state_dict())  # pretrained, if it is
        features, size = self.model.encoder.num_features, self.hparams["memory_size"]
        self.register_memory(
            {
                "memory_global": F.normalize(torch.randn(size, features), dim=1),
                "memory_local": F.normalize(torch.randn(size, features), dim=1),
                "words": torch.randn(self.hparams["num_words"], features).clamp(min=0),
                "scale": torch.tensor(0.5),
                "pointer": torch.tensor(0),
                "word_pointer": torch.tensor(0),
            }
        )

    def network(self, **sizes: Any) -> DualRankNet:
        return DualRankNet(**sizes)

    def similar(self, outputs: Mapping[str, Tensor], mask_lab: Tensor) -> Tensor:
        return rank_statistics(outputs["ranked"], self.hparams["topk"])

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """RS of both branches and the mutual term; memories and dictionary go on."""
        rows = ~self.is_labeled(labels)
        bags = self.bags(outputs["map_local"][0])
        losses = super().compute_losses({**outputs, "ranked": outputs["feats"][0]}, labels)
        local = {name: outputs[f"{name}_local"] for name in ("feats", "logits_lab", "logits_unlab")}
        local = super().compute_losses({**local, "ranked": bags}, labels)
        (u, v), (u_local, v_local) = outputs["feats"], outputs["feats_local"]
        memories, temperature = (self.memory_global, self.memory_local), self.hparams["mutual_temperature"]
        mutual = mutual_loss((u, u_local), (v, v_local), memories, rows, temperature)
        losses["loss"] = losses["loss"] + local["loss"] + mutual
        where = slots(self.pointer, rows, self.hparams["memory_size"])
        self.memory_global = remember(self.memory_global, F.normalize(v.detach(), dim=1), where)
        self.memory_local = remember(self.memory_local, F.normalize(v_local.detach(), dim=1), where)
        self.pointer = advance(self.pointer, rows, self.hparams["memory_size"])
        self.renew_words(outputs["map_local"][0], outputs["patch"])
        return losses | {"loss_local": local["loss_cluster"], "loss_mutual": mutual}

    def bags(self, maps: Tensor) -> Tensor:
        """Bags of words (B, W) of maps (B, D, h, w), after the running distance has moved on."""
        distances = word_distances(maps, self.words)
        nearest = distances.min(dim=-1).values.mean()
        self.scale = DECAY * self.scale + (1 - DECAY) * nearest
        return bag_of_words(distances, self.scale, SHARPNESS)

    def renew_words(self, maps: Tensor, patch: Tensor) -> None:
        """One pixel of every map replaces the oldest words."""
        every = torch.ones_like(patch, dtype=torch.bool)
        inner = inner_pixels(maps.detach()).flatten(2)  # (B, D, P)
        pixels = inner.gather(2, patch[:, None, None].expand(-1, inner.shape[1], 1))[..., 0]
        self.words = remember(self.words, pixels, slots(self.word_pointer, every, len(self.words)))
        self.word_pointer = advance(self.word_pointer, every, len(self.words))

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        outputs = super().outputs(views, labels)
        count = inner_pixels(outputs["map_local"][0])[0, 0].numel()
        patch = torch.randint(count, labels.shape, generator=self.generator(), device=labels.device)
        return outputs | {"patch": patch}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
