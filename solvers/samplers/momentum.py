"""Momentum samplers: heavy ball (HB), Nesterov and generalised heavy ball (GHVB), and HB on 2M.

In ``y = x/alpha`` and ``rho = sigma/alpha`` the probability-flow ODE is ``dy/drho = eps``. All of
these smooth the noise prediction by a velocity with one number ``beta`` in (0, 1], on the index of
the grid, and then take an Euler step (Wizadwongsa et al. 2024, arXiv:2307.11118). With the
backward difference ``(d f)_n = f_n - f_{n-1}`` and ``q = (1 - beta)/beta`` the smoothing is ::

    v_n = (1 - beta) v_{n-1} + beta f_n,   that is   f = (1 + q d) v

* HB: ``f`` is the Adams-Bashforth average ``sum_j g_j d^j eps`` (g = 1, 1/2, 5/12, 3/8, 251/720),
  and ``y_{n+1} = y_n + (rho_{n+1} - rho_n) v_n``. The velocity lags by q steps: order 1.
* GHVB: ``f = eps``, and the average is taken of the velocities, ``sum_j (g_j + q g_{j-1}) d^j v``:
  the product of the Adams series and ``1 + q d``, cut off after k terms. The lag is undone up to
  the order of the formula, and the stability region is still that of a smoothed method.

Like PNDM they ignore that steps in rho are unequal: order k needs a grid uniform in rho; on every
other smooth grid it is 2. ``beta = 1`` is iPNDM of the same number of outputs. A "momentum number"
such as 1.8 means k = 2, ``beta = 0.8``. Registered are k = 1 .. 4; :func:`momentum` has 5, too.

Start: orders 1, 2, ..., k, and the velocity before the first step is the first model output. With
exact ``history`` the velocities before the first step are those of the polynomial through it. A
step to ``sigma = 0`` is ``x = D``: a velocity that lags would leave noise in the sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..registry import sampler
from ..rows import Output, data_row, midpoint_weights
from .multistep import given_history, named_history

ADAMS_SERIES = (1.0, 1 / 2, 5 / 12, 3 / 8, 251 / 720)
"""``-d/((1 - d) log(1 - d))``: what Adams-Bashforth puts on the backward differences."""

KINDS = ("hb", "nesterov", "ghvb")
MOST = len(ADAMS_SERIES)
_PAPER = "Wizadwongsa et al. 2024, arXiv:2307.11118"


def momentum_weights(order: int, beta: float, kind: str = "ghvb") -> Array:
    """Weights of the average, newest first; shape (order,).

    Of model outputs for ``"hb"`` and ``"nesterov"`` (equal-step Adams-Bashforth); of velocities
    for ``"ghvb"``, e.g. ``((2 + beta), -(2 - beta))/(2 beta)`` for order 2.

    Raises
    ------
    InvalidPlanError
        For an order outside 1 .. 5, a beta outside (0, 1] or another kind.
    """
    _check(order, beta, kind)
    q = (1.0 - beta) / beta if kind == "ghvb" else 0.0
    series = np.array(ADAMS_SERIES[:order])
    return differences_to_nodes(series + q * np.concatenate([[0.0], series[:-1]]))


def differences_to_nodes(series: Array) -> Array:
    """``sum_j c_j d^j f_0`` as weights of ``f_0, f_{-1}, ...``."""
    weights = np.zeros(len(series))
    for j, c in enumerate(series):
        weights[: j + 1] += c * np.array([(-1) ** i * math.comb(j, i) for i in range(j + 1)])
    return weights


def velocity_weights(count: int, beta: float, kind: str, back: int = 0) -> Array:
    """Weights, on ``count`` outputs, of the velocity ``back`` nodes before the newest of them.

    Exact for outputs that are a polynomial of the index of degree < ``count``, since ever:
    ``v = (1 - d)^back (1 + q d)^{-1} f``. Shape (count,), newest first.
    """
    _check(1, beta, kind)
    q = (1.0 - beta) / beta
    series = np.array([(-q) ** j for j in range(count)])
    if kind != "ghvb":
        series = np.convolve(series, ADAMS_SERIES[:count])[:count]
    for _ in range(back):
        series = series - np.concatenate([[0.0], series[:-1]])
    return differences_to_nodes(series)


def _check(order: int, beta: float, kind: str) -> None:
    if not 1 <= order <= MOST or kind not in KINDS:
        msg = f"momentum needs an order 1 .. {MOST} and a kind in {KINDS}, got {order}, {kind!r}"
        raise InvalidPlanError(msg)
    if not 0.0 < beta <= 1.0:
        msg = f"beta of a momentum sampler must lie in (0, 1], got {beta}"
        raise InvalidPlanError(msg)


def _first_velocities(
    tape: Tape,
    kind: str,
    beta: float,
    earlier: Sequence[Output],
    resume: Node | None,
    order: int,
) -> list[int]:
    """Velocities before the first step, newest first; none if they are to be the first output."""
    count = max(1, len(earlier)) if kind == "ghvb" else 1
    if resume is not None:
        return [tape.input(f"v-{j}", resume) for j in range(1, 1 + min(count, max(1, order - 1)))]
    found = []
    for back in range(count if earlier else 0):
        w = velocity_weights(len(earlier), beta, kind, back)
        found.append(tape.lin(*((m, wj) for (m, _), wj in zip(earlier, w, strict=True))))
    return found


def momentum(
    process: Process,
    grid: Grid,
    *,
    kind: str,
    order: int,
    beta: float = 0.8,
    history: Sequence[Node] = (),
    carry: bool = False,
    resume: Node | None = None,
) -> Plan:
    """HB, Nesterov or GHVB on the noise prediction; see the module.

    Parameters
    ----------
    kind : str
        ``"hb"``, ``"nesterov"`` (``(1 - beta) v + beta f`` is stepped with, not v) or ``"ghvb"``.
    order : int
        Number k of outputs or velocities in the average, 1 .. 5.
    beta : float
        Weight of the new in the velocity, in (0, 1]; 1 is no momentum.
    history : sequence of Node
        Nodes of exact history, newest first; at most ``order - 1`` are used.
    carry : bool
        Put out the velocities ``v-1``, ... too, so that another plan may take over.
    resume : Node, optional
        The level of the step before: the velocities are inputs (for GHVB as many as ``history``).

    Raises
    ------
    InvalidPlanError
        See :func:`momentum_weights`.
    """
    del process  # the nodes of the grid carry all coefficients
    _check(order, beta, kind)
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[: order - 1], "noise")
    speeds = _first_velocities(tape, kind, beta, past, resume, order)
    for s, t in grid.steps():
        m = tape.eval(x, s, "noise")
        past = [(m, s), *past][:order]
        old = speeds[0] if speeds else m
        if kind == "ghvb":
            v = tape.lin((old, 1.0 - beta), (m, beta))
            speeds = [v, *speeds][: max(order, 1)]
            w = momentum_weights(min(order, len(past)), beta, kind)
            terms = list(zip(speeds, w, strict=False))
        else:
            w = momentum_weights(min(order, len(past)), beta, kind)
            mean = [(k, wj) for (k, _), wj in zip(past, w, strict=True)]
            v = tape.lin((old, 1.0 - beta), *((k, beta * wj) for k, wj in mean))
            speeds = [v]
            terms = [(v, 1.0)] if kind == "hb" else [(v, 1.0 - beta)]
            terms += [(k, beta * wj) for k, wj in mean] if kind == "nesterov" else []
        terms = terms if t.sigma > 0.0 else [(m, 1.0)]
        push = t.alpha * (t.rho - s.rho)
        ratio = math.exp(t.log_alpha - s.log_alpha)
        x = tape.mark(tape.lin((x, ratio), *((k, push * wk) for k, wk in terms)), t)
    kept = speeds[: max(1, order - 1)] if carry else []
    velocities = {f"v-{j}": v for j, v in enumerate(kept, 1)}
    return tape.plan(x=x, **named_history(past[: max(1, order - 1)]), **velocities)


def _declare(kind: str, order: int, note: str) -> None:
    has = 1 if kind != "ghvb" else min(order, 2)

    @sampler(
        name=f"{kind}_{order}",
        order=has,
        order_cold=has,
        published_order=order if kind == "ghvb" and order > has else None,
        nfe=lambda n: n,
        prediction="noise",
        history=order - 1,
        family="momentum",
        source=_PAPER,
        note=note,
    )
    def build(
        process: Process,
        grid: Grid,
        *,
        beta: float = 0.8,
        history: Sequence[Node] = (),
        carry: bool = False,
        resume: Node | None = None,
    ) -> Plan:
        return momentum(
            process, grid, kind=kind, order=order, beta=beta, history=history, carry=carry,
            resume=resume,
        )  # fmt: skip


for _k in (1, 2, 3, 4):
    _declare("hb", _k, f"Heavy ball on equal-step Adams-Bashforth {_k}: first order, but stabler.")
_declare("nesterov", 2, "Nesterov's form of heavy ball on equal-step Adams-Bashforth 2.")
for _k in (1, 2, 3, 4):
    _declare(
        "ghvb", _k, f"Generalised heavy ball of {_k} velocities: order 2 unless rho is equal."
    )


@sampler(
    order=1,
    order_cold=1,
    nfe=lambda n: n,
    prediction="data",
    history=1,
    family="momentum",
    source=f"{_PAPER}, on Lu et al. 2022, arXiv:2211.01095, Alg. 2",
)
def dpmpp_2m_hb(
    process: Process,
    grid: Grid,
    *,
    beta: float = 0.8,
    history: Sequence[Node] = (),
    carry: bool = False,
    resume: Node | None = None,
) -> Plan:
    """DPM-Solver++(2M) whose extrapolated data prediction is smoothed by a velocity.

    ``v = (1 - beta) v + beta [D_0 + (D_0 - D_1)/(2r)]``, ``x_t = (sigma_t/sigma_s) x + alpha_t
    (1 - e^{-h}) v``. First order for ``beta < 1``. The velocity before the first step is the first
    output; the authors' code forgets it once and starts at the second step.
    """
    del process
    _check(2, beta, "hb")
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[:1], "data")
    v = tape.input("v-1", resume) if resume is not None else None
    for s, t in grid.steps():
        m = tape.eval(x, s, "data")
        v = m if v is None else v
        past = [(m, s), *past][:2]
        use = [o for o in past if o[1].alpha > 0.0] or past[:1]
        v, x = _smoothed(tape, s, t, x, use, v, beta)
        tape.mark(x, t)
    return tape.plan(
        x=x, **named_history(past[:1]), **({"v-1": v} if carry and v is not None else {})
    )


def _smoothed(
    tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output], v: int, beta: float
) -> tuple[int, int]:
    """The new velocity of the data prediction, and the state; at the two ends there is none."""
    if t.sigma == 0.0 or s.alpha == 0.0:
        return v, data_row(tape, s, t, x, outputs)
    h = t.lam - s.lam
    tau = [(node.lam - s.lam) / h for _, node in outputs]
    w = midpoint_weights(tau, -h)
    w = beta * w / w.sum()
    v = tape.lin((v, 1.0 - beta), *((m, wj) for (m, _), wj in zip(outputs, w, strict=True)))
    keep = math.exp(t.log_sigma - s.log_sigma)
    return v, tape.lin((x, keep), (v, -t.alpha * math.expm1(-h)))
