"""Hypothesis strategies for the objects of the project, public: other libraries may import them.

Everything drawn is physical and well conditioned *by construction*; nothing is filtered away, so
no example is wasted and examples shrink well. The domains:

=====================  ==================================================  ====================
strategy               draws                                               shrinks to
=====================  ==================================================  ====================
``lams``               half log-SNR in ``LAM_RANGE``                       0
``processes``          every family; all of ``LAM_RANGE`` is reached       ``VPLinear()``
``grids``              1 to 8 steps in ``LAM_RANGE``, total length at      one step from 0 to 1
                       least 1, neighbouring steps at most 4 : 1
``predictions``        the six names of ``PREDICTIONS``                    ``"data"``
``rotations``          proper, (d, d), orthogonal to 1e-14                 the identity
``covariances``        variances in ``VARIANCES`` along any axes           the identity
``gaussians``          means in [-2, 2]^d and such covariances, d to 4     N(0, 1)
``mixtures``           1 to 3 of them, weights at most 10 : 1              one N(0, 1)
``product_mixtures``   1 to 3 modes a coordinate of width 0.1 to 1,        one N(0, 1)
                       under a rotation, d to 3
``plans``, ``built``   a registered sampler on a process and a grid        the first by name
``programs``           any straight-line program of up to 12 rows          one sum
=====================  ==================================================  ====================

No number is subnormal or smaller than 1e-6 without being 0. Tensors are float64 on the CPU.

Examples
--------
>>> from hypothesis import given, settings
>>> @settings(max_examples=5, database=None)
... @given(built())
... def a_plan_asks_as_often_as_its_sampler_declares(b):
...     assert b.plan.nfe == b.sampler.nfe(len(b.grid))
>>> a_plan_asks_as_often_as_its_sampler_declares()
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

from ..solvers import registry
from ..solvers.discrete import DiscreteVP, from_alphas_cumprod
from ..solvers.grids import Grid, grid_from_lams
from ..solvers.model import PREDICTIONS
from ..solvers.plan import Plan, Tape
from ..solvers.process import Process
from ..solvers.registry import Sampler
from ..solvers.schedules import EDM, VE, RectifiedFlow, SubVP, Trigonometric, VPCosine, VPLinear
from ..toy_models.gaussian import Gaussian
from ..toy_models.mixture import GaussianMixture
from ..toy_models.product import ProductMixture

LAM_RANGE = (-4.0, 4.0)
"""Half log-SNRs that every drawn process reaches: sigma/alpha from 55 down to 0.018."""

VARIANCES = (1e-4, 1.0)
"""Variances along the axes of a covariance: a condition number of at most 1e4."""

_TINY = 1e-6


def _reals(low: float, high: float) -> SearchStrategy[float]:
    """Doubles in [low, high] with all their digits, none closer to 0 than 1e-6 but 0 itself."""
    drawn = st.floats(low, high, allow_subnormal=False)
    return drawn.map(lambda v: v if abs(v) >= _TINY else 0.0)


def _times(strategy: SearchStrategy[Any], count: int) -> SearchStrategy[tuple[Any, ...]]:
    """A tuple of ``count`` draws; unlike a list of one size it never discards an example."""
    return st.tuples(*[strategy] * count)


def _vectors(low: float, high: float, *shape: int) -> SearchStrategy[Tensor]:
    """Tensors of such numbers."""
    drawn = _times(_reals(low, high), math.prod(shape))
    return drawn.map(lambda v: torch.tensor(v, dtype=torch.float64).reshape(shape))


def lams(low: float = LAM_RANGE[0], high: float = LAM_RANGE[1]) -> SearchStrategy[float]:
    """Half log-SNRs in [low, high]; shrinks towards 0."""
    return _reals(low, high)


def _betas() -> SearchStrategy[tuple[float, float]]:
    """``(beta_min, beta_max)`` with lam below -4 at t = 1: ``alpha(1) = e^{-(b0 + b1)/4}``."""
    return st.tuples(_reals(0.01, 2.0), _reals(17.0, 40.0))


def _table(levels: int, betas: tuple[float, float], zero_terminal: bool) -> DiscreteVP:
    """The table of a linear beta at equal times, as image models ship it."""
    times = np.arange(1, levels + 1) / levels
    table = np.asarray(VPLinear(*betas).alpha(times)) ** 2
    return from_alphas_cumprod([*table, 0.0] if zero_terminal else table)


def processes(
    *, variance_preserving: bool = False, analytic: bool = False
) -> SearchStrategy[Process]:
    """Forward processes; all of them reach every lam of ``LAM_RANGE``.

    Linear and cosine VP, sub-VP, VE, EDM, rectified flow, trigonometric, and tables of discrete
    betas with 8 to 64 levels, with and without zero terminal SNR.

    Parameters
    ----------
    variance_preserving : bool
        Only those with ``alpha^2 + sigma^2 = 1``.
    analytic : bool
        No tables: their lam(t) has kinks, which hide orders.
    """
    vp: list[SearchStrategy[Process]] = [
        st.just(VPLinear()),
        st.just(Trigonometric()),
        _betas().map(lambda b: VPLinear(*b)),
        _reals(0.001, 0.1).map(VPCosine),
    ]
    others: list[SearchStrategy[Process]] = [
        st.just(RectifiedFlow()),
        _reals(60.0, 200.0).map(EDM),
        st.builds(VE, _reals(0.001, 0.015), _reals(60.0, 200.0)),
        _betas().map(lambda b: SubVP(*b)),
    ]
    if not analytic:
        vp.append(st.builds(_table, st.integers(8, 64), _betas(), st.booleans()))
    return st.one_of(vp if variance_preserving else vp + others)


@st.composite
def grids(
    draw: DrawFn,
    process: Process | None = None,
    *,
    min_steps: int = 1,
    max_steps: int = 8,
    to_zero: bool | None = False,
) -> Grid:
    """Grids in ``LAM_RANGE`` whose steps differ by a factor of at most 4.

    Parameters
    ----------
    process : Process, optional
        Of the grid; drawn if not given.
    min_steps, max_steps : int
        Numbers of steps, without the one to ``sigma = 0``.
    to_zero : bool or None
        Whether to append a step to ``sigma = 0``; None draws it.
    """
    process = draw(processes()) if process is None else process
    steps = draw(st.integers(min_steps, max_steps))
    start = draw(_reals(LAM_RANGE[0], LAM_RANGE[1] - 3.0))
    length = draw(_reals(1.0, LAM_RANGE[1] - start))
    sizes = draw(_times(_reals(0.5, 2.0), steps))
    ends = itertools.accumulate(sizes)
    total = math.fsum(sizes)
    grid = grid_from_lams(process, [start, *(start + length * end / total for end in ends)])
    appended = draw(st.booleans()) if to_zero is None else to_zero
    return grid.with_zero() if appended else grid


def predictions() -> SearchStrategy[str]:
    """Names of predictions; shrinks to ``"data"``. All conversions exist in ``LAM_RANGE``."""
    return st.sampled_from(PREDICTIONS)


@st.composite
def rotations(draw: DrawFn, dim: int) -> Tensor:
    """Proper rotations (d, d), all of SO(d): a turn by any angle in each plane of two axes."""
    out = torch.eye(dim, dtype=torch.float64)
    for i, j in itertools.combinations(range(dim), 2):
        angle = draw(_reals(-math.pi, math.pi))
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        out[:, [i, j]] = out[:, [i, j]] @ turn
    return out


@st.composite
def _axes(draw: DrawFn, dim: int) -> tuple[Tensor, Tensor]:
    """``(eigenvectors, variances)``; the logarithms of the variances are drawn."""
    low, high = (math.log10(v) for v in VARIANCES)
    return draw(rotations(dim)), 10.0 ** draw(_vectors(low, high, dim))


def covariances(dim: int) -> SearchStrategy[Tensor]:
    """Symmetric (d, d) with eigenvalues in ``VARIANCES``; shrinks to the identity."""

    def dense(axes: tuple[Tensor, Tensor]) -> Tensor:
        cov = (axes[0] * axes[1]) @ axes[0].mT
        return 0.5 * (cov + cov.mT)

    return _axes(dim).map(dense)


def _weights(count: int) -> SearchStrategy[Tensor]:
    """Positive, sum 1, at most 10 : 1; shrinks to equal weights."""
    drawn = _times(st.integers(1, 10), count)
    return drawn.map(lambda v: torch.tensor(v, dtype=torch.float64) / sum(v))


@st.composite
def gaussians(draw: DrawFn, dim: int | None = None) -> Gaussian:
    """Gaussian laws N(m, C) of dimension 1 to 4, or the given one."""
    d = draw(st.integers(1, 4)) if dim is None else dim
    vectors, values = draw(_axes(d))
    return Gaussian.from_eigen(draw(_vectors(-2.0, 2.0, d)), vectors, values)


@st.composite
def mixtures(
    draw: DrawFn, dim: int | None = None, components: int | None = None
) -> GaussianMixture:
    """Mixtures of full-covariance Gaussians; without a closed flow."""
    d = draw(st.integers(1, 4)) if dim is None else dim
    count = draw(st.integers(1, 3)) if components is None else components
    covs = torch.stack([draw(covariances(d)) for _ in range(count)])
    return GaussianMixture(draw(_weights(count)), draw(_vectors(-2.0, 2.0, count, d)), covs)


@st.composite
def product_mixtures(
    draw: DrawFn, dim: int | None = None, components: int | None = None
) -> ProductMixture:
    """Rotated products of one-dimensional mixtures: nonlinear laws with an exact flow."""
    d = draw(st.integers(1, 3)) if dim is None else dim
    count = draw(st.integers(1, 3)) if components is None else components
    return ProductMixture(
        torch.stack([draw(_weights(count)) for _ in range(d)]),
        draw(_vectors(-2.0, 2.0, d, count)),
        10.0 ** draw(_vectors(-1.0, 0.0, d, count)),
        draw(rotations(d)),
    )


class Built(NamedTuple):
    """A plan and what it was built from."""

    sampler: Sampler
    process: Process
    grid: Grid
    plan: Plan


@st.composite
def built(
    draw: DrawFn,
    samplers: Sequence[Sampler] | None = None,
    *,
    process: SearchStrategy[Process] | None = None,
    max_steps: int = 8,
    to_zero: bool | None = False,
) -> Built:
    """A registered sampler with its own options on a drawn process and grid.

    Parameters
    ----------
    samplers : sequence of Sampler, optional
        To choose from; every registered plan if not given.
    process : strategy, optional
        Of processes; :func:`processes` if not given.
    max_steps : int
        Steps, the one to ``sigma = 0`` included; a multiple of what the sampler needs is drawn.
    """
    found = registry.samplers("plan") if samplers is None else tuple(samplers)
    sampler = draw(st.sampled_from(found))
    where = draw(processes() if process is None else process)
    zero = draw(st.booleans()) if to_zero is None else to_zero
    least = -(-(2 if zero else 1) // sampler.multiple)
    steps = sampler.multiple * draw(st.integers(least, max(least, max_steps // sampler.multiple)))
    inner = steps - bool(zero)
    grid = draw(grids(where, min_steps=inner, max_steps=inner, to_zero=zero))
    return Built(sampler, where, grid, sampler(where, grid))


def plans(samplers: Sequence[Sampler] | None = None, **options: Any) -> SearchStrategy[Plan]:
    """Plans of registered samplers; takes what :func:`built` takes, which also says from what."""
    return built(samplers, **options).map(lambda b: b.plan)


@st.composite
def programs(draw: DrawFn, max_rows: int = 12) -> Plan:
    """Plans that no sampler would make: sums, evaluations and noises in any order.

    For laws of the Plan itself (text, liveness, composition). Weights are in [-2, 2], times lie
    on a drawn grid, a noise cell is used once; the only input is ``x``, the only output the last
    row.
    """
    grid = draw(grids(max_steps=4))
    tape = Tape()
    last = tape.input("x", grid[0])
    known, cells = [last], list(grid.steps())
    for _ in range(draw(st.integers(0, max_rows - 2))):
        row = draw(st.sampled_from(("sum", "eval", "noise") if cells else ("sum", "eval")))
        if row == "noise":
            s, t = cells.pop()
            last = tape.noise("lam", s.lam, t.lam, draw(st.sampled_from("WH")))
        elif row == "eval":
            node = draw(st.sampled_from(grid.nodes))
            last = tape.eval(draw(st.sampled_from(known)), node, draw(predictions()))
        else:
            last = _sum(draw, tape, known)
        known.append(last)
    return tape.plan(x=tape.mark(_sum(draw, tape, known), grid[-1]))


def _sum(draw: DrawFn, tape: Tape, known: Sequence[int]) -> int:
    term = st.tuples(st.sampled_from(known), _reals(-2.0, 2.0))
    return tape.lin(*draw(_times(term, draw(st.integers(1, 3)))))
