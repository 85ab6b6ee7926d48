"""What guidance aims at, where it ends instead, and how much of that time travel takes back.

A guided score is that of ``p_c^w p_u^{1-w}`` at every level, and no flow joins these laws: the
guided flow ends elsewhere (the bias of guidance). Going back and forth at a level lets the state
forget where it came from and settle in the law of that level's score (Mou et al. 2024,
arXiv:2402.02583, use it for that).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
import torch

from fokker.solvers.grids import uniform_lam
from fokker.solvers.ops import Noise
from fokker.solvers.plan import Plan, interpret
from fokker.solvers.process import Node
from fokker.solvers.run import run
from fokker.solvers.samplers.local_sde import time_travel
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.guided import Guided, restricted
from fokker.toy_models.law import exact_model
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.problems import problem

FREE, CONDITION = (0.0, 1.0), (1.0, 0.4)  # means and standard deviations of p_u and p_c


def tilted(node: Node, weight: float) -> tuple[float, float]:
    """Mean and variance of ``p_c^w p_u^{1-w}`` at a level, of two Gaussians."""
    a2, s2 = node.alpha**2, node.sigma**2
    v_u, v_c = (a2 * c * c + s2 for _, c in (FREE, CONDITION))
    precision = weight / v_c + (1 - weight) / v_u
    pull = weight * node.alpha * CONDITION[0] / v_c + (1 - weight) * node.alpha * FREE[0] / v_u
    return pull / precision, 1 / precision


def reached(plan: Plan, weight: float) -> tuple[float, float]:
    """Mean and variance of what the plan makes of N(0, S^2) with the guided model; exact.

    A vector holds what it owes to 1, to the start and to each noise.
    """
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    unit = np.eye(2 + len(noises))

    def data(_row: int, op, x: np.ndarray) -> np.ndarray:
        m, v = tilted(op.node, weight)
        score = -(x - m * unit[0]) / v
        return (x + op.node.sigma**2 * score) / op.node.alpha

    start = plan.ops[0].node  # type: ignore[union-attr]
    out = interpret(
        plan,
        inputs={"x": math.hypot(start.alpha, start.sigma) * unit[1]},
        evaluate=data,
        draw=lambda row, _op: unit[2 + noises.index(row)],
    )["x"]
    return float(out[0]), float((out[1:] ** 2).sum())


def bias(process, weight: float, *, steps: int, **options) -> float:
    """W2 between what is reached and what guidance aims at, at the last level."""
    grid = uniform_lam(process, -4.0, 3.0).grid(steps)
    m, v = reached(time_travel(process, grid, **options), weight)
    goal, var = tilted(grid[-1], weight)
    return math.hypot(m - goal, math.sqrt(v) - math.sqrt(var))


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp", "edm"])
@pytest.mark.parametrize("weight", [2.0, 7.5])
def test_time_travel_takes_back_the_bias_of_guidance_on_gaussians(process, weight):
    """Exact, no samples: smaller steps do not help, rounds do, by more than ten times."""
    plain = [bias(process, weight, steps=n, rounds=0) for n in (50, 200)]
    assert plain[0] == pytest.approx(plain[1], rel=0.1)
    assert plain[1] > 0.1
    rounds = [bias(process, weight, steps=200, rounds=n) for n in (0, 1, 3, 7)]
    assert all(b < 0.6 * a for a, b in pairwise(rounds))
    assert rounds[-1] < rounds[0] / 10


def test_without_guidance_there_is_no_bias_to_take_back():
    """The negative control: weight 1 is the conditional law itself."""
    assert bias(VPLinear(), 1.0, steps=400, rounds=0) < 0.02
    assert bias(VPLinear(), 1.0, steps=400, rounds=3) < 0.02


def test_rounds_at_high_noise_alone_are_forgotten_by_the_rest_of_the_way():
    """A window: what counts is to settle where the data are decided, not before."""
    early, late = (
        bias(VPLinear(), 4.0, steps=100, rounds=7, window=window)
        for window in ((-math.inf, -1.0), (0.0, math.inf))
    )
    assert late < 0.2 * early


def test_on_the_guided_mixture_the_mean_comes_back_too():
    """256 common starts; the standard error of the first mean is 0.015."""
    p = problem("mixture")
    law = restricted(cast(GaussianMixture, p.law), (0, 3))
    model = exact_model(Guided(law, p.law, 7.5), p.process)
    grid, x = uniform_lam(p.process, -4.0, 3.0).grid(40), p.starts(256, seed=3)
    lines = torch.linspace(-2.2, 2.2, 201, dtype=torch.float64)
    plane = torch.cartesian_prod(lines, lines)
    at = grid[-1].alpha, grid[-1].sigma
    log_p = 7.5 * law.log_density(plane, *at) - 6.5 * p.law.log_density(plane, *at)
    goal = float((log_p.softmax(0)[:, None] * plane).sum(0)[0])
    gaps = []
    for n in (0, 1, 7):
        ends = run(time_travel(p.process, grid, rounds=n), model, x, noise=1).x
        gaps.append(abs(float(ends[:, 0].mean()) - goal))
    assert gaps[0] > 0.4
    assert gaps[1] < 0.12
    assert gaps[2] < 0.06
