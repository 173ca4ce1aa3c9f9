"""Arrays in one ``.npz`` file, under the names that MedMNIST uses."""

from pathlib import Path

import numpy as np

from utils.data.containers import ImageArrays, SourceRequest
from utils.errors import UserError, shortened

PREFIX = "npz:"
LARGEST_LABEL = np.iinfo(np.int64).max
EXPECTED = "train_images, train_labels, test_images (or val_images), test_labels (or val_labels)"


def read_npz_source(request: SourceRequest) -> ImageArrays:
    """``--dataset npz:<file>``, the file as given or below ``data_dir``."""
    given = Path(request.dataset.removeprefix(PREFIX)).expanduser()
    candidates = (given, request.data_dir / given)
    for path in candidates:
        if path.is_file():
            return read_npz(path)
    raise UserError(
        f"--dataset {request.dataset}: there is no file {' or '.join(dict.fromkeys(map(str, candidates)))}; "
        f"give an .npz file with {EXPECTED}"
    )


def read_npz(path: Path, class_names: tuple[str, ...] | None = None) -> ImageArrays:
    """Read ``train_images``, ``train_labels``, ``test_images`` and ``test_labels`` (``val_*`` in their absence).

    Images are (N, H, W) or (N, H, W, 1 or 3) uint8, labels (N,) or (N, 1) integers, -1 where unknown. Nothing is
    unpickled.

    Args:
        path: the file.
        class_names: names of the label ids 0, 1, …; without them a class is named by its number.

    Raises:
        UserError: for a damaged file, and for arrays that are missing or of another shape or type.
    """
    arrays = _load(path)
    train_images, train_labels = _pair(path, arrays, "train")
    test_images, test_labels = _pair(path, arrays, "test" if "test_images" in arrays else "val")
    if not len(train_images):
        raise UserError(f"{path}: train_images is empty; expected at least one image")
    labels = np.concatenate([train_labels, test_labels])
    known = np.unique(labels[labels >= 0])
    if class_names is None:
        class_names = tuple(str(label) for label in known)
        train_labels, test_labels = (
            np.where(part < 0, -1, np.searchsorted(known, part)) for part in (train_labels, test_labels)
        )
    elif len(known) and known[-1] >= len(class_names):
        raise UserError(f"{path} holds the label {known[-1]}; expected labels from 0 to {len(class_names) - 1}")
    return ImageArrays(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
        origin=f"arrays in {path}",
        closed=bool((train_labels >= 0).all()),
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays that we know, by name; object arrays are refused, for unpickling them could run code."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = [f"{split}_{kind}" for split in ("train", "test", "val") for kind in ("images", "labels")]
            if "test_images" in archive.files:
                names = names[:4]
            return {name: archive[name] for name in names if name in archive.files}
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):  # numpy's words advise to load it unsafely
            raise UserError(
                f"{path} holds pickled objects, which could run code, in the place of plain arrays: it is refused, and "
                "nothing of it was run"
            ) from None
        raise _unreadable(path, error) from error
    except Exception as error:  # damaged archives raise almost anything
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = shortened(str(error) or type(error).__name__, 120)
    return UserError(
        f"{path} cannot be read as an .npz file of plain arrays ({reason}); it is damaged or of another format, make "
        "or copy it again"
    )


def _pair(path: Path, arrays: dict[str, np.ndarray], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) int64 of one part."""
    names = (f"{split}_images", f"{split}_labels")
    needed = names if split == "train" else ("test_images", "test_labels")
    missing = [shown for name, shown in zip(names, needed, strict=True) if name not in arrays]
    if missing:
        raise UserError(f"{path} has no array {' and no '.join(missing)}; expected {EXPECTED}")
    images, labels = (arrays[name] for name in names)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise UserError(
            f"{path}: {names[0]} is {images.dtype} {arrays[names[0]].shape}; expected uint8 (N, H, W) or (N, H, W, 3)"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{path}: {names[1]} is {labels.dtype} {arrays[names[1]].shape}; "
            f"expected {len(images)} integers, one for each image of {names[0]}"
        )
    if labels.dtype == np.uint64 and labels.max(initial=0) > LARGEST_LABEL:
        raise UserError(f"{path}: {names[1]} holds the label {labels.max()}; expected at most {LARGEST_LABEL}")
    images = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
    return images, np.maximum(labels.astype(np.int64), -1)
