"""Decoding: every mode becomes upright RGB, damaged files are named."""

import numpy as np
import pytest
import torchvision.transforms.functional as tv
from PIL import Image

from tests.utils.data.makers import encoded, pixels
from utils.data.images import list_images, read_image, read_squares, shorter_side, squares, to_square
from utils.errors import UserError


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_modes(tmp_path, mode):
    (tmp_path / "a.jpg").write_bytes(encoded(mode))
    image = read_image(tmp_path / "a.jpg")
    assert (image.mode, image.size) == ("RGB", (40, 30))
    array = np.asarray(image).astype(int)
    assert (array[:, :15] > 200).all()
    assert (array[:, 25:] < 60).all()


MODES = {"png": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")}
MODES["tiff"] = (*MODES["png"], "CMYK", "YCbCr")


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix in MODES for mode in MODES[suffix]])
def test_lossless_modes(tmp_path, suffix, mode):
    gray = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None], 20, axis=0)  # (20, 32)
    wide = Image.fromarray(gray.astype(np.uint16) * 257)
    image = wide if mode == "I;16" else Image.fromarray(gray).convert("RGB").convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    assert Image.open(tmp_path / f"a.{suffix}").mode == mode
    decoded = np.asarray(read_image(tmp_path / f"a.{suffix}")).astype(int)
    assert decoded.shape == (20, 32, 3)
    if mode in ("1", "P"):  # dithered
        assert abs((decoded - gray[..., None]).mean()) < 1
    else:
        assert np.abs(decoded - gray[..., None]).max() <= (mode == "YCbCr")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 200]], np.int32), [0, 200]),
        (np.array([[0, 257 * 200]], np.int32), [0, 200]),
        (np.array([[0.0, 1.0]], np.float32), "float32 from 0 to 1, convert it to 8 bits"),
        (np.array([[0, 70000]], np.int32), "int32 from 0 to 70000, convert"),
        (np.array([[-1, 5]], np.int32), "int32 from -1 to 5, convert"),
    ],
)
def test_pixels_of_32_bits(tmp_path, pixels, expected):
    Image.fromarray(pixels).save(tmp_path / "a.tiff")
    if isinstance(expected, str):
        with pytest.raises(UserError, match=rf"a\.tiff cannot be read \({expected}"):
            read_image(tmp_path / "a.tiff")
    else:
        assert np.asarray(read_image(tmp_path / "a.tiff"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("orientation", "bright"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom"), (2, "right")]
)
def test_exif_orientation(tmp_path, orientation, bright):
    (tmp_path / "a.jpg").write_bytes(encoded(orientation=orientation))
    array = np.asarray(read_image(tmp_path / "a.jpg")).astype(int)[..., 0]
    height, width = array.shape
    assert (width < height) == (bright in ("top", "bottom"))
    parts = {
        "left": array[:, : width // 3],
        "right": array[:, -(width // 3) :],
        "top": array[: height // 3],
        "bottom": array[-(height // 3) :],
    }
    assert parts[bright].min() > 200
    assert shorter_side(tmp_path / "a.jpg") == 30


@pytest.mark.parametrize("content", [b"", b"not an image", encoded()[:400]])
def test_damaged_image_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.jpg cannot be read") as raised:
        read_image(tmp_path / "bad.jpg")
    assert "\n" not in str(raised.value)


def test_list_images(tmp_path):
    for name in ("b.JPEG", "a.png", "deep/er/c.webp", ".hidden.png", ".git/d.png", "readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.removeprefix(f"{tmp_path}/") for path in list_images(tmp_path)] == [
        "a.png",
        "b.JPEG",
        "deep/er/c.webp",
    ]


# Sizes whose halves torchvision rounds as we do.
@pytest.mark.parametrize(("shape", "size"), [((20, 20), 33), ((7, 300), 20), ((300, 7), 33), ((21, 20), 7)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_to_square_is_resize_and_centre_crop(shape, size, interpolation):
    image = Image.fromarray(pixels(*shape, 3))
    theirs = tv.center_crop(tv.resize(image, size, tv.InterpolationMode(interpolation)), [size, size])
    assert (to_square(image, size, interpolation) == np.asarray(theirs)).all()


def test_to_square_keeps_the_centre():
    array = pixels(20, 30, 3)
    assert (to_square(Image.fromarray(array), 20) == array[:, 5:25]).all()


def test_squares():
    images = pixels(3, 20, 30, 3)
    assert (squares(images, 20) == images[:, :, 5:25]).all()
    fitting = images[:, :, :20]
    assert squares(fitting, 20) is fitting


def test_read_squares_names_the_damaged(tmp_path):
    (tmp_path / "good.jpg").write_bytes(encoded())
    (tmp_path / "bad.jpg").write_bytes(encoded()[:300])
    assert read_squares([str(tmp_path / "good.jpg")], 16).shape == (1, 16, 16, 3)
    with pytest.raises(UserError, match=r"bad\.jpg"):
        read_squares([str(tmp_path / "good.jpg"), str(tmp_path / "bad.jpg")], 16)
