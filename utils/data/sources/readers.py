"""The sources of images, one reader for each value of ``--dataset``."""

from collections.abc import Callable

from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.images import passed_over_text
from utils.data.sources.cifar import fetch_cifar, read_cifar, read_super_classes
from utils.data.sources.digits import read_digits
from utils.data.sources.folder import read_folder
from utils.data.sources.imagenet import read_imagenet
from utils.data.sources.npz import read_npz_source
from utils.data.sources.small_imagenets import read_imagenet10, read_tiny_imagenet
from utils.data.sources.stl10 import fetch_stl10, read_stl10
from utils.data.specs import dataset_spec
from utils.distributed import say

READERS: dict[str, Callable[[SourceRequest], ImageArrays | ImageFiles]] = {
    "CIFAR10": read_cifar,
    "CIFAR100": read_cifar,
    "cifar10": read_cifar,
    "cifar100": read_super_classes,
    "stl10": read_stl10,
    "imagenet10": read_imagenet10,
    "tiny-imagenet": read_tiny_imagenet,
    "ImageNet": read_imagenet,
    "digits": read_digits,
    "npz": read_npz_source,
    "folder": read_folder,
}

DOWNLOADS: dict[str, Callable[[SourceRequest], None]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "cifar10", "cifar100"), fetch_cifar),
    "stl10": fetch_stl10,
}


def prepare_source(request: SourceRequest) -> None:
    """Download the data if that is asked for, possible and necessary.

    Raises:
        UserError: for an unknown dataset, or when the download fails.
    """
    name = dataset_spec(request.dataset).name
    if request.download and name in DOWNLOADS:
        DOWNLOADS[name](request)


def load_source(request: SourceRequest) -> ImageArrays | ImageFiles:
    """Read a dataset: small images as arrays, big ones as the list of their files; says what was passed over.

    Raises:
        UserError: for an unknown dataset, and for data that are absent, incomplete or damaged (names the file).
    """
    prepare_source(request)
    source = READERS[dataset_spec(request.dataset).name](request)
    if source.passed_over:
        say(f"note: {passed_over_text(source.passed_over)}")
    return source
