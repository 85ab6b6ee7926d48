"""What the tests of jobs share: one small job, and what its folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fokker.solvers.jobs.job import Job
from small_networks import denoise

JOB = Job("gaussians", steps=4, count=5, batch=2, labels="cycle")
PROBES = 3
"""How often a network is asked who it is, before the first batch."""


class Counting:
    """The network, and when it was asked."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        self.times.append(t)
        return denoise(x, t, labels)


def contents(folder: Path) -> dict[str, bytes]:
    """The samples and pictures by file."""
    rooms = ("arrays", "images")
    return {f"{r}/{p.name}": p.read_bytes() for r in rooms for p in (folder / r).iterdir()}


def said(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def samples(folder: Path) -> np.ndarray:
    return np.concatenate([np.load(p) for p in sorted((folder / "arrays").iterdir())])
