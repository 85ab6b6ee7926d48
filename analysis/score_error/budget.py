r"""Bounds of what a wrong score can do, beside what it does.

Let p be the exact law at each level, q that of an eta-SDE with a wrong model ``D'``, q_0 that of
its ODE, everything in lam and ``u = x/alpha`` (see ``linear``), and ``d = D - D'``. Then

=============  ====================================================================================
entropy        ``KL(p|q)' = (1+eta) E_p[d . grad log(p/q)] - eta rho^2 E_p|grad log(p/q)|^2``,
               the identity: the error feeds it and the noise eats it
Girsanov       ``KL(p|q) <= KL(p|q) at the start + int (1+eta)^2/(4 eta rho^2) E_p|d|^2 dlam``; for
               eta = 1 the integral is ``1/2 int g^2 E|s - s'|^2 dt``. At eta = 0 there is none
Wasserstein    ``W' = (1+eta) (L W + |d|_p)``, L the largest eigenvalue of the symmetric part of
               ``A' - 1``: both processes driven by one noise; a bound of ``W2(p, q)`` at every eta
gap            ``W' = L W + eta |D' - u - rho^2 grad log q|_q``: a bound of ``W2(q_0, q)``, since q
               is also carried by the ODE with ``grad log q`` in place of the noise
=============  ====================================================================================

``|f|_p`` is the root of ``E_p|f|^2``. The Girsanov integral is least at eta = 1, and is the
divergence of the laws of whole paths: divergence-free errors (see ``analysis/gauge``) make it
large where ``KL(p|q)`` is 0.

Source: Girsanov budgets after Song et al. 2021, arXiv:2101.09258; the gap after Deveney et al.
2023, arXiv:2311.15996, whose constants are others; derivations and constants here are ours.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...solvers.process import Array
from ..distances import gaussian_kl, gaussian_w2
from .linear import (
    Line,
    LinearModel,
    Moments,
    check_span,
    exact_denoiser,
    integrate,
    moments_of,
    noised,
    rates,
)

RTOL = 1e-9
"""Of bounds, whose rates have kinks; the laws beside them are as accurate."""


class Budget(NamedTuple):
    """What a wrong model costs at the end of the span, and the bounds; lengths in ``x/alpha``.

    Attributes
    ----------
    law, ode_law : Moments
        Laws of the eta-SDE and of the ODE of the wrong model.
    w2, w2_bound : float
        W2 of the exact law to ``law``.
    gap, gap_bound : float
        W2 of the two laws to each other.
    kl, girsanov : float
        KL(exact law | ``law``) in nats; the bound is infinite for the ODE.
    kl_fed, kl_eaten : float
        ``kl = start + kl_fed - kl_eaten``: what the error adds and what the noise takes away.
    """

    law: Moments
    ode_law: Moments
    w2: float
    w2_bound: float
    gap: float
    gap_bound: float
    kl: float
    girsanov: float
    kl_fed: float
    kl_eaten: float


def score_budget(
    truth: Any,
    model: LinearModel,
    eta: float,
    span: tuple[float, float],
    *,
    start: Any = None,
) -> Budget:
    """Exact distances and their bounds for a linear model of a Gaussian law.

    Parameters
    ----------
    truth : Gaussian
        The data law, with ``mean`` and ``cov``.
    model : LinearModel
        The wrong model.
    eta : float
        tau^2 of the SDE.
    span : (float, float)
        lam from noise to data.
    start : Moments or a law, optional
        Law of u at which sampling starts; the exact one by default.

    Raises
    ------
    AnalysisError
        As :func:`~.linear.evolve`.
    """
    check_span(eta, span)
    exact, right = noised(truth, span[0]), exact_denoiser(truth)
    begin = exact if start is None else moments_of(start)
    d = len(begin.mean)
    flat = np.concatenate([begin.mean, begin.cov.ravel()])
    w2, kl = gaussian_w2(*exact, *begin), gaussian_kl(*exact, *begin)

    def rate(lam: float, state: Array) -> Array:
        law, ode = _read(state, d)
        line = model(lam)
        moved = [*rates(line, law, eta, lam), *rates(line, ode, 0.0, lam)]
        grown = _growth(noised(truth, lam), right(lam), law, line, eta, lam, state[-5:])
        return np.concatenate([*(part.ravel() for part in moved), grown])

    state = integrate(rate, np.concatenate([flat, flat, [w2, 0.0, kl, 0.0, 0.0]]), span, rtol=RTOL)
    law, ode = (Moments(m, 0.5 * (c + c.T)) for m, c in _read(state, d))
    bound, gap_bound, girsanov, fed, eaten = state[-5:].tolist()
    end = noised(truth, span[1])
    return Budget(
        law, ode,
        gaussian_w2(*end, *law), bound,
        gaussian_w2(*law, *ode), gap_bound,
        gaussian_kl(*end, *law), girsanov if eta > 0 else math.inf, fed, eaten,
    )  # fmt: skip


def _read(state: Array, d: int) -> tuple[Moments, Moments]:
    """Laws of the SDE and of the ODE from the flat state."""
    size = d + d * d
    one, two = state[:size], state[size : 2 * size]
    return (
        Moments(one[:d], one[d:].reshape(d, d)),
        Moments(two[:d], two[d:].reshape(d, d)),
    )


def _square(line: Line, law: Moments) -> float:
    """``E|gain u + shift|^2``."""
    mean = line.gain @ law.mean + line.shift
    return max(float(np.sum((line.gain @ law.cov) * line.gain) + mean @ mean), 0.0)


def _product(one: Line, two: Line, law: Moments) -> float:
    """``E[(gain u + shift) . (gain' u + shift')]``."""
    means = (one.gain @ law.mean + one.shift) @ (two.gain @ law.mean + two.shift)
    return float(np.sum((one.gain @ law.cov) * two.gain) + means)


def _score(law: Moments) -> Line:
    """``grad log`` of a Gaussian."""
    precision = np.asarray(np.linalg.inv(law.cov), dtype=np.float64)
    return Line(-precision, precision @ law.mean)


def _minus(one: Line, two: Line) -> Line:
    return Line(one.gain - two.gain, one.shift - two.shift)


def _growth(
    exact: Moments, right: Line, law: Moments, line: Line, eta: float, lam: float, now: Array
) -> Array:
    """Rates of the bounds of W2 and of the gap, of Girsanov's, of what is fed and eaten."""
    noise, own = math.exp(-2 * lam), _score(law)
    off, ratio = _minus(right, line), _minus(_score(exact), own)
    error = _square(off, exact)
    pull = line.gain - np.eye(len(law.mean))
    top = float(np.linalg.eigvalsh(0.5 * (pull + pull.T))[-1])
    apart = _square(Line(pull - noise * own.gain, line.shift - noise * own.shift), law)
    return np.array([
        (1 + eta) * (top * now[0] + math.sqrt(error)),
        top * now[1] + eta * math.sqrt(apart),
        (1 + eta) ** 2 * error / (4 * eta * noise) if eta > 0 else 0.0,
        (1 + eta) * _product(off, ratio, exact),
        eta * noise * _square(ratio, exact),
    ])  # fmt: skip
