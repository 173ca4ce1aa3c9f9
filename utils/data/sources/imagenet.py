"""ImageNet as ``train/<wnid>/*`` and ``val/<wnid>/*``, with the three splits of the literature."""

import json
from functools import cache
from pathlib import Path

from utils.data.containers import ImageFiles, SourceRequest
from utils.data.images import PassedOver, list_classes
from utils.errors import UserError

ROOTS = ("", "IMAGENET2012")  # below data_dir; the second is where the published code looks


@cache
def imagenet_splits() -> dict[str, list[str]]:
    """``labelled_882`` and ``novel_30_A`` to ``novel_30_C``: sorted wnids.

    The novel classes are those of Hsu et al., "Learning to cluster in order to transfer across domains and tasks"
    (ICLR 2018); the labelled ones are the other 882 of the 1,000.
    """
    return json.loads(Path(__file__).with_name("imagenet_splits.json").read_text(encoding="utf-8"))


def split_wnids(imagenet_split: str) -> tuple[str, ...]:
    """The 882 labelled wnids, then the 30 novel ones of split ``A``, ``B`` or ``C``.

    Raises:
        UserError: for another split.
    """
    splits = imagenet_splits()
    known = [name.removeprefix("novel_30_") for name in splits if name.startswith("novel_30_")]
    if imagenet_split not in known:
        raise UserError(f"--imagenet_split {imagenet_split} is unknown; known are {', '.join(known)}")
    return (*splits["labelled_882"], *splits[f"novel_30_{imagenet_split}"])


def read_imagenet(request: SourceRequest) -> ImageFiles:
    """List the files of the 912 classes; class ids are positions in :func:`split_wnids`.

    Raises:
        UserError: for an unknown split, and when the tree, some of its classes or their images are missing.
    """
    wnids = split_wnids(request.imagenet_split)
    root, passed_over = _find_root(request.data_dir), PassedOver()
    try:
        train_paths, train_labels = list_classes(root / "train", wnids, passed_over)
        test_paths, test_labels = list_classes(root / "val", wnids, passed_over)
    except UserError as error:
        raise UserError(
            f"{error}; a part of ImageNet is read by --dataset folder, which takes train/<class>/ and test/<class>/"
        ) from None
    files = train_paths, train_labels, test_paths, test_labels
    return ImageFiles(*files, wnids, origin=f"files in {root}", passed_over=passed_over)


def _find_root(data_dir: Path) -> Path:
    for name in ROOTS:
        if (data_dir / name / "train").is_dir():
            return data_dir / name
    raise UserError(
        f"ImageNet is not in {data_dir}: expected train/<wnid>/*.JPEG and val/<wnid>/*.JPEG there or in "
        f"{data_dir / ROOTS[1]}; --download cannot fetch it, image-net.org asks for an account"
    )
