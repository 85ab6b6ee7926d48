"""Nested grids: orders four and more, mass, the estimate of the error, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import ndtr

from fokker.analysis.fokker_planck import Box, Generator, drifting, extrapolated, reversible
from fokker.solvers.errors import AnalysisError

Array = NDArray[np.float64]
KAPPA, NOISE, START, SPREAD = 1.2, 0.64, 1.5, 0.05


def line(box: Box) -> Generator:
    return reversible(box, lambda x: x[:, 0] ** 2 * KAPPA / NOISE, NOISE)


def start(x: Array) -> Array:
    z = (x[:, 0] - START) ** 2 / SPREAD
    return np.exp(-0.5 * z) / math.sqrt(2 * math.pi * SPREAD)


def truth(box: Box) -> Array:
    kept = math.exp(-KAPPA)
    deviation = math.sqrt(SPREAD * kept**2 + NOISE / (2 * KAPPA) * (1 - kept**2))
    edges = np.linspace(box.low[0], box.high[0], box.cells[0] + 1)
    return np.diff(ndtr((edges - START * kept) / deviation))


@pytest.mark.parametrize(
    ("levels", "least", "bar"), [(2, 3.7, 8e-5), (3, 4.4, 6e-7), (4, 5.5, 2e-8)]
)
def test_every_grid_more_removes_a_power_of_the_width(levels: int, least: float, bar: float):
    errors, estimates = [], []
    for cells in (24, 48):
        box = Box((-3.2,), (3.8,), (cells,))
        found = extrapolated(line, box, start, 1.0, cells // 4, levels=levels)
        errors.append(float(np.abs(found.masses - truth(box)).sum()))
        estimates.append(found.error)
        assert found.masses.sum() == pytest.approx(1.0, abs=1e-13)
        assert found.least == found.masses.min() > -errors[-1]
    assert math.log2(errors[0] / errors[1]) > least
    assert errors[1] < bar
    assert all(error < estimate for error, estimate in zip(errors, estimates, strict=True))


def test_a_turning_density_in_the_plane_gains_as_much():
    turn, noise = np.array([[-1.0, 2.0], [-2.0, -1.0]]), 0.6
    first, kept = np.array([0.8, -0.3]), math.exp(-1.0)
    mean, var = expm(0.5 * turn) @ first, 0.1 * kept + noise / 2 * (1 - kept)
    box = Box((-3.0, -3.4), (3.0, 3.2), (20, 22))
    found = extrapolated(
        lambda b: drifting(b, lambda x: x @ turn.T, noise), box,
        lambda x: np.exp(-((x - first) ** 2).sum(1) / 0.2) / (0.2 * math.pi), 0.5, 6, walls=1e-3,
    )  # fmt: skip
    sides = [
        np.diff(ndtr((np.linspace(a, b, n + 1) - m) / math.sqrt(var)))
        for a, b, n, m in zip(box.low, box.high, box.cells, mean, strict=True)
    ]
    error = np.abs(found.masses - np.outer(*sides).ravel()).sum()
    assert error < 9e-5  # 0.005 on the finest grid alone
    assert error < found.error < 1e-3


def test_a_number_of_grids_without_a_rule_is_refused():
    with pytest.raises(AnalysisError, match="2, 3 or 4, got 5"):
        extrapolated(line, Box((-3.0,), (3.0,), (16,)), start, 1.0, 4, levels=5)
