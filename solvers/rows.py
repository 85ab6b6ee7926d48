"""Rows: one linear update of the state, from s to t, in each of the clocks of the field.

All of them are integrals of interpolated model outputs. With ``h = lam_t - lam_s``:

* data:  ``x_t = (sigma_t/sigma_s) e^{-eta h} x + alpha_t (1+eta) int e^{-(1+eta)(lam_t-l)} D dl +
  noise``
* noise: ``x_t = (alpha_t/alpha_s) x - (1+eta) sigma_t int e^{lam_t - l} eps dl + noise``
* rho:   ``x_t = (alpha_t/alpha_s) x + alpha_t int eps drho``, polynomials in rho or in t

A step to ``sigma = 0`` is infinitely long in lam: there the rows in lam and in t use the newest
output alone, ``x = D``; in rho and in the index it is a step like any other. A step from
``alpha = 0`` is infinitely long too: data rows use the newest output alone, and that level is
never interpolated through later; the noise prediction ``x/sigma`` says nothing about the data
there, so samplers on it refuse to start (``Sampler.__call__``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .plan import Tape
from .process import Array, Node, Process
from .quadrature import exp_weights, integral_weights, phi, rho_weights

Output = tuple[int, Node]
"""A model output: its vector, and the node where the model was evaluated."""

WeightRule = Callable[[Sequence[float], float], Array]
"""``(tau, z) -> weights`` approximating ``int_0^1 e^{z (1-u)} l_j(u) du``; see exp_weights."""


def _tau(s: Node, t: Node, outputs: Sequence[Output]) -> list[float]:
    return [(node.lam - s.lam) / (t.lam - s.lam) for _, node in outputs]


def midpoint_weights(tau: Sequence[float], z: float) -> Array:
    """Two nodes with the slope integrated as ``phi_1/2`` instead of ``phi_2``.

    The default of DPM-Solver++(2M) and the B2 rule of UniPC; same order, another error constant.
    Other numbers of nodes are exact, since only with two nodes does the rule matter.
    """
    return _slope_weights(tau, z, phi(1, z) / 2)


def half_weights(tau: Sequence[float], z: float) -> Array:
    """Two nodes with the slope integrated as 1/2: the B1 rule of UniPC."""
    return _slope_weights(tau, z, 0.5)


def _slope_weights(tau: Sequence[float], z: float, slope: float) -> Array:
    if len(tau) != 2:
        return exp_weights(tau, z)
    base = tau.index(0.0)
    other = 1 - base
    weights = np.zeros(2)
    weights[other] = slope / tau[other]
    weights[base] = phi(1, z) - weights[other]
    return weights


def published_3m_weights(tau: Sequence[float], z: float) -> Array:
    """Three nodes with the second difference entering with half its weight.

    This is the third-order multistep update as printed in the reference code of DPM-Solver++ and
    in the 3M SDE samplers that follow it: ``phi_3 D2`` where the interpolant needs ``2 phi_3 D2``.
    Order 2 in general. One or two nodes are as in DPM-Solver++(2M) with exact slope.
    """
    if len(tau) != 3:
        return exp_weights(tau, z)
    r0, r1 = -tau[1], tau[1] - tau[2]
    first = np.array([1.0, -1.0, 0.0]) / r0
    second = np.array([0.0, 1.0, -1.0]) / r1
    d1 = first + (first - second) * r0 / (r0 + r1)
    d2 = (first - second) / (r0 + r1)
    return phi(1, z) * np.array([1.0, 0.0, 0.0]) + phi(2, z) * d1 + phi(3, z) * d2


def data_row(
    tape: Tape,
    s: Node,
    t: Node,
    x: int,
    outputs: Sequence[Output],
    *,
    eta: float = 0.0,
    weights: WeightRule = exp_weights,
) -> int:
    """The update on data predictions, in lam; outputs newest first."""
    if t.sigma == 0.0:
        return tape.lin((outputs[0][0], t.alpha))
    outputs = [o for o in outputs if o[1].alpha > 0.0] or list(outputs[:1])
    if s.alpha == 0.0:
        return _row_from_pure_noise(tape, s, t, x, outputs[0][0], eta)
    h = t.lam - s.lam
    z = -(1.0 + eta) * h
    w = t.alpha * -z * weights(_tau(s, t, outputs), z)
    terms = [(m, wj) for (m, _), wj in zip(outputs, w, strict=True)]
    if eta > 0:
        std = t.sigma * math.sqrt(-math.expm1(-2 * eta * h))
        terms.append((tape.noise(f"snr^{float(eta)!r}", s.lam, t.lam), std))
    return tape.lin((x, math.exp(t.log_sigma - s.log_sigma - eta * h)), *terms)


def _row_from_pure_noise(tape: Tape, s: Node, t: Node, x: int, m: int, eta: float) -> int:
    """The limit h -> inf of the row with one output: with noise, nothing of x is left."""
    if eta > 0:
        xi = tape.noise(f"snr^{float(eta)!r}", s.lam, t.lam)
        return tape.lin((m, t.alpha), (xi, t.sigma))
    return tape.lin((x, math.exp(t.log_sigma - s.log_sigma)), (m, t.alpha))


def noise_row(
    tape: Tape,
    s: Node,
    t: Node,
    x: int,
    outputs: Sequence[Output],
    *,
    weights: WeightRule = exp_weights,
) -> int:
    """The update on noise predictions, in lam; outputs newest first."""
    ratio = math.exp(t.log_alpha - s.log_alpha)
    if t.sigma == 0.0:
        return tape.lin((x, ratio), (outputs[0][0], -ratio * s.sigma))
    h = t.lam - s.lam
    w = t.sigma * h * weights(_tau(s, t, outputs), h)
    return tape.lin((x, ratio), *((m, -wj) for (m, _), wj in zip(outputs, w, strict=True)))


def rho_row(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]) -> int:
    """Classical variable-step Adams in ``rho`` on noise predictions: ``dy/drho = eps``."""
    nodes = [node.rho for _, node in outputs]
    w = t.alpha * integral_weights(nodes, lambda r: r, s.rho, t.rho)
    return _euler_like(tape, s, t, x, outputs, w)


def time_row(
    process: Process, tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]
) -> int:
    """Polynomials in the time t, integrated against drho (tAB of DEIS).

    The clean end is no time of every process (VE stops at sigma_min): a step there is DDIM's.
    """
    if t.sigma == 0.0:
        return noise_row(tape, s, t, x, outputs)
    nodes = [node.t for _, node in outputs]
    w = t.alpha * rho_weights(nodes, process.t_of_lam, s.lam, t.lam)
    return _euler_like(tape, s, t, x, outputs, w)


_ADAMS = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""Adams-Bashforth coefficients for *equal* steps."""


def index_row(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]) -> int:
    """Equal-step Adams-Bashforth on the index of the grid, whatever the steps in rho (PNDM)."""
    w = t.alpha * (t.rho - s.rho) * np.array(_ADAMS[len(outputs)])
    return _euler_like(tape, s, t, x, outputs, w)


def _euler_like(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output], w: Array) -> int:
    ratio = math.exp(t.log_alpha - s.log_alpha)
    return tape.lin((x, ratio), *((m, wj) for (m, _), wj in zip(outputs, w, strict=True)))
