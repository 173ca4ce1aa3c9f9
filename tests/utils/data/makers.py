"""Small datasets in the real formats."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from utils.data.sources.cifar_files import CIFAR
from utils.data.sources.digits import read_digits
from utils.data.sources.imagenet import split_wnids

EXIF_ORIENTATION = 0x0112


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_cifar(data_dir: Path, name: str, rows: int, protocol: int = 4) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """torchvision's files with ``rows`` images each, labels in turn; returns part -> (data, labels)."""
    files = CIFAR[name]
    folder = data_dir / files.folder
    folder.mkdir(parents=True)
    parts = {}
    for part, names in (("train", files.train), ("test", files.test)):
        contents = []
        for number, file in enumerate(names):
            labels = [(row + number) % len(files.class_names) for row in range(rows)]
            content = {"data": pixels(rows, 3072, seed=number + 10 * len(part)), files.labels: labels}
            (folder / file).write_bytes(pickle.dumps({**content, "batch_label": file}, protocol))
            contents.append((content["data"], labels))
        data, labels = zip(*contents, strict=True)
        parts[part] = (np.concatenate(data), np.concatenate(labels))
    return parts


def write_npz(path: Path, classes: int = 4, each: int = 6, size: int = 12, **changes) -> dict[str, np.ndarray]:
    """A file with MedMNIST's names; ``changes`` replace arrays, None leaves one out."""
    labels = np.arange(classes * each) % classes
    arrays = {
        "train_images": pixels(classes * each, size, size, 3),
        "train_labels": labels,
        "test_images": pixels(classes * 2, size, size, 3, seed=1),
        "test_labels": labels[: classes * 2],
    }
    arrays = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    np.savez(path, **arrays)
    return arrays


def encoded(mode: str = "RGB", size: tuple[int, int] = (40, 30), orientation: int | None = None) -> bytes:
    """A JPEG; its left half is bright, and with an orientation it is to be turned."""
    image = Image.new("L", size, 40)
    image.paste(220, (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    if orientation:
        exif[EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    image.convert("RGB").convert(mode).save(buffer, "JPEG", exif=exif.tobytes() if orientation else b"")
    return buffer.getvalue()


def write_imagenet(root: Path, imagenet_split: str = "A") -> None:
    """``train`` and ``val`` of all 912 classes: 2 + 1 images of each, links to four files."""
    kinds = [encoded(), encoded("L"), encoded("CMYK"), encoded(orientation=6)]
    originals = []
    root.mkdir(parents=True)
    for number, content in enumerate(kinds):
        originals.append(root / f"original_{number}")
        originals[-1].write_bytes(content)
    for part, each in (("train", 2), ("val", 1)):
        for number, wnid in enumerate(split_wnids(imagenet_split)):
            folder = root / part / wnid
            folder.mkdir(parents=True)
            for image in range(each):
                os.link(originals[(number + image) % len(originals)], folder / f"{wnid}_{image}.JPEG")


def write_folder(root: Path, size: tuple[int, int] = (20, 16), classes: str = "abcd", unlabeled: int = 7) -> None:
    """4 training and 2 test images of each class, one of them a level deeper, and some that nobody has labelled."""
    for part, each in (("train", 4), ("test", 2)):
        for name in classes:
            folder = root / part / name / "deeper"
            folder.mkdir(parents=True)
            for image in range(each):
                target = folder if image == 0 else folder.parent
                Image.fromarray(pixels(size[1], size[0], 3, seed=image)).save(target / f"{image}.png")
            (folder.parent / "notes.txt").write_text("not an image")
    (root / "unlabeled" / "mixed").mkdir(parents=True)
    for image in range(unlabeled):
        Image.fromarray(pixels(size[1], size[0], 3, seed=100 + image)).save(root / f"unlabeled/mixed/{image}.png")


def normalized_digits(part: str, novel: bool) -> tuple[torch.Tensor, np.ndarray]:
    """Digits 5 to 9, or 0 to 4, of ``train`` or ``test`` as evaluation shows them at 8 pixels, and their labels."""
    source = read_digits(None)
    labels = getattr(source, f"{part}_labels")
    chosen = (labels >= 5) == novel
    images = torch.from_numpy(getattr(source, f"{part}_images")[chosen]).permute(0, 3, 1, 2)
    return (images / 255 - 0.305) / 0.376, labels[chosen]


def labels_of(loader) -> torch.Tensor:
    """All labels of a pass."""
    return torch.cat([labels for _, labels in loader])
