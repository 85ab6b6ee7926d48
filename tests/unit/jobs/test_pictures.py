"""Samples become pictures by one formula, and a PNG gives every pixel back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.pictures import is_picture, pixel_range, png, to_pixels
from small_networks import gaussians


def test_the_ends_of_the_range_are_black_and_white_and_the_rest_is_rounded():
    values = np.array([[-1.0, 1.0, 0.0, -7.0, 7.0, 2 / 255 - 1, 2.9 / 255 - 1]], np.float32)
    assert to_pixels(values, -1, 1).tolist() == [[0, 255, 128, 0, 255, 1, 1]]
    assert to_pixels(values, 0, 4).tolist() == [[0, 64, 0, 0, 255, 0, 0]]


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7), (4, 5, 7)])
def test_a_png_holds_the_pixels(shape: tuple[int, ...]):
    assert is_picture(shape)
    sample = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    pixels = to_pixels(sample, -1, 1)
    found = np.asarray(Image.open(io.BytesIO(png(pixels))))
    assert np.array_equal(found, pixels)
    channel = sample if len(shape) == 2 else sample[0]
    first = found if found.ndim == 2 else found[..., 0]
    assert np.abs(first / 127.5 - 1 - channel).max() <= 0.5 / 127.5 + 1e-6


def test_not_every_sample_is_a_picture():
    assert not any(map(is_picture, [(3,), (2, 5, 7), (1, 2, 3, 4)]))


def test_a_network_may_say_which_values_are_black_and_white():
    assert pixel_range(gaussians()) == (-1.0, 1.0)
    assert pixel_range(gaussians(about={"pixels": [0, 2]})) == (0.0, 2.0)
    for wrong in ([1, 1], [0], "ab", None):
        with pytest.raises(JobError, match="range of pixels of 'gaussians' must be two numbers"):
            pixel_range(gaussians(about={"pixels": wrong}))
