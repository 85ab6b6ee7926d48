"""Noise where it is wanted: the SDE inside a mask, the ODE outside of it; and time travel.

The eta-SDE keeps the marginals for every eta, also for one that differs between coordinates::

    dx = [(dlog alpha/dlam) x - (1 + e) sigma eps] dlam + sqrt(2 e) sigma dW,   e = eta mask

because what ``e`` adds to the drift is what the noise of that coordinate takes. In discrete steps
the law of correlated coordinates is right to first order; that of independent ones is as right as
each coordinate by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..registry import sampler
from .onestep import euler_row, one_step

ANY_LAM = (-math.inf, math.inf)


def local_sde(
    process: Process,
    grid: Grid,
    mask: Any,
    *,
    eta: float = 1.0,
    window: tuple[float, float] = ANY_LAM,
    published: bool = False,
) -> Plan:
    """One data prediction a step; noise where the mask is, while lam is in a window.

    ``x_t = (sigma_t/sigma_s) e^{-e h} x + alpha_t (1 - e^{-(1+e) h}) D + sigma_t (1 -
    e^{-2 e h})^{1/2} z`` with ``e = eta mask``, coordinate by coordinate. ``published=True`` is
    DiffEditor's form instead, DDIM with ``eta_ddim = eta mask`` of the noise: another path to the
    same marginals, equal to this one where eta mask is 0 or 1. Where the mask is 0 the step is
    DDIM's.

    Parameters
    ----------
    mask : array
        Numbers in [0, 1], of the shape of a sample or one that broadcasts to it.
    eta : float
        Amount of noise, >= 0; in [0, 1] for the published form.
    window : (float, float)
        Steps that begin at a lam inside of it draw noise, others are DDIM.

    Raises
    ------
    InvalidPlanError
        If the mask leaves [0, 1] or eta its range.

    References
    ----------
    Mou, Wang, Song, Shan & Zhang 2024, arXiv:2402.02583 (local SDE).
    """
    del process
    m = np.asarray(mask, dtype=np.float64)
    most = 1.0 if published else math.inf
    if not (np.all((m >= 0) & (m <= 1)) and m.size and 0 <= eta <= most and math.isfinite(eta)):
        limits = "[0, 1]" if published else "[0, inf)"
        msg = f"a local SDE needs a mask in [0, 1] and eta in {limits}, got eta={eta}"
        raise InvalidPlanError(msg)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        if t.sigma == 0.0 or s.alpha == 0.0 or eta == 0.0 or not window[0] <= s.lam <= window[1]:
            return euler_row(tape, s, t, x, "nu")
        keep, fresh, std = (_ddim_row if published else _sde_row)(s, t, eta * m)
        clock = 1.0 if published else float(eta)  # the clocks of ddim_eta and of the eta-SDE
        xi = tape.noise(f"snr^{clock!r}", s.lam, t.lam)
        return tape.lin((x, keep), (tape.eval(x, s, "data"), fresh), (xi, std))

    return one_step(grid, step)


def _sde_row(s: Node, t: Node, e: Array) -> tuple[Array, Array, Array]:
    """Weights of x, D and noise: the data prediction constant, the rest of the SDE exact."""
    h = t.lam - s.lam
    keep = np.exp(t.log_sigma - s.log_sigma - e * h)
    return keep, t.alpha * -np.expm1(-(1 + e) * h), t.sigma * np.sqrt(-np.expm1(-2 * e * h))


def _ddim_row(s: Node, t: Node, e: Array) -> tuple[Array, Array, Array]:
    """Weights of x, D and noise: ``alpha_t D + sqrt(sigma_t^2 - std^2) eps + std z``."""
    fresh = -math.expm1(2 * (s.lam - t.lam))
    direction = t.sigma * np.sqrt(1 - e**2 * fresh)
    return direction / s.sigma, t.alpha - direction * s.alpha / s.sigma, t.sigma * e * fresh**0.5


@sampler(
    weak=1, weak_cold=1, sde_eta=1.0, nfe=lambda n: 2 * n, prediction="data", family="editing",
    source="Lugmayr et al. 2022, arXiv:2201.09865, Alg. 1; Mou et al. 2024, arXiv:2402.02583",
)  # fmt: skip
def time_travel(
    process: Process,
    grid: Grid,
    *,
    rounds: int = 1,
    back: int = 1,
    window: tuple[float, float] = ANY_LAM,
) -> Plan:
    """Time travel: ``back`` DDIM steps, forward noise over the same levels, and again.

    ``x_s = (alpha_s/alpha_t) x_t + sigma_s sqrt(1 - e^{-2 (lam_t - lam_s)}) z``, ``rounds`` times
    (resampling, restart). The forward noise is exact, so marginals are kept as far as the steps
    keep them, and errors made outside of the model's law are forgotten. In the limit of small
    steps, one step a stretch, it is the SDE with eta = rounds; its noise is no path of that SDE,
    so it has no strong order.

    Raises
    ------
    InvalidPlanError
        If rounds is negative or back is not positive.
    """
    del process
    if rounds < 0 or back < 1:
        msg = f"time travel needs rounds >= 0 and back >= 1, got rounds={rounds}, back={back}"
        raise InvalidPlanError(msg)
    tape = Tape()
    x = tape.input("x", grid[0])
    for first in range(0, len(grid), back):
        part = grid.part(first, min(first + back, len(grid)))
        s, t = part[0], part[-1]
        again = rounds if t.sigma > 0.0 < s.alpha and window[0] <= s.lam <= window[1] else 0
        for turn in range(again + 1):
            if turn:
                x = renoised(tape, s, t, x, (turn - 1) / again, turn / again)
            for begin, end in part.steps():
                x = euler_row(tape, begin, end, x, "nu")
                if turn == again:
                    tape.mark(x, end)
    return tape.plan(x=x)


def renoised(tape: Tape, s: Node, t: Node, x: int, low: float, high: float) -> int:
    """The forward process from t back to s; each turn has its share of [s, t] as a cell."""
    a, b = ((1 - u) * s.lam + u * t.lam for u in (low, high))
    std = s.sigma * math.sqrt(-math.expm1(2 * (s.lam - t.lam)))
    return tape.lin((x, math.exp(s.log_alpha - t.log_alpha)), (tape.noise("churn", a, b), std))
