"""The image size: the one that the user asks for, or the one that the files have."""

from dataclasses import replace

from utils.data.containers import ImageArrays, ImageFiles
from utils.data.images import squares
from utils.data.specs import DatasetSpec, dataset_spec
from utils.transforms.spec import PadCrop

FILE_IMAGE_SIZE = 224


def fit_size(
    dataset: str, source: ImageArrays | ImageFiles, image_size: int | None
) -> tuple[DatasetSpec, ImageArrays | ImageFiles]:
    """Fill in the image size: the one asked for, else the dataset's, else that of the arrays, else 224.

    Where views are cut out of padded images (``PadCrop``), arrays of another size are resized, once, to that of the
    views: the pad is meant for images of the view's own size.

    Returns:
        the specification, and the source with arrays of the right size.
    """
    size = image_size or dataset_spec(dataset).image_size
    if isinstance(source, ImageFiles):
        return dataset_spec(dataset, size or FILE_IMAGE_SIZE), source
    spec = dataset_spec(dataset, size or min(source.train_images.shape[1:3]))
    side = spec.large.size
    if any(isinstance(crop, PadCrop) for view in (spec.large, spec.small) for crop in view.crops):
        train_images, test_images = squares(source.train_images, side), squares(source.test_images, side)
        source = replace(source, train_images=train_images, test_images=test_images)
    return spec, source
