#!/usr/bin/env python
"""Images/s a core from JPEG files to the crops of all views: ours, and torchvision's PIL pipeline a view at a time.

    python benchmarks/decode.py --images 100 --width 500 --height 375

Also the ways to decode alone: PIL, PIL with draft mode, torchvision.io.
"""

import tempfile
from pathlib import Path

import measure


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--images", type=int, default=60, help="files")
    flags.add_argument("--width", type=int, default=500, help="of the files, pixels")
    flags.add_argument("--height", type=int, default=375)
    flags.add_argument("--rounds", type=int, default=5)
    flags.set_defaults(threads=1, device="cpu")
    args = measure.start(flags, words)
    import torch
    from PIL import Image
    from torchvision import transforms as T
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from views import smooth_images

    from utils.data.file_datasets import ViewFiles
    from utils.data.specs import dataset_spec

    spec = dataset_spec("ImageNet")
    views = [spec.large] * 2 + [spec.small] * 2
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{row}.jpg" for row in range(args.images)]
        for path, image in zip(paths, smooth_images(args.images, max(args.width, args.height)), strict=True):
            Image.fromarray(image.permute(1, 2, 0).numpy()[: args.height, : args.width]).save(path, quality=90)
        size = sum(Path(path).stat().st_size for path in paths) / args.images

        def crops_of(spec) -> T.Compose:
            return T.Compose([T.RandomResizedCrop(spec.size, spec.crops[0].scale), T.RandomHorizontalFlip()])

        plain_views = [T.Compose([*crops_of(view).transforms, *colours(T, spec, view)]) for view in views]
        plain_crops = [crops_of(view) for view in views]
        files = ViewFiles(paths, torch.zeros(args.images, dtype=torch.long).numpy(), views, seed=0)

        def ours() -> None:
            for row in range(args.images):
                files[0, row, row]

        def plain(transforms) -> None:
            for path in paths:
                image = Image.open(path).convert("RGB")
                for transform in transforms:
                    transform(image)

        def pil(draft: bool) -> None:
            for path in paths:
                with Image.open(path) as image:
                    if draft:
                        image.draft("RGB", (224, 224))
                    image.convert("RGB")

        def torchvision_io() -> None:
            for path in paths:
                decode_jpeg(read_file(path), mode=ImageReadMode.RGB)

        works = {
            "ours: decode once, four crops, uint8": ours,
            "PIL: decode, four crops": lambda: plain(plain_crops),
            "PIL: decode, four whole views": lambda: plain(plain_views),
            "decode alone, PIL": lambda: pil(False),
            "decode alone, PIL draft": lambda: pil(True),
            "decode alone, torchvision.io": torchvision_io,
        }
        seconds = measure.in_turns(works, args.rounds)
    base = seconds["PIL: decode, four whole views"]
    rows = [
        {"on one core": name, "images/s": args.images / value, "times PIL's four views": base / value}
        for name, value in seconds.items()
    ]
    measure.report(args, f"JPEG files of {args.width} x {args.height}, {size / 1000:.0f} kB", rows=rows)
    return {"rows": rows}


def colours(T, spec, view) -> list:
    """What follows the crop, with PIL, and the way to a normalised tensor."""
    jitter = view.jitter
    return [
        T.RandomApply([T.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)], jitter.p),
        T.RandomGrayscale(view.grayscale),
        T.RandomApply([T.GaussianBlur(view.blur.kernel_size, view.blur.sigma)], view.blur.p),
        T.ToTensor(),
        T.Normalize(spec.mean, spec.std),
    ]


if __name__ == "__main__":
    main()
