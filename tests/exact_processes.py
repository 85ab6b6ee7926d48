"""Forward processes in 60-digit arithmetic, written from the papers and not from the code.

``truth(process, t)`` gives ``(alpha, sigma)`` as mpmath numbers; parameters and t are taken as the
exact values of their floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

from fokker.solvers.discrete import DiscreteVP, from_alphas_cumprod
from fokker.solvers.process import Process
from fokker.solvers.processes.mean_reverting import (
    ConstantTheta,
    CosineTheta,
    LinearTheta,
    MeanReverting,
)
from fokker.solvers.samplers.resshift import ResShift
from fokker.solvers.schedules import (
    EDM,
    VE,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPCosine,
    VPLinear,
)

mp.mp.dps = 60

Real = Any
"""A number of mpmath, which ships no types."""

Pair = tuple[Real, Real]


def _integral_of_beta(p: VPLinear | SubVP, t: Real) -> Real:
    low, high = mp.mpf(p.beta_min), mp.mpf(p.beta_max)
    return low * t + (high - low) * t**2 / 2


def _vp_linear(p: VPLinear, t: Real) -> Pair:
    total = _integral_of_beta(p, t)
    return mp.exp(-total / 2), mp.sqrt(-mp.expm1(-total))


def _sub_vp(p: SubVP, t: Real) -> Pair:
    total = _integral_of_beta(p, t)
    return mp.exp(-total / 2), -mp.expm1(-total)


def _vp_cosine(p: VPCosine, t: Real) -> Pair:
    s = mp.mpf(p.s)

    def cosine(u: Real) -> Real:
        return mp.cos(mp.pi / 2 * (u + s) / (1 + s)) if u != 1 else mp.mpf(0)

    alpha = cosine(t) / cosine(mp.mpf(0))
    return alpha, mp.sqrt(1 - alpha**2)


def _ve(p: VE, t: Real) -> Pair:
    low, high = mp.mpf(p.sigma_min), mp.mpf(p.sigma_max)
    return mp.mpf(1), low * (high / low) ** t


def _trigonometric(_p: Trigonometric, t: Real) -> Pair:
    if t == 1:
        return mp.mpf(0), mp.mpf(1)
    return mp.cos(mp.pi / 2 * t), mp.sin(mp.pi / 2 * t)


def _discrete(p: DiscreteVP, t: Real) -> Pair:
    """Log alpha piecewise linear; alpha itself linear on a last piece that ends in 0."""
    n = p.levels
    values = [mp.mpf(0), *(mp.mpf(v) for v in p.log_alphas)]
    i = min(int(mp.floor(t * n)), n - 1)
    part = t * n - i
    if p.zero_terminal and i == n - 1:
        alpha = mp.exp(values[-1]) * (1 - part)
    else:
        alpha = mp.exp(values[i] + part * (values[i + 1] - values[i]))
    return alpha, mp.sqrt(1 - alpha**2)


def _mean_reverting(p: MeanReverting, t: Real) -> Pair:
    """The published rates, integrated: closed forms of one integral each, not the code's."""
    match p.theta:
        case ConstantTheta():
            part = t
        case LinearTheta(ratio=ratio):
            grow = mp.mpf(ratio) - 1
            part = (t + grow * t**2 / 2) / (1 + grow / 2)
        case CosineTheta(s=s):
            shift = mp.mpf(s)

            def raw(u: Real) -> Real:
                """Integral of ``1 - cos(a)^2/cos(a0)^2``, with ``cos^2 = (1 + cos 2a)/2``."""
                slope = mp.pi / (1 + shift)
                a0, a = slope * shift, slope * (u + shift)
                cosines = u / 2 + (mp.sin(a) - mp.sin(a0)) / (2 * slope)
                return u - cosines / mp.cos(a0 / 2) ** 2

            part = raw(t) / raw(mp.mpf(1))
        case _:
            raise TypeError(p.theta)
    alpha = mp.mpf(p.last) ** part
    return alpha, mp.mpf(p.sigma_inf) * mp.sqrt(1 - alpha**2)


def _resshift(p: ResShift, t: Real) -> Pair:
    first, last = mp.mpf(p.first), mp.mpf(p.last)
    root = first * (last / first) ** (t ** mp.mpf(p.power) if t else mp.mpf(0))
    return 1 - root**2, mp.mpf(p.kappa) * root


_FORMULAS: dict[type[Process], Callable[..., Pair]] = {
    VPLinear: _vp_linear,
    SubVP: _sub_vp,
    VPCosine: _vp_cosine,
    VE: _ve,
    EDM: lambda _p, t: (mp.mpf(1), t),
    RectifiedFlow: lambda _p, t: (1 - t, t),
    Trigonometric: _trigonometric,
    DiscreteVP: _discrete,
    MeanReverting: _mean_reverting,
    ResShift: _resshift,
}


def truth(process: Process, t: float | Real) -> Pair:
    """``(alpha, sigma)`` of a process at a time."""
    return _FORMULAS[type(process)](process, mp.mpf(t))


def true_lam(process: Process, t: float | Real) -> Real:
    """``log(alpha/sigma)``, infinite at an end where one of them vanishes."""
    alpha, sigma = truth(process, t)
    if sigma == 0:
        return mp.inf
    return -mp.inf if alpha == 0 else mp.log(alpha / sigma)


def _betas(low: float, high: float, count: int) -> list[float]:
    product, out = 1.0, []
    for i in range(count):
        product *= 1.0 - (low + (high - low) * i / (count - 1))
        out.append(product)
    return out


ANALYTIC: dict[str, Process] = {
    "vp-linear": VPLinear(),
    "vp-linear-flat": VPLinear(beta_min=0.5, beta_max=0.5),
    "sub-vp": SubVP(),
    "vp-cosine": VPCosine(),
    "ve": VE(),
    "edm": EDM(),
    "flow": RectifiedFlow(),
    "trig": Trigonometric(),
    "reverting-constant": MeanReverting(theta=ConstantTheta()),
    "reverting-linear": MeanReverting(theta=LinearTheta()),
    "reverting-cosine": MeanReverting(sigma_inf=0.3),
    "resshift": ResShift(),
    "resshift-even": ResShift(kappa=0.5, min_noise=0.2, power=1.0),
}
TABLES: dict[str, DiscreteVP] = {
    "ddpm-1000": from_alphas_cumprod(_betas(1e-4, 0.02, 1000)),
    "zero-terminal": from_alphas_cumprod([*_betas(1e-3, 0.2, 20), 0.0]),
    "two-levels": from_alphas_cumprod([0.7, 0.1]),
}
PROCESSES: dict[str, Process] = {**ANALYTIC, **TABLES}
