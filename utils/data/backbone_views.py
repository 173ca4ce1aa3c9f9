"""A dataset as a pretrained backbone sees it: the dataset's laws of views, the backbone's size and normalisation."""

from dataclasses import replace

from utils.data.specs import DatasetSpec
from utils.transforms.spec import BackboneData, PadCrop, ViewSpec


def seen_by(spec: DatasetSpec, backbone: BackboneData) -> DatasetSpec:
    """The specification with the backbone's mean, std, interpolation and size in the place of the dataset's own.

    Images are cut as for the dataset, in shares and pixels of the images themselves, and what is cut is resized to the
    backbone's size. Small views keep their share of the large ones' side, unless the backbone takes one size alone.
    The view of evaluation keeps the dataset's law too: the whole image, or the centre of a resized one.

    Args:
        spec: with the image size filled in, for which its laws are meant.
        backbone: what the backbone expects.
    """

    def view(law: ViewSpec, size: int) -> ViewSpec:
        crops = tuple(
            replace(crop, size=crop.size or law.size) if isinstance(crop, PadCrop) else crop for crop in law.crops
        )
        blur = law.blur and replace(law.blur, kernel_size=min(law.blur.kernel_size, 2 * size - 1))
        return replace(law, size=size, crops=crops, blur=blur, interpolation=backbone.interpolation)

    size, own, resize = backbone.size, spec.large.size, spec.evaluation.resize
    return replace(
        spec,
        mean=backbone.mean,
        std=backbone.std,
        image_size=size,
        large=view(spec.large, size),
        small=view(spec.small, size if backbone.fixed_size else max(1, round(size * spec.small.size / own))),
        evaluation=replace(
            spec.evaluation,
            size=size,
            resize=resize and round(size * resize / spec.evaluation.size),
            interpolation=backbone.interpolation,
        ),
    )
