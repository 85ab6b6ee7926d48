"""Assertions about samplers, for anybody's test suite.

A sampler may be a registered name, a :class:`~fokker.solvers.registry.Sampler`, a builder
``(process, grid) -> Plan``, or a plain function ``(model, x, grid)`` or ``(model, x, sigmas)``
that knows nothing of this library; see :mod:`.testing_samplers`. Every assertion measures it on
laws whose exact solution is known, and raises ``AssertionError`` with what it saw.

============================== ================================================================
assertion                      fails when
============================== ================================================================
:func:`assert_order`           the error against the exact flow falls more slowly than h^order
:func:`assert_weak_order`      the exact mean and variance on a Gaussian do, of a noisy sampler
:func:`assert_preserves_marginals`  the law of the samples converges to another law, or does not
:func:`assert_batch_independent`    a sample depends on who else is in its batch
:func:`assert_finite_at_edges`      one step, 3n +- 1 steps, a step to sigma 0, float32, a model
                               that returns its input: NaN, or an exception nobody asked for
============================== ================================================================

For pytest, write ``from fokker.analysis.testing import flow_problem, grid_family`` in
``conftest.py``: a test that takes one of them then runs on each law and each family of grids.
:mod:`.strategies` (hypothesis) is at hand as ``strategies``.

Examples
--------
A sampler in ten lines, in the convention of k-diffusion, and its test:

>>> def heun(model, x, sigmas):
...     for s, t in zip(sigmas[:-1], sigmas[1:]):
...         slope = (x - model(x, s)) / s
...         if t == 0:
...             x = x + (t - s) * slope
...             continue
...         y = x + (t - s) * slope
...         x = x + (t - s) * 0.5 * (slope + (y - model(y, t)) / t)
...     return x
>>> seen = assert_order(heun, 2, grids=["wavy-lam"])
>>> assert_order(heun, 3, laws=["gaussian"], grids=["wavy-lam"])
Traceback (most recent call last):
...
AssertionError: heun is not of order 3 on gaussian, wavy-lam: ...
>>> assert_finite_at_edges(heun)
>>> assert_batch_independent(heun)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ..solvers.grids import GridMap
from ..toy_models.problems import problem
from . import strategies as strategies
from .boxes import box_response
from .gaussian_path import eigenbasis
from .law import Response, response, weak_error_of
from .order import Observation, refine
from .order_rows import GAUSSIAN_FLOOR, order_grid, order_problem
from .paired import FlowProblem, observed_order
from .stochastic.weak_expansion import PROBLEM, weak_order
from .testing_edges import assert_batch_independent as assert_batch_independent
from .testing_edges import assert_finite_at_edges as assert_finite_at_edges
from .testing_samplers import GRID_FAMILIES, checked_places, likely, quoted
from .testing_samplers import as_sampler as as_sampler

LAWS = ("gaussian", "product")
GRIDS = GRID_FAMILIES


def _story(steps: Sequence[int], errors: Sequence[float], slopes: Sequence[float]) -> str:
    pairs = ", ".join(f"{n}: {e:.2e}" for n, e in zip(steps, errors, strict=True))
    return f"errors {{{pairs}}}, slopes [{', '.join(f'{s:.2f}' for s in slopes)}]"


def _judge(name: str, what: str, claim: float, where: str, seen: Any) -> None:
    verdict = seen.verdict(claim)
    if verdict == "met":
        return
    slopes = getattr(seen, "slopes", None)
    if slopes is None:
        pairs = zip(seen.errors[:-1], seen.errors[1:], strict=True)
        slopes = [math.log2(a / b) if a > 0 and b > 0 else math.nan for a, b in pairs]
    story = _story(seen.steps, seen.errors, slopes)
    order = "unsettled" if seen.order is None else f"{seen.order:.2f}"
    if verdict == "not met":
        story += likely(seen.order, claim)
        msg = f"{name} is not of {what} {claim:g} on {where}: observed {order}; {story}"
    else:
        msg = (
            f"whether {name} is of {what} {claim:g} on {where} is not resolved "
            f"(observed {order}): the slopes do not settle; {story}"
        )
    raise AssertionError(msg)


def _measured(name: str, what: str, action: Callable[[], Any]) -> Any:
    """The measurement, or an AssertionError that quotes what the sampler raised."""
    return quoted(f"{name} cannot be measured ({what})", action)


def assert_order(
    sampler: Any,
    order: float,
    *,
    laws: Sequence[str] = LAWS,
    grids: Sequence[str] = GRIDS,
    prediction: str = "data",
    warm: bool = False,
) -> list[Observation]:
    """A deterministic sampler has at least this order, as it runs by itself.

    The root mean square error against the exact probability-flow map, over 32 starts, on nested
    grids from lam = -1.5 to 1.5 without a step to sigma 0: ``e(N) = O(N^-order)``.

    Parameters
    ----------
    sampler : str, Sampler or callable
        See the module.
    order : float
        What it claims. An order above it passes, an order that does not settle does not.
    laws : sequence of str
        Of the reference problems. A Gaussian alone is not enough: its model is linear.
    grids : sequence of str
        ``"uniform-lam"`` and ``"wavy-lam"``; a uniform grid hides wrong step ratios.
    prediction : str
        What the model of a plain function gives.
    warm : bool
        Give exact history to a plan that takes one, so that its own start does not count.

    Returns
    -------
    list of Observation
        Steps, errors and slopes of each place.

    Raises
    ------
    AssertionError
        With errors and slopes.
    AnalysisError
        If nothing would be measured: no law, no grid, an order that is no positive number.
    """
    laws, grids = checked_places(order, laws, grids)
    entry = as_sampler(sampler, prediction=prediction)
    found = []
    for law in laws:
        for grid in grids:
            where: FlowProblem = order_problem(law)
            maps = order_grid(where.process, grid)
            seen = _measured(
                entry.name,
                f"{law}, {grid}",
                lambda where=where, maps=maps: observed_order(
                    entry, where, maps, warm=warm, claim=order
                ),
            )
            _judge(entry.name, "order", order, f"{law}, {grid}", seen)
            found.append(seen)
    return found


def _gaussian_response(entry: Any, grids: GridMap, steps: int) -> Response:
    data, process = eigenbasis(problem("gaussian").law), grids.process
    if entry.kind != "plan":
        return box_response(entry, process, grids.grid(steps), data)
    return response(entry(process, grids.grid(steps)), data)


def _moment_error(entry: Any, grids: GridMap, steps: int) -> float:
    """Error of mean and variance of the sample of an exact start, on a Gaussian: no sampling.

    From the exact marginal at the start every process with the right marginals, of any eta, has
    the exact marginal at the end.
    """
    data = eigenbasis(problem("gaussian").law)
    grid = grids.grid(steps)
    found = _gaussian_response(entry, grids, steps)
    error = weak_error_of(found, data, grid[0], grid[-1], eta=0.0)
    return math.hypot(error.mean, error.var)


def assert_weak_order(
    sampler: Any,
    order: float,
    *,
    grids: Sequence[str] = GRIDS,
    prediction: str = "data",
    nonlinear: bool = False,
) -> list[Observation]:
    """A stochastic sampler has at least this weak order.

    Mean and variance of the sample on Gaussian data, from an exact start, are known exactly (no
    sampling): their error must be ``O(N^-order)``. That is a necessary condition; nonlinear order
    conditions show on nonlinear laws only.

    Parameters
    ----------
    sampler, order, grids, prediction
        As for :func:`assert_order`.
    nonlinear : bool
        Measure on nonlinear laws, too, without sampling: at the first power of the nonlinearity,
        which decides weak orders up to 3. For plans: a plain function has no table to expand.
    """
    _, grids = checked_places(order, ("gaussian",), grids)
    entry = as_sampler(sampler, prediction=prediction)
    found: list[Observation] = []
    for grid in grids:
        maps = order_grid(order_problem("gaussian").process, grid)
        seen = _measured(
            entry.name,
            f"gaussian, {grid}",
            lambda maps=maps: refine(
                lambda n: _moment_error(entry, maps, n), claim=order, floor=GAUSSIAN_FLOOR, most=7
            ),
        )
        _judge(entry.name, "weak order", order, f"gaussian, {grid}", seen)
        found.append(seen)
    for grid in grids if nonlinear else ():
        maps = order_grid(order_problem("gaussian").process, grid)
        seen = _measured(
            entry.name,
            f"{PROBLEM}, {grid}",
            lambda maps=maps: weak_order(entry, maps, claim=order, warm=False),
        )
        _judge(entry.name, "weak order", order, f"{PROBLEM}, {grid}", seen)
        found.append(seen)
    return found


def assert_preserves_marginals(
    sampler: Any,
    *,
    steps: int = 256,
    tolerance: float = 0.05,
    grids: Sequence[str] = GRIDS,
    prediction: str = "data",
) -> list[float]:
    """The law of the samples converges to the exact marginal, for an ODE and an SDE of any eta.

    On Gaussian data, from an exact start, without sampling: the error of mean and variance at
    ``steps`` is at most ``tolerance``, and each of the last two halvings of the step divides it by
    at least 1.5 (unless it is at rounding already). Noise without its drift, or a wrong
    coefficient of the noise, converges to another law and fails.
    """
    _, grids = checked_places(1, ("gaussian",), grids)
    entry = as_sampler(sampler, prediction=prediction)
    last = []
    for grid in grids:
        maps = order_grid(order_problem("gaussian").process, grid)
        counts = [steps // 4, steps // 2, steps]
        errors = _measured(
            entry.name,
            f"gaussian, {grid}",
            lambda maps=maps, counts=counts: [_moment_error(entry, maps, n) for n in counts],
        )
        falls = all(b <= max(a / 1.5, GAUSSIAN_FLOOR) for a, b in itertools.pairwise(errors))
        if not (falls and errors[-1] <= tolerance):
            ratios = [a / b if b else math.inf for a, b in itertools.pairwise(errors)]
            story = _story(counts, errors, [math.log2(r) for r in ratios])
            msg = (
                f"{entry.name} does not preserve the marginals on gaussian, {grid}: the error of "
                f"mean and variance must fall below {tolerance:g} and keep falling; {story}"
            )
            raise AssertionError(msg)
        last.append(errors[-1])
    return last


@pytest.fixture(params=LAWS)
def flow_problem(request: pytest.FixtureRequest) -> FlowProblem:
    """A law with an exact flow: starts, truth, model; once a Gaussian, once not."""
    return order_problem(request.param)


@pytest.fixture(params=GRIDS)
def grid_family(request: pytest.FixtureRequest, flow_problem: FlowProblem) -> GridMap:
    """Nested grids over the stretch of ``flow_problem``, equal steps and waving ones."""
    return order_grid(flow_problem.process, request.param)
