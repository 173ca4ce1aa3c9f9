"""Interpolations in Pillow's words."""

from PIL import Image

from utils.transforms.spec import BICUBIC, BILINEAR

RESAMPLING = {BILINEAR: Image.Resampling.BILINEAR, BICUBIC: Image.Resampling.BICUBIC}
