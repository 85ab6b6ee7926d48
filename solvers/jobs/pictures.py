"""Samples as pictures: eight bits a pixel, and the bytes of a PNG.

One channel is gray and three are red, green and blue. Any other number, as latents have, is no
colour: the channels are drawn in gray, side by side in rows. Four are never taken for colour and
transparency, which would hide what is in the first three.
"""

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
LATENT_RANGE = (-3.0, 3.0)
"""The same for channels that are no colours: latents have standard deviation 1, not ends."""
COLOURS = (1, 3)
MOST_CHANNELS = 64
"""More channels are no picture."""


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a sample can be drawn: (H, W), or (C, H, W) with at most 64 channels."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] <= MOST_CHANNELS)


def pixel_range(network: Network) -> tuple[float, float]:
    """The values of a network that are black and white.

    Raises
    ------
    JobError
        If the network says something that is no range.
    """
    latent = len(network.shape) == 3 and network.shape[0] not in COLOURS
    found: Any = network.about.get("pixels", LATENT_RANGE if latent else RANGE)
    try:
        low, high = (float(v) for v in found)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        msg = f"the range of pixels of {network.name!r} must be two numbers, got {found!r}"
        raise JobError(msg)
    return low, high


def to_pixels(sample: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """A sample (H, W) or (C, H, W) as (H, W) or (H, W, 3) of eight bits; beyond the ends is cut.

    ``low`` is 0 and ``high`` is 255, rounded to the nearest. Channels that are no colours lie in
    rows of ``ceil(sqrt(C))``, the first one at the upper left; places without one are black.
    """
    scaled = (sample.astype(np.float64) - low) * (255.0 / (high - low))
    pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    channels, height, width = pixels.shape
    if channels == 3:
        return np.moveaxis(pixels, 0, -1)
    columns = math.ceil(math.sqrt(channels))
    rows = -(-channels // columns)
    places = np.zeros((rows * columns, height, width), np.uint8)
    places[:channels] = pixels
    tiled = places.reshape(rows, columns, height, width).swapaxes(1, 2)
    return tiled.reshape(rows * height, columns * width)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG of such pixels; the same bytes for the same pixels with the same library."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, format="PNG")
    return out.getvalue()
