"""Constant data are a theorem: where D is the same for all x, the output is N(alpha D, sigma^2 I).

A start from ``N(alpha_s D, sigma_s^2 I)`` is what such data give; an exact sampler preserves it
for every eta and on every grid. It is the law of the noise coefficients: what is kept of x and
what is added must make up sigma_t^2, what is kept of D and what is added must make up alpha_t.

Read off the plan by impulses, no sampling. It covers plans; a sampler for which it is no theorem
declares ``semilinear=False`` and shows instead at which order it deviates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid, karras, power_t
from fokker.solvers.plan import Plan
from fokker.solvers.process import Node, Process
from fokker.solvers.registry import Sampler
from laws.zoo import (
    GRIDS,
    PLANS,
    PROCESSES,
    constant_data_response,
    each,
    grid_map,
    grid_of,
    steps_of,
    variants,
    warm,
)
from tolerances import EXACT

SEMILINEAR = [e for e in PLANS if e.semilinear]
OTHERS = [e for e in PLANS if not e.semilinear]


def moments(plan: Plan, start: Node) -> tuple[float, float]:
    """Mean, as a multiple of D, and variance of the output for a start N(alpha D, sigma^2)."""
    keep, data, *noise = constant_data_response(plan)["x"]
    mean = keep * start.alpha + data
    return mean, keep**2 * start.sigma**2 + math.fsum(np.square(noise))


def misfit(plan: Plan, grid: Grid) -> float:
    """How far mean and variance of the output are from ``alpha D`` and ``sigma^2``, for D = 1."""
    mean, variance = moments(plan, grid[0])
    return max(abs(mean - grid[-1].alpha), abs(variance - grid[-1].sigma ** 2))


def grids(process: Process, steps: int) -> list[Grid]:
    """Uniform and wavy in lam, uniform in time, Karras; each also with a step to sigma 0."""
    in_time = power_t(process, float(process.t_of_lam(-1.5)), float(process.t_of_lam(1.5)))
    found = [grid_of(process, steps, kind) for kind in GRIDS]
    found += [in_time.grid(steps), karras(process, 5.0, 0.1).grid(steps)]
    return found + [Grid(g.nodes[1:]).with_zero() for g in found if steps > 1]


@each(SEMILINEAR)
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_constant_data_are_sampled_exactly_for_every_option_and_grid(entry, process):
    for steps in {steps_of(entry, n) for n in (1, 2, 6)}:
        for grid in grids(process, steps):
            for options in variants(entry):
                assert misfit(entry(process, grid, **options), grid) < EXACT, options


@each([e for e in SEMILINEAR if e.history])
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_constant_data_are_sampled_exactly_from_exact_history(entry, process):
    steps = steps_of(entry, 8)
    for kind in GRIDS:
        maps = grid_map(process, kind, (-1.0, 1.5))
        for options in variants(entry):
            assert misfit(warm(entry, maps, steps, **options), maps.grid(steps)) < EXACT


@each(SEMILINEAR)
def test_constant_data_are_sampled_exactly_over_many_tiny_and_a_few_huge_steps(entry):
    process = PROCESSES["vp"]
    for steps, lams in ((240, (-1.0, 1.0)), (6, (-4.5, 4.5))):
        grid = grid_of(process, steps_of(entry, steps), lams=lams)
        # weights of five nodes on a wavy grid of huge steps are themselves in the thousands
        assert misfit(entry(process, grid), grid) < 1e-10


@each([e for e in PLANS if not e.stochastic])
def test_a_deterministic_sampler_keeps_the_noise_of_constant_data_as_it_is(entry):
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 6))
    keep = constant_data_response(entry(process, grid))["x"][0]
    assert keep == pytest.approx(grid[-1].sigma / grid[0].sigma, rel=EXACT)


def _fading(entry: Sampler, steps: int, eta: float, options: dict[str, float]) -> float:
    """What is left of the start's noise, over what the SDE of ``eta`` leaves, minus 1.

    On constant data the eta-SDE keeps ``(sigma_t/sigma_s) e^{-eta (lam_t - lam_s)}`` of x: the
    variance alone cannot tell one eta from another, and eta from its square root.
    """
    process = PROCESSES["vp"]
    grid = grid_of(process, steps)
    keep = constant_data_response(entry(process, grid, **options))["x"][0]
    span = grid[-1].lam - grid[0].lam
    return keep / (grid[-1].sigma / grid[0].sigma * math.exp(-eta * span)) - 1


@each([e for e in PLANS if e.sde_eta is not None])
def test_a_stochastic_sampler_forgets_its_start_as_the_sde_it_declares(entry):
    tried: list[tuple[float, dict[str, float]]] = [(float(entry.sde_eta), {})]
    if "eta" in variants(entry)[0]:  # then the option is the eta of the SDE
        tried += [(eta, {"eta": eta}) for eta in (0.0, 0.3, 2.5)]
    for eta, options in tried:
        steps = [steps_of(entry, n) for n in (64, 128, 256)]
        gaps = [abs(_fading(entry, n, eta, options)) for n in steps]
        assert gaps[2] < 1e-9 or _slopes(gaps)[-1] > 0.8
        assert gaps[2] < 0.2


def _slopes(errors: Sequence[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


@each(OTHERS)
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
@pytest.mark.parametrize("kind", GRIDS)
def test_a_sampler_that_is_not_exact_on_constant_data_deviates_at_its_order(entry, name, kind):
    process = PROCESSES[name]
    order = entry.weak_cold if entry.stochastic else entry.order_cold
    for options in variants(entry):
        gaps = []
        for steps in (64, 128, 256):
            grid = grid_of(process, steps_of(entry, steps), kind)
            gaps.append(misfit(entry(process, grid, **options), grid))
        # a sampler may be exact on some processes, as Euler is in t where rho is affine in t
        assert gaps[-1] < EXACT or _slopes(gaps)[-1] > order - 0.2
        if name == "vp":
            assert gaps[-1] > 1e-6  # or it should be declared semilinear


@each([e for e in PLANS if "eta" in variants(e)[0]])
@pytest.mark.parametrize("eta", [-0.1, math.nan, math.inf])
def test_an_eta_that_is_no_amount_of_noise_is_refused(entry, eta):
    process = PROCESSES["vp"]
    with pytest.raises(InvalidPlanError, match=f"eta must be a finite number >= 0, got {eta}"):
        entry(process, grid_of(process, steps_of(entry, 2)), eta=eta)
