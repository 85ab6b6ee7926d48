"""Empirical model statistics of DPM-Solver-v3: three functions of lam, and their integrals.

With ``f = (sigma eps - l x)/alpha`` (l a diagonal) the probability-flow ODE has the solution ::

    x_t = (alpha_t/alpha_s) e^{-(L_t-L_s)} x_s - alpha_t e^{-(L_t-L_s)} int e^{L-L_s} f dlam

with ``L = int l``. What remains of f is again partly predictable: with ``df/dlam ~ s f + b`` along
the flow, ``g = e^{-S} f - B`` hardly moves (``S = int s``, ``B = int e^{-S} b``). The statistics
(Zheng, Lu, Chen & Zhu 2023, arXiv:2310.13268, sec. 3) are the best such l, s, b on average over
the law of x at each level:

* ``l = E[diag(sigma deps/dx)]``, the minimiser of ``E|d(sigma eps - l x)/dx|^2``;
* ``s = Cov(f', f)/Var(f)``, ``b = E f' - s E f``: least squares, coordinate by coordinate.

The data prediction is ``(l, s, b) = (1, 0, 0)``, the noise prediction ``(0, -1, 0)``, the velocity
of a variance-preserving process ``(sigma^2, -alpha^2, 0)``. An l is not a learned preconditioner:
any l gives a consistent method, a good one only a smaller error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from ..asking import asked
from ..errors import InvalidPlanError
from ..given import real_number, whole_number
from ..grids import Grid, grid_from_lams
from ..model import Model
from ..process import Array, Node, Process
from ..run import run
from ..samplers.multistep import multistep

FEWEST = 64
"""A table from fewer starts than this says more about the starts than about the model."""

_SLACK = 1e-9

Values = Callable[[Array], tuple[Array, Array, Array]]
"""``lam (n,) -> (l, s, b)``, each (n, *S) with S broadcastable to a state; S = () for numbers."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The three functions l, s, b of lam, on a stretch of lam.

    Attributes
    ----------
    at : callable
        ``at(lam) -> (l, s, b)``: lam (n,), each answer (n,) or (n, *D), float64, per coordinate.
    low, high : float
        Where they are known.
    offset : bool
        Whether b is not zero: a plan then needs the constant input ``"one"``, which ``run`` gives.
    """

    at: Values
    low: float = -math.inf
    high: float = math.inf
    offset: bool = True

    def __call__(self, node: Node) -> tuple[Array, Array, Array]:
        """The numbers at a node."""
        ell, s, b = self.at(np.array([node.lam]))
        return ell[0], s[0], b[0]

    def check(self, a: float, b: float) -> None:
        """Refuse a stretch that the statistics do not cover."""
        if not (self.low - _SLACK <= a and b <= self.high + _SLACK):
            msg = (
                f"the statistics cover lam from {self.low} to {self.high}, the sampler needs "
                f"{a} to {b}; fit them on a longer grid"
            )
            raise InvalidPlanError(msg)


def constant(ell: float, s: float, b: float = 0.0) -> Statistics:
    """The same l, s, b at all levels: ``(1, 0, 0)`` data, ``(0, -1, 0)`` noise prediction."""
    if not all(math.isfinite(v) for v in (ell, s, b)):
        msg = f"l, s and b must be finite, got {ell}, {s} and {b}"
        raise InvalidPlanError(msg)

    def at(lam: Array) -> tuple[Array, Array, Array]:
        return tuple(np.full(lam.shape, float(v)) for v in (ell, s, b))  # pyright: ignore

    return Statistics(at, offset=b != 0.0)


DATA_STATISTICS = constant(1.0, 0.0)
NOISE_STATISTICS = constant(0.0, -1.0)


def velocity_statistics(process: Process) -> Statistics:
    """``(sigma^2, -alpha^2, 0)``: v-prediction of a variance-preserving process."""

    def at(lam: Array) -> tuple[Array, Array, Array]:
        a2 = np.exp(2 * process.log_alpha_of_lam(lam))
        return 1.0 - a2, -a2, np.zeros_like(a2)

    return Statistics(at, process.lam_min, process.lam_max, offset=False)


def gaussian_statistics(mean: Array, variances: Array) -> Statistics:
    """Of N(m, diag(c^2)), exact: ``l = 1/(1 + c^2 e^{2 lam})``, ``s = 0``, ``b = -m dl/dlam``.

    Then ``f = -l m`` is a known function of lam, and one step of any length is exact.

    Parameters
    ----------
    mean, variances : array
        m and c^2, both of the shape of one sample.

    Raises
    ------
    InvalidPlanError
        For a variance that is negative, numbers that are not finite, and two shapes.
    """
    mean, variances = np.asarray(mean, np.float64), np.asarray(variances, np.float64)
    finite = np.isfinite(mean).all() and np.isfinite(variances).all()
    if mean.shape != variances.shape or not finite or (variances < 0).any():
        msg = (
            "need a mean and variances >= 0, finite and of one shape, got shapes "
            f"{mean.shape} and {variances.shape} and a least variance {variances.min():g}"
        )
        raise InvalidPlanError(msg)

    def at(lam: Array) -> tuple[Array, Array, Array]:
        snr = variances * np.exp(2 * lam).reshape(-1, *([1] * variances.ndim))
        ell = 1.0 / (1.0 + snr)
        return ell, np.zeros_like(ell), 2.0 * mean * snr * ell**2

    return Statistics(at, offset=bool(np.any(mean != 0)))


def tabulated(lams: Array, ell: Array, s: Array, b: Array) -> Statistics:
    """Cubic splines through tables of l, s, b over increasing lams, of shape (K,) or (K, *D).

    Raises
    ------
    InvalidPlanError
        For lams that do not increase, tables of another length, and numbers that are not finite.
    """
    fit = all(
        len(np.asarray(table)) == len(lams) and np.isfinite(table).all() for table in (ell, s, b)
    )
    if not (fit and len(lams) > 1 and (np.diff(lams) > 0).all()):
        msg = f"a table needs increasing lams and finite numbers for each, got lams {list(lams)}"
        raise InvalidPlanError(msg)
    splines = [CubicSpline(lams, table) for table in (ell, s, b)]

    def at(lam: Array) -> tuple[Array, Array, Array]:
        return tuple(spline(lam) for spline in splines)  # pyright: ignore

    return Statistics(at, float(lams[0]), float(lams[-1]), offset=bool(np.any(b)))


# -- estimating them ------------------------------------------------------------------------------


def jacobian_diagonal(model: Model, x: Tensor, t: float, *, probes: int, seed: int = 0) -> Tensor:
    """``E[diag(dD/dx)]`` over the batch, shape D: Hutchinson's estimator ``E[v * (J^T v)]``.

    v has independent signs; the variance is the sum of squares of a row of J off its diagonal,
    over ``probes`` times the batch. Equal seeds give equal signs, hence smooth tables.

    Raises
    ------
    InvalidPlanError
        If autograd does not reach x through the model.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        point = x.detach().clone().requires_grad_()
        out = asked(model, point, t)
        if not out.requires_grad:
            msg = f"autograd cannot differentiate the model at t = {t}: its output has no gradient"
            raise InvalidPlanError(msg)
        total = torch.zeros_like(x[0])
        for k in range(probes):
            bits = torch.randint(0, 2, x.shape, generator=generator)
            v = (2 * bits - 1).to(device=x.device, dtype=x.dtype)
            (pulled,) = torch.autograd.grad(out, point, v, retain_graph=k + 1 < probes)
            total += (v * pulled).mean(0)
    return total / probes


def flow_states(model: Model, process: Process, lams: Array, starts: Tensor) -> list[Tensor]:
    """The states of the flow at increasing ``lams``, by exponential Adams-Bashforth 3."""
    grid = grid_from_lams(process, list(lams))
    plan = multistep(process, grid, order=3, start="rk")
    saved = run(plan, model, starts, save_at=range(len(lams))).saved
    return [saved[k] for k in range(len(lams))]


def estimate(
    model: Model,
    process: Process,
    grid: Grid,
    starts: Tensor,
    *,
    nodes: int = 64,
    probes: int = 4,
    seed: int = 0,
    step: float = 1e-3,
) -> Statistics:
    """Statistics of any model of the data prediction, from trajectories that begin at ``starts``.

    Costs about ``nodes (4 + probes)`` passes through the model for each start.

    Parameters
    ----------
    grid : Grid
        Whose stretch of lam is covered; a step to sigma 0 needs no statistics.
    starts : Tensor
        States at ``grid[0]``, (B, *D).
    nodes : int
        Levels of the tables, equally spaced in lam.
    probes : int
        Sign vectors for each start and level.
    step : float
        Half distance in lam over which derivatives along the flow are taken, as central
        differences of error O(step^2).

    Raises
    ------
    InvalidPlanError
        For fewer than 64 starts, 4 nodes or 1 probe, a step that is not positive and finite, and
        a grid from alpha = 0.
    """
    nodes, probes = (whole_number(n, "a number of nodes or probes") for n in (nodes, probes))
    if probes < 1 or not 0 < real_number(step, "the step") < math.inf or grid[0].alpha == 0.0:
        msg = (
            "statistics need at least 1 probe, a positive step and a start at alpha > 0, "
            f"got {probes}, {step} and alpha = {grid[0].alpha}"
        )
        raise InvalidPlanError(msg)
    if len(starts) < FEWEST or nodes < 4:
        msg = f"statistics need at least {FEWEST} starts and 4 nodes, got {len(starts)}, {nodes}"
        raise InvalidPlanError(msg)
    last = grid[-2] if grid.to_zero else grid[-1]
    lams = np.linspace(grid[0].lam, last.lam, nodes)
    states = flow_states(model, process, lams, starts)
    rows = []
    for lam, x in zip(lams, states, strict=True):
        node = process.node_at_lam(lam)
        slope = jacobian_diagonal(model, x, node.t, probes=probes, seed=seed)
        rows.append(1.0 - node.alpha * slope.double().cpu().numpy())
    ell = CubicSpline(lams, np.stack(rows))
    fits = [
        _regress(model, process, lam, x, ell, step) for lam, x in zip(lams, states, strict=True)
    ]
    return tabulated(lams, np.stack(rows), *(np.stack(part) for part in zip(*fits, strict=True)))


def _regress(
    model: Model, process: Process, lam: float, x: Tensor, ell: CubicSpline, step: float
) -> tuple[Array, Array]:
    """``(s, b)`` at one level."""
    node = process.node_at_lam(lam)
    with torch.no_grad():
        y, data = x / node.alpha, asked(model, x, node.t)
        eps = (x - node.alpha * data) / node.sigma
        sides = []
        for other in (max(lam - step, process.lam_min), min(lam + step, process.lam_max)):
            near = process.node_at_lam(other)
            moved = y + (near.rho - node.rho) * eps  # along the flow, to first order
            keep = torch.as_tensor(1.0 - ell(other)).to(x)
            sides.append((other, keep * moved - asked(model, near.alpha * moved, near.t)))
    (a, before), (b, after) = sides
    f = 0.5 * (before + after).double().cpu().numpy()
    rate = (after - before).double().cpu().numpy() / (b - a)
    mean, mean_rate = f.mean(0), rate.mean(0)
    spread = ((f - mean) ** 2).mean(0)
    shared = ((f - mean) * (rate - mean_rate)).mean(0)
    told = spread > 1e-12 * ((f**2).mean(0) + 1e-300)  # else f does not vary: nothing to regress
    s = np.where(told, shared / np.where(told, spread, 1.0), 0.0)
    return s, mean_rate - s * mean
