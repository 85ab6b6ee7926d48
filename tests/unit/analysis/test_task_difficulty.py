"""How hard a level is: printed divergences, their limit, and where the hard end comes from."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fokker.analysis.gaussian_path import normal
from fokker.analysis.task_difficulty import divergence_rate, equal_steps, step_divergence
from fokker.solvers.errors import AnalysisError
from fokker.solvers.schedules import EDM, RectifiedFlow, VPCosine, VPLinear

UNIT = VPLinear(6.0, 6.0)
"""``f = -1/2, g = 1`` up to T = 6, its clock six times faster."""
FLAT = normal(np.zeros(10), np.repeat([1.0, 0.0], [3, 7]))


@pytest.mark.parametrize(
    ("t", "printed", "near"),
    [
        (0.05, 6.752e-4, 0.015),
        (0.2, 3.584e-5, 4e-3),
        (1.0, 5.935e-7, 1.5e-3),
        (3.0, 4.809e-9, 1e-3),
    ],
)
def test_neighbours_have_the_known_divergence(t: float, printed: float, near: float):
    """Three unit variances and seven zeros, steps of 1e-3."""
    dt = 1e-3 / 6
    found = step_divergence(FLAT, UNIT, t / 6, dt)
    assert found == pytest.approx(printed, rel=2e-4)
    assert dt**2 * divergence_rate(FLAT, UNIT, t / 6) == pytest.approx(found, rel=1.2 * near)


@pytest.mark.parametrize("process", [VPLinear(), VPCosine(), EDM(), RectifiedFlow()])
def test_the_rate_is_the_limit_of_small_steps(process: Any):
    data = normal([0.7, -1.0], [0.3, 1.5])
    for share in (0.1, 0.5, 0.8):
        t, h = share * process.t_max, 1e-4 * process.t_max
        found = step_divergence(data, process, t, h) / h**2
        assert found == pytest.approx(divergence_rate(data, process, t), rel=0.02)


def test_of_a_standard_normal_law_no_level_is_hard():
    data = normal([0.0, 0.0], [1.0, 1.0])
    for t in (0.05, 0.5):
        assert step_divergence(data, UNIT, t, 1e-3) < 1e-28
        assert divergence_rate(data, UNIT, t) < 1e-25
    assert step_divergence(data, EDM(), 0.5, 1e-3) > 1e-9  # it is hard where variance explodes
    with pytest.raises(AnalysisError, match="do not change"):
        equal_steps(data, UNIT, 0.9, 0.01, 4)


def test_the_hard_end_is_made_by_the_missing_dimensions():
    """``(S'/S)^2/4 = 1/(4 t^2)`` of each where ``sigma^2 = t``; nothing of the others."""
    t = 1e-4
    assert divergence_rate(FLAT, UNIT, t) == pytest.approx(7 / (4 * t**2), rel=2e-3)


def test_steps_of_equal_difficulty_have_one_divergence():
    data = normal([0.5, 0.0], [0.8, 0.0])
    times = equal_steps(data, UNIT, 0.9, 1e-3, 200)
    assert times[0] == pytest.approx(0.9)
    assert times[-1] == pytest.approx(1e-3)
    found = [step_divergence(data, UNIT, a, a - b) for a, b in pairwise(times)]
    assert max(found) < 1.15 * min(found)
    even = np.linspace(0.9, 1e-3, 201)
    steps = [step_divergence(data, UNIT, a, a - b) for a, b in pairwise(even)]
    assert max(steps) > 1e3 * min(steps)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: step_divergence(FLAT, UNIT, 0.1, 0.2), "0 < dt <= t"),
        (lambda: divergence_rate(FLAT, UNIT, 0.0), "positive variances"),
        (lambda: equal_steps(FLAT, UNIT, 0.1, 0.2, 3), "0 < t_end < t_start"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
