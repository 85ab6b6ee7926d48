"""Samples as pictures: eight bits a pixel, and the bytes of a PNG."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..networks.network import Network
from .errors import JobError

RANGE = (-1.0, 1.0)
"""Values that are shown black and white, unless the network says ``about["pixels"]``."""


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a sample is a picture: (H, W), or (C, H, W) with 1, 3 or 4 channels."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3, 4))


def pixel_range(network: Network) -> tuple[float, float]:
    """The values of a network that are black and white.

    Raises
    ------
    JobError
        If the network says something that is no range.
    """
    found: Any = network.about.get("pixels", RANGE)
    try:
        low, high = (float(v) for v in found)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        msg = f"the range of pixels of {network.name!r} must be two numbers, got {found!r}"
        raise JobError(msg)
    return low, high


def to_pixels(sample: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """A sample (H, W) or (C, H, W) as (H, W) or (H, W, C) of eight bits; beyond the ends is cut.

    ``low`` is 0 and ``high`` is 255, rounded to the nearest.
    """
    scaled = (sample.astype(np.float64) - low) * (255.0 / (high - low))
    pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    return pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG of such pixels; the same bytes for the same pixels with the same library."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, format="PNG")
    return out.getvalue()
