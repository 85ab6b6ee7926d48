"""The exact strong error of a stochastic sampler on Gaussian data, against the same Brownian path.

Both the sampler and the SDE are linear in the path: the output is an integral of the path against
a kernel, ``K(lam) = gain(end, lam) sqrt(2 eta) sigma(lam)`` for the SDE

    dx = [(dlog alpha/dlam) x - (1+eta) sigma eps] dlam + sqrt(2 eta) sigma dW_lam

and a piecewise simple ``k`` for the plan: a noise of type W with coefficient w in a cell of measure
mu has the kernel ``w/sqrt(mu)`` per unit of its clock, one of type H ``w (1/2 - u)/sqrt(mu/12)``, u
the elapsed fraction of the cell. By Ito's isometry

    E|x_plan - x_sde|^2 = (difference of start gains)^2 var + (difference of means)^2
                          + int (K - k sqrt(mu'))^2 dlam,

which is a sum of squares: no sampling, and no cancellation however small the error. ``mu'`` is the
density of the noise clock per unit of lam; all clocks are time changes of one path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.plan import Noise, Plan, clock_measure
from ..solvers.process import Array, Node, Process
from ..solvers.quadrature import panel_rule
from .gaussian_path import Normal, marginal, transition
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
    begin, end = start_node(plan), end_node(plan)
    start = marginal(data, begin) if start is None else start
    found = response(plan, data, history_eta=eta)
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
        low, high = _lams(noise, process)
        key = (noise.clock, noise.a, noise.b)
        cell = merged.setdefault(key, _Cell(low, high, noise, zero, zero))
        if noise.kind == "W":
            cell.w = cell.w + coefficient
        else:
            cell.h = cell.h + coefficient
    out = sorted(merged.values(), key=lambda cell: cell.low)
    for a, b in zip(out, out[1:], strict=False):
        if b.low < a.high - 1e-12 * max(1.0, abs(a.high)):
            msg = (
                f"noise cells of clocks {a.noise.clock!r} and {b.noise.clock!r} overlap at lam = "
                f"{b.low}; they are independent, so they are not one Brownian path"
            )
            raise AnalysisError(msg)
    return out


def _lams(noise: Noise, process: Process | None) -> tuple[float, float]:
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
    for cell in cells:
        if cell.low > at:
            total = total + _left_out(data, at, min(cell.low, end.lam), end, eta)
        at = max(at, cell.high)
    total = total + _left_out(data, at, end.lam, end, eta)
    for i in range(0, len(cells), _CHUNK):
        total = total + _on_cells(data, cells[i : i + _CHUNK], begin, end, eta, process)
    return total


def _sde_gain(data: Normal, lam: Array, end: Node, eta: float) -> Array:
    """``gain(end, lam) sigma(lam)``: what a unit of noise at lam, per sigma, is worth at the end.

    With ``q = c^2 + e^{-2 lam}``: gain = (alpha_end/alpha) (q_end/q)^((1+eta)/2), so that alpha
    cancels and the value is ``alpha_end e^{-lam} (q_end/q)^((1+eta)/2)``. Shape (*lam.shape, K).
    """
    last = data.var + (0.0 if end.sigma == 0 else math.exp(-2 * end.lam))
    rho2 = np.exp(-2 * lam)[..., None]
    return end.alpha * np.sqrt(rho2) * (last / (data.var + rho2)) ** (0.5 * (1 + eta))


def _left_out(data: Normal, low: float, high: float, end: Node, eta: float) -> Array:
    """``int_low^high K^2 dlam``: the noise of the SDE on a stretch where the plan draws none.

    ``K^2 = 2 eta alpha_e^2 rho^2 (q_e/q)^{1+eta}`` with ``dq = -2 rho^2 dlam`` integrates to
    ``alpha_e^2 q_e [ (q_e/q_high)^eta - (q_e/q_low)^eta ]``.
    """
    if eta == 0.0 or not high > low:
        return np.zeros(data.var.shape)
    last = data.var + (0.0 if end.sigma == 0 else math.exp(-2 * end.lam))
    q_low = data.var + math.exp(-2 * low)
    moved = np.minimum(clock_measure("rho2", low, high) / q_low, 1.0)
    with np.errstate(divide="ignore"):
        rest = -np.expm1(eta * np.log1p(-moved))  # 1 - (q_high/q_low)^eta
    q_high = np.maximum(q_low * (1 - moved), last)
    scale = np.divide(last, q_high, out=np.ones_like(last), where=q_high > 0) ** eta
    return end.alpha**2 * last * scale * rest
