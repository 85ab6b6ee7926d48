"""DPM-Solver-v3: exponential Adams in a parameterisation that is fitted to the model.

Every multistep sampler in lam is the choice of three functions l, s, b (``statistics_v3.py``) and
of the nodes through which ``g = e^{-S} f - B``, ``f = (sigma eps - l x)/alpha``, is interpolated::

    x_t = (alpha_t/alpha_s) e^{-(L_t-L_s)} x_s - sum_j c_j g_j - beta
    c_j  = alpha_t e^{-(L_t-L_s)} int_s^t e^{L-L_s+S} l_j(lam) dlam
    beta = alpha_t e^{-(L_t-L_s)} int_s^t e^{L-L_s+S} B dlam

(L, S, B are 0 at s). Since every l, s, b is consistent, so is every fit of them: a fit changes the
error, never the order. All weights are per coordinate, by Gauss-Legendre quadrature of smooth
functions, not by the trapezoidal tables of the reference code, whose error of order (1/nodes)^2
ends the order of the sampler at about 1e-5.

The cache trap of the corrector: what is reused after a correction is f of the *predicted* state,
with its x inside. Reusing eps or D instead is another sampler as soon as l is not 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..errors import InvalidPlanError
from ..given import whole_number
from ..grids import Grid
from ..model import Model
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..quadrature import lagrange
from ..registry import sampler
from ..rows import data_row
from .statistics_v3 import DATA_STATISTICS, Statistics, estimate

_PANEL = 0.25  # in lam: tables are splines, exponentials are tame
_X, _W = np.polynomial.legendre.leggauss(16)
_X, _W = (_X + 1) / 2, _W / 2


def _integration() -> Array:
    """``Q[i, j] = int_0^{x_i} l_j(u) du`` on the nodes of a panel."""
    legendre = np.polynomial.legendre
    values = legendre.legvander(2 * _X - 1, len(_X) - 1)
    powers = [legendre.legint(row, lbnd=-1) / 2 for row in np.eye(len(_X))]
    integrals = np.stack([legendre.legval(2 * _X - 1, c) for c in powers], axis=1)
    return integrals @ np.linalg.inv(values)


_Q = _integration()


class _Path(NamedTuple):
    """Integrals along a stretch of lam that begins at the anchor; zero there."""

    lam: Array  # nodes, (n,)
    width: Array  # weights of the nodes, (n,)
    L: Array  # (n, *S)
    S: Array
    B: Array
    ends: tuple[Array, Array, Array]  # L, S, B at the far end


class Output(NamedTuple):
    """A model output, the state it was asked at, and where."""

    x: int
    m: int
    node: Node


def _running(values: Array, panels: int, width: float) -> tuple[Array, Array]:
    """Integrals from the beginning to each node, and to the end."""
    parts = values.reshape(panels, len(_X), *values.shape[1:]) * width
    inside = np.einsum("ij,pj...->pi...", _Q, parts)
    totals = np.einsum("j,pj...->p...", _W, parts)
    before = np.cumsum(totals, axis=0) - totals
    return (inside + before[:, None]).reshape(values.shape), totals.sum(0)


def _path(statistics: Statistics, a: float, b: float) -> _Path:
    """L, S, B from a (where they are 0) to b, which may lie before a."""
    panels = max(1, math.ceil(abs(b - a) / _PANEL))
    width = (b - a) / panels
    lam = (a + width * (np.arange(panels)[:, None] + _X)).ravel()
    ell, s, offset = statistics.at(lam)
    big_l, end_l = _running(ell, panels, width)
    big_s, end_s = _running(s, panels, width)
    big_b, end_b = _running(np.exp(-big_s) * offset, panels, width)
    return _Path(lam, np.tile(_W * width, panels), big_l, big_s, big_b, (end_l, end_s, end_b))


def _basis(nodes: Sequence[float], u: Array, *, pseudo: bool) -> Array:
    """Interpolation through the nodes, the first of which is 0: (nodes, *u.shape).

    ``pseudo``: divided differences taken for derivatives at 0, ``sum_k g[0, ..., k] u^k``, the
    cross terms of the Newton form dropped. Exact for constants and straight lines only.
    """
    if not pseudo:
        return lagrange(nodes, u)
    count = len(nodes)
    table = np.eye(count)
    basis = np.zeros((count, *u.shape))
    for k in range(count):
        basis += table[0][:, None] * u**k
        table = np.array(
            [
                (table[j + 1] - table[j]) / (nodes[j + k + 1] - nodes[j])
                for j in range(len(table) - 1)
            ]
        )
    return basis


def _columns(a: Array, like: Array) -> Array:
    """(n,) seen as (n, 1, ..., 1) beside (n, *S)."""
    return a.reshape(-1, *([1] * (like.ndim - 1)))


def _weight(a: Array) -> Any:
    return float(a) if np.ndim(a) == 0 else np.asarray(a)


def v3_row(
    tape: Tape,
    statistics: Statistics,
    s: Node,
    t: Node,
    x: int,
    outputs: Sequence[Output],
    *,
    pseudo: bool = False,
    one: int | None = None,
) -> int:
    """One step; the first output is that at s, the others in any order.

    A step to ``sigma = 0`` or from ``alpha = 0`` is that of the data prediction.
    """
    if t.sigma == 0.0 or s.alpha == 0.0:
        return data_row(tape, s, t, x, [(o.m, o.node) for o in outputs])
    outputs = [o for o in outputs if o.node.alpha > 0.0]
    statistics.check(min(o.node.lam for o in outputs), t.lam)
    path = _path(statistics, s.lam, t.lam)
    outer = t.alpha * np.exp(-path.ends[0])
    kernel = np.exp(path.L + path.S) * _columns(path.width, path.L)
    basis = _basis([o.node.lam - s.lam for o in outputs], path.lam - s.lam, pseudo=pseudo)
    terms: list[tuple[int, Any]] = [(x, _weight(outer / s.alpha))]
    beta = outer * (kernel * path.B).sum(0)
    for output, values in zip(outputs, basis, strict=True):
        c = outer * (kernel * _columns(values, path.L)).sum(0)
        _, scale, shift = _path(statistics, s.lam, output.node.lam).ends
        terms += _f_terms(statistics, output, -c * np.exp(-scale))
        beta = beta - c * shift
    if one is not None:
        terms.append((one, _weight(-beta)))
    return tape.lin(*terms)


def _f_terms(statistics: Statistics, output: Output, weight: Array) -> list[tuple[int, Any]]:
    """``weight f`` with ``f = (1 - l) x/alpha - D``."""
    keep = 1.0 - statistics(output.node)[0]
    terms: list[tuple[int, Any]] = [(output.m, _weight(-weight))]
    if np.any(keep):
        terms.append((output.x, _weight(weight * keep / output.node.alpha)))
    return terms


def dpm_v3(
    process: Process,
    grid: Grid,
    *,
    order: int,
    statistics: Statistics | None = None,
    corrector: int | None = None,
    pseudo: bool = False,
    history: Sequence[Node] = (),
) -> Plan:
    """The plan of DPM-Solver-v3.

    Parameters
    ----------
    order : int
        Largest number of nodes of the predictor.
    statistics : Statistics, optional
        See ``statistics_v3.py``; without them the data prediction, ``(1, 0, 0)``.
    corrector : int, optional
        None for none. Else the corrector has that many nodes more than the predictor, one of
        which is the end of the step: 1 adds an order, as in UniPC; 0 is what the reference code
        does without ``pseudo`` (there a first step is never corrected). The last step is not
        corrected.
    pseudo : bool
        Divided differences for derivatives in predictor and corrector: order 2 at most, and
        steadier with a handful of steps.
    history : sequence of Node
        Nodes of exact history, newest first. Inputs ``m-1``, ... and, where l is not 1, the
        states ``x-1``, ...

    Raises
    ------
    InvalidPlanError
        If the statistics do not cover the grid, or the order or the corrector is impossible.
    """
    del process  # the nodes of the grid carry all coefficients
    if whole_number(order, "the order") < 1 or corrector not in (None, 0, 1):
        msg = f"need order >= 1 and a corrector None, 0 or 1, got {order} and {corrector}"
        raise InvalidPlanError(msg)
    if not isinstance(statistics, (Statistics, type(None))):
        msg = f"need Statistics (see statistics_v3.py), got {type(statistics).__name__}"
        raise InvalidPlanError(msg)
    statistics = statistics or DATA_STATISTICS
    tape = Tape()
    x = tape.input("x", grid[0])
    one = tape.input("one", grid[0]) if statistics.offset else None
    row = partial(v3_row, statistics=statistics, pseudo=pseudo, one=one)
    past = [Output(x, tape.eval(x, grid[0], "data"), grid[0])]
    past += _given(tape, statistics, history[: order - 1])
    for i, (s, t) in enumerate(grid.steps()):
        use = past[:order]
        end = row(tape, s=s, t=t, x=x, outputs=use)
        if i < len(grid) - 1 and t.sigma > 0.0:
            new = Output(end, tape.eval(end, t, "data"), t)
            if corrector is not None and len(use) + corrector > 1:
                through = [use[0], new, *use[1 : len(use) - 1 + corrector]]
                end = row(tape, s=s, t=t, x=x, outputs=through)
            past = [new, *past][: order + 1]
        x = tape.mark(end, t)
    return tape.plan(x=x, **_handed_over(statistics, past[: max(1, order - 1)]))


def _needs_state(statistics: Statistics, node: Node) -> bool:
    return node.alpha > 0.0 and bool(np.any(statistics(node)[0] != 1.0))


def _given(tape: Tape, statistics: Statistics, nodes: Sequence[Node]) -> list[Output]:
    """Inputs ``m-j``, and ``x-j`` where f has a part in x."""
    found = []
    for j, node in enumerate(nodes, 1):
        m = tape.input(f"m-{j}", node, "data")
        x = tape.input(f"x-{j}", node) if _needs_state(statistics, node) else m
        found.append(Output(x, m, node))
    return found


def _handed_over(statistics: Statistics, outputs: Sequence[Output]) -> dict[str, int]:
    out = {}
    for j, output in enumerate(outputs, 1):
        out[f"m-{j}"] = output.m
        if _needs_state(statistics, output.node):
            out[f"x-{j}"] = output.x
    return out


def fit(
    model: Model, process: Process, grid: Grid, starts: Tensor, **settings: Any
) -> Mapping[str, Any]:
    """Estimate the statistics of a model of the data prediction; see ``estimate``."""
    return {"statistics": estimate(model, process, grid, starts, **settings)}


def _declare(suffix: str, orders: tuple[int, int], note: str, **fixed: Any) -> None:

    @sampler(
        name=f"dpm_v3_{suffix}",
        order=orders[0],
        order_cold=orders[1],
        nfe=lambda n: n,
        prediction="data",
        history=fixed["order"] - 1,
        family="DPM-Solver-v3",
        source="Zheng, Lu, Chen & Zhu 2023, arXiv:2310.13268, Alg. 1 and sec. 3.3",
        fit=fit,
        note=note + " Unfitted it works on the data prediction.",
    )
    def build(
        process: Process,
        grid: Grid,
        *,
        history: Sequence[Node] = (),
        statistics: Statistics | None = None,
    ) -> Plan:
        return dpm_v3(process, grid, history=history, statistics=statistics, **fixed)


for _k in (1, 2, 3):
    _words = f"DPM-Solver-v3, predictor of {_k} node(s), no corrector."
    _declare(str(_k), (_k, min(_k, 2)), _words, order=_k)
_words = "DPM-Solver-v3, predictor of 2 nodes and corrector of 3."
_declare("2_corrected", (3, 3), _words, order=2, corrector=1)
_words = "DPM-Solver-v3 as for 5 steps: pseudo-orders, predictor of 3 nodes, corrector of 4."
_declare("3_pseudo", (2, 2), _words, order=3, corrector=1, pseudo=True)
