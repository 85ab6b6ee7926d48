"""Samples become pictures by one formula, and a PNG gives every pixel back."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.pictures import is_picture, pixel_range, png, to_pixels
from fokker.solvers.jobs.work import run_job
from small_jobs import JOB
from small_networks import gaussians


def test_the_ends_of_the_range_are_black_and_white_and_the_rest_is_rounded():
    values = np.array([[-1.0, 1.0, 0.0, -7.0, 7.0, 2 / 255 - 1, 2.9 / 255 - 1]], np.float32)
    assert to_pixels(values, -1, 1).tolist() == [[0, 255, 128, 0, 255, 1, 1]]
    assert to_pixels(values, 0, 4).tolist() == [[0, 64, 0, 0, 255, 0, 0]]


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7)])
def test_a_png_holds_the_pixels(shape: tuple[int, ...]):
    assert is_picture(shape)
    sample = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    pixels = to_pixels(sample, -1, 1)
    found = np.asarray(Image.open(io.BytesIO(png(pixels))))
    assert np.array_equal(found, pixels)
    channel = sample if len(shape) == 2 else sample[0]
    first = found if found.ndim == 2 else found[..., 0]
    assert np.abs(first / 127.5 - 1 - channel).max() <= 0.5 / 127.5 + 1e-6


@pytest.mark.parametrize(
    ("channels", "rows", "columns"), [(2, 1, 2), (4, 2, 2), (5, 2, 3), (16, 4, 4)]
)
def test_channels_that_are_no_colours_lie_side_by_side_in_gray(
    channels: int, rows: int, columns: int
):
    shape = (channels, 5, 7)
    assert is_picture(shape)
    sample = np.random.default_rng(0).uniform(-3, 3, shape).astype(np.float32)
    picture = Image.open(io.BytesIO(png(to_pixels(sample, -3, 3))))
    assert picture.mode == "L"  # neither colour nor transparency
    found = np.asarray(picture)
    assert found.shape == (5 * rows, 7 * columns)
    for place in range(rows * columns):
        i, j = divmod(place, columns)
        cell = found[5 * i : 5 * i + 5, 7 * j : 7 * j + 7]
        if place < channels:
            assert np.abs(cell / 42.5 - 3 - sample[place]).max() <= 0.5 / 42.5 + 1e-6
        else:
            assert not cell.any()


def test_latents_of_a_job_are_drawn_channel_by_channel_beside_the_arrays(tmp_path: Path):
    run_job(replace(JOB, count=1), gaussians((4, 4, 6)), tmp_path)
    picture = Image.open(tmp_path / "images" / "000000.png")
    assert (picture.mode, picture.size) == ("L", (12, 8))
    latent = np.load(tmp_path / "arrays" / "000000-000000.npy")[0]
    last = np.asarray(picture)[4:, 6:]
    assert np.abs(last / 42.5 - 3 - latent[3]).max() <= 0.5 / 42.5 + 1e-6


def test_not_every_sample_is_a_picture():
    assert not any(map(is_picture, [(3,), (65, 5, 7), (1, 2, 3, 4)]))


def test_a_network_may_say_which_values_are_black_and_white():
    assert pixel_range(gaussians()) == (-1.0, 1.0)
    assert pixel_range(gaussians((3, 4, 4))) == (-1.0, 1.0)
    assert pixel_range(gaussians((4, 4))) == (-1.0, 1.0)
    assert pixel_range(gaussians((4, 4, 4))) == (-3.0, 3.0)
    assert pixel_range(gaussians((4, 4, 4), about={"pixels": (-1, 1)})) == (-1.0, 1.0)
    assert pixel_range(gaussians(about={"pixels": [0, 2]})) == (0.0, 2.0)
    for wrong in ([1, 1], [0], "ab", None):
        with pytest.raises(JobError, match="range of pixels of 'gaussians' must be two numbers"):
            pixel_range(gaussians(about={"pixels": wrong}))
