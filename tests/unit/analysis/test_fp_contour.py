"""Masses without steps: the exponential of the generator, nested grids, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import expm

from fokker.analysis.fokker_planck import (
    Box,
    Generator,
    GridTooSmallError,
    at_time,
    drifting,
    extrapolated,
    reversible,
)
from fokker.analysis.fokker_planck.contour import RATE
from fokker.solvers.errors import AnalysisError, ShapeError


def well(cells: int) -> Generator:
    box = Box((-2.0,), (2.0,), (cells,))
    return reversible(box, lambda x: 4 * (x[:, 0] ** 2 - 1) ** 2 / 0.5, 0.5)


def pushed(cells: int) -> Generator:
    """A drift that leaves through one wall, and a diffusion that depends on x."""
    box = Box((-2.0,), (2.0,), (cells,))
    return drifting(box, lambda x: 3 + np.sin(x), lambda x: 0.2 + 0.1 * x[:, 0] ** 2)


def bump(g: Generator) -> np.ndarray:
    x = g.box.centres[:, 0]
    m = np.exp(-20 * (x - 0.4) ** 2)
    return m / m.sum()


@pytest.mark.parametrize(("make", "bars"), [(well, (3e-12, 1e-12)), (pushed, (3e-8, 1e-9))])
@pytest.mark.parametrize("span", [1e-3, 0.3, 50.0])
def test_it_is_the_exponential_of_the_generator(make, bars: tuple[float, float], span: float):
    g = make(60)
    truth = expm(span * g.matrix.toarray()) @ bump(g)
    for nodes, bar in zip((24, 28), bars, strict=True):
        assert np.abs(at_time(g, bump(g), span, nodes=nodes) - truth).sum() < bar


def test_the_error_falls_with_the_nodes_as_predicted_however_stiff():
    g = well(400)  # rates up to 1e4
    truth = at_time(g, bump(g), 1.0, nodes=28)
    for nodes in (8, 12, 16):
        error = np.abs(at_time(g, bump(g), 1.0, nodes=nodes) - truth).sum()
        assert 0.02 < error * RATE**nodes < 20


def test_the_sum_is_kept():
    g = pushed(80)
    for nodes in (6, 20):
        assert at_time(g, 3 * bump(g), 2.0, nodes=nodes).sum() == pytest.approx(3.0, abs=1e-13)


KAPPA, NOISE, FIRST, SPREAD = 1.2, 0.64, 1.5, 0.05


@pytest.mark.parametrize(
    ("levels", "least", "bar"), [(2, 3.8, 8e-5), (3, 5.8, 2e-7), (4, 7.5, 2e-10)]
)
def test_without_steps_every_grid_more_removes_an_even_power(
    levels: int, least: float, bar: float
):
    kept = math.exp(-KAPPA)
    deviation = math.sqrt(SPREAD * kept**2 + NOISE / (2 * KAPPA) * (1 - kept**2))
    errors = []
    for cells in (24, 48):
        box = Box((-3.2,), (3.8,), (cells,))
        found = extrapolated(
            lambda b: drifting(b, lambda x: -KAPPA * x, NOISE), box,
            lambda x: np.exp(-0.5 * (x[:, 0] - FIRST) ** 2 / SPREAD)
            / math.sqrt(2 * math.pi * SPREAD),
            1.0, levels=levels,
        )  # fmt: skip
        edges = (np.linspace(-3.2, 3.8, cells + 1) - FIRST * kept) / deviation
        truth = np.diff([0.5 * math.erfc(-e / math.sqrt(2)) for e in edges])
        errors.append(float(np.abs(found.masses - truth).sum()))
        assert errors[-1] < found.error
    assert math.log2(errors[0] / errors[1]) > least
    assert errors[1] < bar


def test_bad_input_is_one_sentence():
    g, plane = well(20), Box((-1.0, -1.0), (1.0, 1.0), (8, 8))
    with pytest.raises(AnalysisError, match=r"even number of nodes, 4 to 32, got 7"):
        at_time(g, bump(g), 1.0, nodes=7)
    with pytest.raises(AnalysisError, match="span must be positive and finite, got 0"):
        at_time(g, bump(g), 0.0)
    flat = reversible(plane, lambda x: x[:, 0] * 0, 1.0)
    with pytest.raises(ShapeError, match="in the plane use evolve"):
        at_time(flat, np.full(64, 1 / 64), 1.0)
    with pytest.raises(AnalysisError, match="takes steps, about 2 on these cells"):
        extrapolated(lambda _: flat, plane, lambda x: x[:, 0] * 0 + 0.25, 1.0)


def test_mass_that_has_come_to_a_wall_is_refused():
    box = Box((-2.0,), (2.0,), (60,))
    with pytest.raises(GridTooSmallError, match="at time 1"):
        extrapolated(
            lambda b: drifting(b, lambda x: 0 * x + 1.8, 0.1), box,
            lambda x: np.exp(-0.5 * x[:, 0] ** 2 / 0.04) / math.sqrt(2 * math.pi * 0.04), 1.0,
        )  # fmt: skip
