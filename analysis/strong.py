"""The exact strong error of a stochastic sampler on Gaussian data, against the same Brownian path.

Both the sampler and the SDE are linear in the path: the output is an integral of the path against
a kernel, ``K(lam) = gain(end, lam) sqrt(2 eta) sigma(lam)`` for the SDE

    dx = [(dlog alpha/dlam) x - (1+eta) sigma eps] dlam + sqrt(2 eta) sigma dW_lam

and a piecewise simple ``k`` for the plan: a noise of type W with coefficient w in a cell of
measure mu has the kernel ``w/sqrt(mu)`` per unit of its clock, one of type H
``w (1/2 - u)/sqrt(mu/12)``, u the elapsed fraction of the cell. By Ito's isometry

    E|x_plan - x_sde|^2 = (difference of start gains)^2 var + (difference of means)^2
                          + int (K - k sqrt(mu'))^2 dlam,

which is a sum of squares: no sampling, and no cancellation however small the error. ``mu'`` is the
density of the noise clock per unit of lam; all clocks are time changes of one path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.plan import Noise, Plan
from ..solvers.process import Array, Node, Process
from ..solvers.quadrature import panel_rule
from .gaussian_path import Normal, log_shrink, marginal, transition
from .law import Response, end_node, response, start_node

_PANELS = 6.0  # panel_rule has one 20-point panel per 6 units of length: here one per unit of lam
_CHUNK = 256  # cells treated at once: memory is chunk x nodes x K


@dataclass(frozen=True)
class StrongError:
    """Root mean square strong error: ``rms`` over coordinates, and per eigendirection (K,).

    ``start``, ``mean`` and ``noise`` are the three parts of ``rms^2``, each as a root.
    """

    rms: float
    per_direction: Array
    start: float
    mean: float
    noise: float


def strong_error(
    plan: Plan,
    data: Normal,
    start: Normal | None = None,
    *,
    eta: float,
    process: Process | None = None,
) -> StrongError:
    """Exact strong error of a plan at its end, against the eta-SDE on the same path.

    Parameters
    ----------
    plan : Plan
        A plan whose noises are cells of the clocks ``lam``, ``snr^e``, ``rho2`` or ``t``.
    data, start : Normal
        Data law; law of the start (default: the exact marginal). Both runs share the start.
    eta : float
        The SDE that the plan claims to follow; 0 compares with the ODE.
    process : Process, optional
        Needed for clock ``"t"`` only.

    Raises
    ------
    AnalysisError
        For noises of a clock that has no path, cells of two clocks that overlap, or clock ``"t"``
        without a process.
    """
    found = response(plan, data, history_eta=eta)
    ends = start_node(plan), end_node(plan)
    return strong_error_of(found, data, *ends, start, eta=eta, process=process)


def strong_error_of(
    found: Response,
    data: Normal,
    begin: Node,
    end: Node,
    start: Normal | None = None,
    *,
    eta: float,
    process: Process | None = None,
) -> StrongError:
    """:func:`strong_error` of anything whose response is known, a black box for one."""
    start = marginal(data, begin) if start is None else start
    truth = transition(data, begin, end, eta)
    gain2 = (found.start - truth.gain) ** 2 * start.var
    shift = (found.start - truth.gain) * start.mean + (found.constant - truth.shift)
    noise2 = (found.past**2).sum(axis=0) + _kernel_gap(data, found, begin, end, eta, process)
    total = gain2 + shift**2 + noise2

    def root(v: Array) -> float:
        return float(np.sqrt(np.mean(v)))

    return StrongError(root(total), np.sqrt(total), root(gain2), root(shift**2), root(noise2))


@dataclass
class _Cell:
    """A cell in lam with the coefficients of its W and H noise, and its clock."""

    low: float
    high: float
    noise: Noise
    w: Array
    h: Array


def _cells(found: Response, process: Process | None) -> list[_Cell]:
    merged: dict[tuple[str, float, float], _Cell] = {}
    zero = np.zeros(found.start.shape)
    for noise, coefficient in zip(found.cells, found.noises, strict=True):
        low, high = noise_span(noise, process)
        key = (noise.clock, noise.a, noise.b)
        cell = merged.setdefault(key, _Cell(low, high, noise, zero, zero))
        if noise.kind == "W":
            cell.w = cell.w + coefficient
        else:
            cell.h = cell.h + coefficient
    out = sorted(merged.values(), key=lambda cell: cell.low)
    for a, b in pairwise(out):
        if b.low < a.high - 1e-12 * max(1.0, abs(a.high)):
            msg = (
                f"noise cells of clocks {a.noise.clock!r} and {b.noise.clock!r} overlap at lam = "
                f"{b.low}; they are independent, so they are not one Brownian path"
            )
            raise AnalysisError(msg)
    return out


def noise_span(noise: Noise, process: Process | None) -> tuple[float, float]:
    """The ends of a noise cell in lam."""
    if noise.clock != "t":
        if noise.clock not in ("lam", "rho2") and not noise.clock.startswith("snr^"):
            msg = f"noise of clock {noise.clock!r} belongs to no Brownian path in lam"
            raise AnalysisError(msg)
        return noise.a, noise.b
    if process is None:
        msg = "noise cells of clock 't' need the process to be placed in lam"
        raise AnalysisError(msg)
    return float(process.lam(noise.a)), float(process.lam(noise.b))


def _kernel_gap(
    data: Normal, found: Response, begin: Node, end: Node, eta: float, process: Process | None
) -> Array:
    """``int (K - k sqrt(mu'))^2 dlam``: quadrature on the cells, closed form in the gaps."""
    total, at = np.zeros(data.var.shape), begin.lam
    cells = _cells(found, process)
    if cells and not (cells[0].low >= begin.lam - 1e-9 and cells[-1].high <= end.lam + 1e-9):
        msg = (
            f"noise cells reach from lam {cells[0].low} to {cells[-1].high}, outside the plan's "
            f"own stretch {begin.lam} to {end.lam}"
        )
        raise AnalysisError(msg)
    for cell in cells:
        if cell.low > at:
            total = total + _left_out(data, at, min(cell.low, end.lam), end, eta)
        at = max(at, cell.high)
    total = total + _left_out(data, at, end.lam, end, eta)
    for i in range(0, len(cells), _CHUNK):
        total = total + _on_cells(data, cells[i : i + _CHUNK], end, eta, process)
    return total


def _left_out(data: Normal, low: float, high: float, end: Node, eta: float) -> Array:
    """``int_low^high K^2 dlam``: the noise of the SDE on a stretch where the plan draws none.

    With ``q = c^2 + e^{-2 lam}``, ``K^2 = 2 eta alpha_e^2 e^{-2 lam} (q_e/q)^{1+eta}`` integrates
    to ``alpha_e^2 q_e (q_e/q_high)^eta [1 - (q_high/q_low)^eta]``.
    """
    if eta == 0.0 or not high > low:
        return np.zeros(data.var.shape)
    kept = np.exp(2 * eta * log_shrink(data, high, end.lam))
    return marginal(data, end).var * kept * -np.expm1(2 * eta * log_shrink(data, low, high))


def _on_cells(
    data: Normal, cells: list[_Cell], end: Node, eta: float, process: Process | None
) -> Array:
    """The same integral on cells where the plan does draw, by Gauss-Legendre panels."""
    longest = max(cell.high - cell.low for cell in cells)
    x, weight = panel_rule(_PANELS * longest)
    low = np.array([cell.low for cell in cells])[:, None]
    width = np.array([cell.high for cell in cells])[:, None] - low
    lam = low + width * x
    shapes = [noise_kernel(cell.noise, row, process) for cell, row in zip(cells, lam, strict=True)]
    flat, slope = np.stack([s[0] for s in shapes]), np.stack([s[1] for s in shapes])
    w, h = np.stack([cell.w for cell in cells]), np.stack([cell.h for cell in cells])
    gap = _kernel(data, lam, end, eta) - (
        flat[..., None] * w[:, None] + slope[..., None] * h[:, None]
    )
    return np.einsum("cn,cnk->k", width * weight, gap**2)


def _kernel(data: Normal, lam: Array, end: Node, eta: float) -> Array:
    """``K(lam)``, shape (*lam.shape, K): ``sqrt(2 eta) alpha_e e^{-lam} (q_e/q)^{(1+eta)/2}``."""
    rho2 = np.exp(-2 * lam)[..., None]
    last = data.var + (0.0 if end.sigma == 0 else math.exp(-2 * end.lam))
    shrink = (last / (data.var + rho2)) ** (0.5 * (1 + eta))
    return math.sqrt(2 * eta) * end.alpha * np.sqrt(rho2) * shrink


def noise_kernel(noise: Noise, lam: Array, process: Process | None) -> tuple[Array, Array]:
    """Kernels per unit of lam of a W and an H noise of unit coefficient at points of the cell."""
    if noise.clock == "t":
        if process is None:
            msg = "noise cells of clock 't' need the process to be placed in lam"
            raise AnalysisError(msg)
        t = process.t_of_lam(lam)
        density = -1.0 / process.dlam_dt(t) / (noise.a - noise.b)
        elapsed = (noise.a - t) / (noise.a - noise.b)
    else:  # clocks e^{r lam}: the elapsed measure is e^{r a} expm1(r (lam - a))/r
        rate = {"lam": 0.0, "rho2": -2.0}.get(noise.clock)
        rate = 2 * float(noise.clock[4:]) if rate is None else rate
        past, whole = lam - noise.a, noise.b - noise.a
        if rate == 0.0:
            density, elapsed = np.full_like(lam, 1 / whole), past / whole
        else:
            density = rate * np.exp(rate * past) / math.expm1(rate * whole)
            elapsed = np.expm1(rate * past) / math.expm1(rate * whole)
    flat = np.sqrt(density)
    return flat, flat * math.sqrt(12) * (0.5 - elapsed)
