"""The plain implementation to measure against: PIL views in workers, a call for each view, a loop over heads, masks.

Written from the formulas of the papers in the obvious way; float32, no batching across views or heads.
"""

import random
from argparse import Namespace
from collections.abc import Callable, Mapping

import measure
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T
from torchvision.models import resnet18

from utils.data.specs import dataset_spec

LARGE, TEMPERATURE = 2, 0.1  # large views; of every softmax


def solarize(image: Image.Image) -> Image.Image:
    return ImageOps.solarize(image, int(random.uniform(0, 256)))


def view(size: int, scale: tuple[float, float], pad: bool, p_jitter: float, p: float, mean, std) -> T.Compose:
    """CIFAR's law of one view (design of UNO v2), image by image with PIL."""
    crop = T.RandomResizedCrop(size, scale)
    return T.Compose(
        [
            T.RandomChoice([T.RandomCrop(size, padding=4), crop]) if pad else crop,
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p_jitter),
            T.RandomApply([T.Lambda(solarize)], p),
            T.RandomApply([T.Lambda(ImageOps.equalize)], p),
            T.ToTensor(),
            T.Normalize(mean, std),
        ]
    )


def cifar_views(mean, std) -> list[T.Compose]:
    """Two large and two small views."""
    large, small = (32, (0.5, 1.0), True, 0.6, 0.1, mean, std), (18, (0.3, 0.8), False, 0.8, 0.2, mean, std)
    return [view(*large), view(*large), view(*small), view(*small)]


class PlainImages(Dataset):
    """uint8 (N, 32, 32, 3) and labels (N,) -> a list of views and the label."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, views: list[T.Compose]) -> None:
        self.images, self.labels, self.views = images, labels, views

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[list[Tensor], int]:
        image = Image.fromarray(self.images[row])
        return [view(image) for view in self.views], int(self.labels[row])


def one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def plain_loader(images: np.ndarray, labels: np.ndarray, batch_size: int, workers: int, mean, std) -> DataLoader:
    """Shuffled batches of views from workers."""
    data = PlainImages(images, labels, cifar_views(mean, std))
    keep = {"persistent_workers": workers > 0, "worker_init_fn": one_thread}
    return DataLoader(data, batch_size, shuffle=True, num_workers=workers, drop_last=True, **keep)


class PlainHead(nn.Module):
    """One head: projector, normalisation, prototypes."""

    def __init__(self, features: int, hidden: int, proj: int, prototypes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, proj)
        )
        self.prototypes = nn.Linear(proj, prototypes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.prototypes(F.normalize(self.mlp(x), dim=1))


class PlainNet(nn.Module):
    """ResNet18 for small images, a labelled head, two banks of heads; one view at a time."""

    def __init__(self, labeled: int, unlabeled: int, heads: int, overcluster: int, hidden: int, proj: int) -> None:
        super().__init__()
        self.encoder = resnet18()
        self.encoder.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.encoder.maxpool = nn.Identity()
        self.encoder.fc = nn.Identity()
        self.head_lab = nn.Linear(512, labeled, bias=False)
        self.heads = nn.ModuleList(PlainHead(512, hidden, proj, unlabeled) for _ in range(heads))
        self.heads_over = nn.ModuleList(PlainHead(512, hidden, proj, unlabeled * overcluster) for _ in range(heads))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        feats = self.encoder(x)
        lab = self.head_lab(F.normalize(feats, dim=1))
        return lab, [head(feats) for head in self.heads], [head(feats) for head in self.heads_over]

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        for layer in [self.head_lab, *(head.prototypes for head in [*self.heads, *self.heads_over])]:
            layer.weight.copy_(F.normalize(layer.weight, dim=1))


BANKS = {"head_unlab": "heads", "head_unlab_over": "heads_over"}  # the product's names -> the plain network's


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of the product's network under the names of :class:`PlainNet`."""
    renamed = {}
    for name, value in state.items():
        bank, _, rest = name.partition(".")
        kind, head, rest = [*rest.split(".", 2), "", ""][:3]
        if bank == "head_lab":
            name = "head_lab.weight"
        elif bank in BANKS:
            name = f"{BANKS[bank]}.{head}.{rest if kind == 'projectors' else 'prototypes.weight'}"
        renamed[name] = value
    return renamed


@torch.no_grad()
def sinkhorn(logits: Tensor, iterations: int = 3, epsilon: float = 0.05) -> Tensor:
    """Assignments (B, K) of one head's logits (B, K)."""
    q = torch.exp(logits / epsilon).t()
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(dim=1, keepdim=True)
        q /= q.shape[0]
        q /= q.sum(dim=0, keepdim=True)
        q /= q.shape[1]
    return (q * q.shape[1]).t()


def bank_loss(lab: list[Tensor], unlab: list[list[Tensor]], labels: Tensor) -> Tensor:
    """Swapped prediction of one bank: ``lab`` V x (B, L), ``unlab`` V x H x (B, K)."""
    mask = labels >= 0
    total = torch.zeros((), device=labels.device)
    num_views, num_heads, num_labeled = len(lab), len(unlab[0]), lab[0].shape[1]
    for h in range(num_heads):
        logits = [torch.cat([lab[v], unlab[v][h]], dim=1) for v in range(num_views)]
        for v in range(LARGE):
            targets = torch.zeros_like(logits[v])
            if mask.any():
                targets[mask, :num_labeled] = F.one_hot(labels[mask], num_labeled).to(targets.dtype)
            if (~mask).any():
                targets[~mask, num_labeled:] = sinkhorn(unlab[v][h][~mask]).to(targets.dtype)
            for w in range(num_views):
                if w != v:
                    total = total - (targets * F.log_softmax(logits[w] / TEMPERATURE, dim=1)).sum(1).mean()
    return total / (num_heads * LARGE * (num_views - 1))


def skld(p: Tensor, q: Tensor) -> Tensor:
    """Symmetric KL divergence of rows, elementwise terms."""
    return 0.5 * ((p - q) * (p.log() - q.log()))


def inter_loss(logits: list[list[Tensor]], mask: Tensor) -> Tensor:
    """Minus the mean sKLD over all (labelled, unlabelled) pairs, pair by pair in one B x B array a head."""
    values = []
    for view_logits in logits:
        for head_logits in view_logits:
            p = (head_logits / TEMPERATURE).softmax(1)
            values.append(skld(p[mask][:, None], p[~mask][None]).sum(-1).mean())
    return -torch.stack(values).mean()


def intra_loss(logits: list[list[Tensor]], mask: Tensor, num_labeled: int) -> Tensor:
    """sKLD between the views of a sample, labelled and unlabelled rows on their own columns."""
    values = []
    for a in range(len(logits)):
        for b in range(a + 1, len(logits)):
            for first, second in zip(logits[a], logits[b], strict=True):
                for rows, columns in ((mask, slice(0, num_labeled)), (~mask, slice(num_labeled, None))):
                    p, q = ((x[rows][:, columns] / TEMPERATURE).softmax(1) for x in (first, second))
                    values.append(skld(p, q).mean())
    return 2 * torch.stack(values).mean()


def plain_loss(net: PlainNet, views: list[Tensor], labels: Tensor) -> Tensor:
    """IIC's whole objective: views one by one through the network, then every term."""
    lab, unlab, over = map(list, zip(*(net(view) for view in views), strict=True))
    loss = (bank_loss(lab, unlab, labels) + bank_loss(lab, over, labels)) / 2
    logits = [[torch.cat([lab[v], head], 1) for head in unlab[v]] for v in range(len(views))]
    mask = labels >= 0
    if mask.any() and (~mask).any():
        loss = loss + 0.05 * inter_loss(logits, mask)
    return loss + 0.01 * intra_loss(logits, mask, lab[0].shape[1])


def plain_step(
    net: PlainNet,
    optimizer: torch.optim.Optimizer,
    views: list[Tensor],
    labels: Tensor,
    dtype: torch.dtype = torch.float32,
) -> float:
    """One training step, its operations in ``dtype`` where autocast allows it; its loss."""
    net.normalize_prototypes()
    with torch.autocast(labels.device.type, dtype, enabled=dtype != torch.float32):
        loss = plain_loss(net, views, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()  # logged every step, as the published loop does


def turn(args: Namespace, classes: tuple[int, int]) -> Callable[[], None]:
    """A turn of ``args.turn`` steps: a small epoch, whose workers begin with it and idle after it."""
    if args.threads:
        torch.set_num_threads(args.threads)
    images, labels = measure.some_data(args.turn * args.batch_size)
    spec = dataset_spec("CIFAR10")
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy()
    loader = plain_loader(*arrays, args.batch_size, args.workers, spec.mean, spec.std)
    net = PlainNet(*classes, args.num_heads, args.overcluster_factor, 2048, 256).to(args.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def epoch() -> None:
        for views, labels in loader:
            views = [view.to(args.device) for view in views]
            plain_step(net, optimizer, views, labels.to(args.device))
        measure.wait(args.device)

    return epoch
