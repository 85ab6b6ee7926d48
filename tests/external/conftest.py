"""Fixtures of the tests that read networks of diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from small_diffusers import PLAIN, SMALL, made, pipeline


@pytest.fixture
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def unet() -> Any:
    return made("UNet2DModel", {**SMALL, **PLAIN})


@pytest.fixture
def saved(tmp_path: Path, unet: Any) -> Path:
    """A pipeline of the plain network on the levels of Stable Diffusion."""
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = pytest.importorskip("diffusers").DDIMScheduler(
        **betas, clip_sample=False, set_alpha_to_one=True, steps_offset=1
    )
    return pipeline(tmp_path / "pipe", unet, scheduler)
