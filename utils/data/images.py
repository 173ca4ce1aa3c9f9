"""Image files: finding, decoding, and cutting them to squares."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from utils.errors import UserError, first_line, listed, printable
from utils.files import special_kind
from utils.transforms.pil import RESAMPLING
from utils.transforms.spec import BILINEAR

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"))
PassedOver = dict[str, str]  # path -> what it is


def list_images(folder: str | Path, passed_over: PassedOver | None = None) -> list[str]:
    """Paths of the image files anywhere below ``folder``, sorted; hidden files and folders are passed over.

    Links are followed, but no folder is entered from within itself: a link to one above would never end. What has the
    name of an image and is no file, such as a FIFO, at which a reader would wait for ever, is passed over too.

    Args:
        folder: where to look; one that is not there holds no images.
        passed_over: gets what is passed over but for hidden names: path -> what it is.
    """
    found, pending = [], [str(folder)]
    while pending:
        root = pending.pop()
        try:
            entries = list(os.scandir(root))
        except FileNotFoundError:
            continue
        except OSError as error:
            if passed_over is not None and not isinstance(error, NotADirectoryError):
                passed_over[root] = (error.strerror or type(error).__name__).lower()
            continue
        above = os.path.realpath(root) + os.sep
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                if not (entry.is_symlink() and above.startswith(os.path.realpath(entry.path).rstrip(os.sep) + os.sep)):
                    pending.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                kind = None if entry.is_file(follow_symlinks=False) else special_kind(entry.path)
                if kind is None:
                    found.append(entry.path)
                elif passed_over is not None:
                    passed_over[entry.path] = kind
    return sorted(found)


def passed_over_text(passed_over: Mapping[str, str]) -> str:
    """How many were passed over and the first of them, for a message.

    >>> passed_over_text({"a/x.png": "FIFO", "y.png": "socket"})
    'passed over 2: a/x.png (FIFO), y.png (socket)'
    """
    names = [f"{printable(path)} ({kind})" for path, kind in passed_over.items()]
    return f"passed over {len(names):,}: {listed(names)}"


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, but for hidden ones; one that is not there holds none."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def list_classes(
    folder: Path, class_names: Sequence[str], passed_over: PassedOver | None = None
) -> tuple[list[str], np.ndarray]:
    """Paths and labels (N,) int64 of the images in ``folder/<class>``, one after the other; labels are positions.

    ``passed_over`` as in :func:`list_images`.

    Raises:
        UserError: naming the first classes whose folder is missing or empty, and how many there are.
    """
    missing = [name for name in class_names if not (folder / name).is_dir()]
    if missing:
        raise UserError(f"{folder} has no folder for {listed(missing)}; expected {folder / '<class>'} with its images")
    images = [list_images(folder / name, passed_over) for name in class_names]
    empty = [name for name, paths in zip(class_names, images, strict=True) if not paths]
    if empty:
        raise UserError(f"{folder} has no image in the folder of {listed(empty)}; put images there or remove it")
    labels = np.repeat(np.arange(len(images), dtype=np.int64), [len(paths) for paths in images])
    return [path for paths in images for path in paths], labels


def read_image(path: str | Path, side: int | None = None) -> Image.Image:
    """Decode an image as RGB, turned upright as its EXIF orientation says.

    With ``side`` a JPEG may come out at a half, a quarter or an eighth of its size, both sides still ``side`` pixels or
    more: a photograph of a camera is decoded in a tenth of the time.

    Gray, palette, CMYK and transparent images are converted (transparency is dropped); of 16-bit gray the upper
    eight bits are kept, where Pillow's own conversion would clip. Pixels of 32 bits have no range that is known: of
    integers up to 255 are taken as they are, up to 65535 as 16 bits; what goes beyond, and fractions, are refused.

    Raises:
        UserError: for a file that cannot be decoded, naming it.
    """
    try:
        with _without_warnings(), Image.open(path) as opened:
            if side is not None:
                opened.draft(None, (side, side))
            image = ImageOps.exif_transpose(opened)
            if image.mode[0] in "IF":
                image = Image.fromarray(_eight_bits(np.asarray(image)))
            if image.mode == "P":
                image = image.convert("RGBA")
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise _unreadable(path, error) from error


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"{pixels.dtype} from {pixels.min():g} to {pixels.max():g}, convert it to 8 bits")
    wide = pixels.dtype.itemsize == 2 or pixels.max() > 255
    return (pixels >> 8 if wide else pixels).astype(np.uint8)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without Pillow's warnings, which name no file: large pictures, odd metadata; what it cannot read is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def thumbnail(path: str | Path, side: int) -> np.ndarray:
    """The whole image (h, w, 3) uint8 with a longer side of at most ``side`` pixels; smaller ones keep their pixels.

    Raises:
        UserError: for a file that cannot be decoded, naming it.
    """
    image = read_image(path, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def shorter_side(path: str | Path) -> int:
    """Length in pixels of the shorter side, from the header alone.

    Raises:
        UserError: for a file that is not an image, naming it.
    """
    try:
        with _without_warnings(), Image.open(path) as image:
            return min(image.size)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def to_square(image: Image.Image, size: int, interpolation: str = BILINEAR) -> np.ndarray:
    """Resize the shorter side to ``size`` (antialiased), then cut out the centre: (size, size, 3) uint8."""
    width, height = image.size
    scale = size / min(width, height)
    if scale != 1:
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
        image = image.resize((width, height), RESAMPLING[interpolation])
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def squares(images: np.ndarray, size: int) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, size, size, 3) uint8 through :func:`to_square`; as they are when they fit."""
    if images.shape[1:3] == (size, size):
        return images
    fitted = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in enumerate(images):
        fitted[row] = to_square(Image.fromarray(image), size)
    return fitted


def read_squares(paths: list[str], size: int) -> np.ndarray:
    """Decode files to (N, size, size, 3) uint8.

    Raises:
        UserError: for a file that cannot be decoded, naming it.
    """
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for row, path in enumerate(paths):
        images[row] = to_square(read_image(path), size)
    return images


def _unreadable(path: str | Path, error: Exception) -> UserError:
    return UserError(f"the image {path} cannot be read ({first_line(error)}); replace it or take it out of the folder")
