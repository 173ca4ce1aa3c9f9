"""Contact sheets: sharp images, shown whole, with names that a person can read."""

import numpy as np
import pytest
from PIL import Image

from utils.errors import printable
from utils.report import page, sheets
from utils.report.sheets import GAP, SIDE, Tile, contact_sheet


def ink(text):
    """Width in pixels of the ink of a line of text on a sheet."""
    picture = contact_sheet("", [(text, [])], columns=4)
    return np.flatnonzero((np.asarray(picture) < 128).any(axis=(0, 2))).max() - GAP


def test_words_are_parted_by_a_space_that_can_be_seen():
    for joined, apart in (("mosttypical", "most typical"), ("89images", "89 images")):
        assert ink(apart) - ink(joined) >= 3
    font = sheets._font(11)
    missing = font.getmask("\ufffe").getbbox(), bytes(font.getmask("\ufffe"))
    for char in "✗…éя":
        assert (font.getmask(char).getbbox(), bytes(font.getmask(char))) != missing, char


@pytest.mark.parametrize("name", ["IMG_20230504_123107_holiday_0012.jpg", "W" * 200 + "0012.jpg", "a\nb_0012.jpg"])
def test_a_long_name_keeps_its_end_and_fits(name):
    font = sheets._font(11)
    shown = sheets._cut(name, SIDE, font, end=True)
    assert shown.endswith("0012.jpg")
    assert font.getlength(shown) <= SIDE
    assert "\n" not in shown
    title = sheets._lines(printable(f"{name}: 3 images"), 300, font)
    assert all(font.getlength(line) <= 300 for line in title)


def test_images_are_shown_whole_and_small_ones_pixel_by_pixel():
    wide = np.full((100, 400, 3), 200, np.uint8)
    wide[:, :100], wide[:, 300:] = (255, 0, 0), (0, 0, 255)
    left, _, right = (np.asarray(sheets._fitted(wide, 160))[20, x] for x in (3, 80, 157))
    assert sheets._fitted(wide, 160).size == (160, 40)
    np.testing.assert_allclose([left, right], [(255, 0, 0), (0, 0, 255)], atol=3)
    small = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(sheets._fitted(small, 160), np.kron(small, np.ones((5, 5, 1), np.uint8)))
    assert sheets._fitted(np.zeros((1, 900, 3), np.uint8), 160).size == (160, 1)


def test_a_page_names_every_image_and_small_ones_alone_show_their_pixels():
    small, large = np.zeros((32, 32, 3), np.uint8), np.zeros((100, 320, 3), np.uint8)
    text = page.tiles(
        [("typical", [Tile(small, "", None, "train 17"), Tile(large, "✗ dog", None, "x" * 99 + "12.jpg")])]
    )
    first, second = text.split("</figure>")[:2]
    assert "train 17" in first
    assert 'class="pixels"' in first
    assert 'class="pixels"' not in second
    assert f'title="{"x" * 99}12.jpg"' in second
    assert ">…" in second
    assert "12.jpg</span>" in second


def test_a_contact_sheet_of_many_sizes(tmp_path):
    images = [np.zeros((h, w, 3), np.uint8) for h, w in ((8, 8), (64, 65), (700, 20), (1, 900))]
    picture = contact_sheet("title", [("some", [Tile(image, "0.98", "#D55E00", "a.jpg") for image in images])])
    sheets.save_sheet(picture, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").width == GAP + 8 * (SIDE + GAP)
