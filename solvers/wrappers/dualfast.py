"""DualFast: the noise prediction pushed away from one that was made at a noisier level.

Yu, Luo, Wang & Zhao 2025, arXiv:2506.13058: the error of a run is discretisation plus
approximation by the network, and a network errs less where there is more noise. So, with a stored
prediction of a noisier level tau, and at no further evaluation, ``eps_hat = (1 + c) eps_t - c
eps_tau``. Here c may have either sign and may depend on the level, not on the data: then the
method is *linear*, and :func:`dualfast` is a function from plans to plans, for any sampler and any
prediction.

tau is the evaluation before (``anchor="last"``) or the very first one (``anchor="first"``).

What c does without any error of the network: next to the evaluation before, ``c = 1/2`` turns DDIM
into Adams-Bashforth 2, so the best c of DDIM does *not* vanish with the step; for a method of
order 2 it does, like h, because it has nothing left to repair at first order. Next to the first
evaluation ``eps_t - eps_tau`` is not small and the best c is O(h). A constant c therefore leaves
order 1 (``"last"``) or none (``"first"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..asking import asked
from ..checks import check_like
from ..errors import InvalidPlanError
from ..given import real_number, whole_number
from ..grids import Grid
from ..model import Model, conversion
from ..ops import Eval
from ..plan import Plan, Tape
from ..plan_algebra import rewrite, to_prediction
from ..process import Node, Process
from ..registry import Sampler, get, register, sampler
from ..rows import Output, noise_row
from ..run import run
from ..samplers.multistep import multistep
from ..stepper import StepperRun
from .wrapping import run_plan

ANCHORS = ("last", "first")
Mixing = float | Sequence[float]
"""c: one number, or one for each evaluation (that of the first is not used)."""


def _mixing(mixing: Mixing, k: int) -> float:
    if np.ndim(mixing) == 0:
        return real_number(mixing, "the mixing of DualFast")
    each = list(np.asarray(mixing))
    if not 0 <= k < len(each):
        msg = f"the mixing of DualFast has {len(each)} numbers; evaluation {k + 1} needs one"
        raise InvalidPlanError(msg)
    return real_number(each[k], "the mixing of DualFast")


def dualfast(plan: Plan, mixing: Mixing, *, anchor: str = "last") -> Plan:
    """The same sampler with every output mixed with an earlier one: again a plan.

    Outputs are mixed as noise predictions, whatever the plan asks for. At ``alpha = 0`` nothing is
    mixed. The result puts out its sample alone: what a multistep rule would hand over is no output
    of the model. Apply it to cold plans; history given as inputs is not mixed.

    Parameters
    ----------
    mixing : float or sequence of float
        c of the k-th evaluation; 0 gives the plan back.
    anchor : str
        Which evaluation is stored: the one before (``"last"``) or the first (``"first"``).

    Raises
    ------
    InvalidPlanError
        For an unknown anchor, and a sequence that is too short.
    """
    if anchor not in ANCHORS:
        msg = f"the anchor of DualFast must be one of {ANCHORS}, got {anchor!r}"
        raise InvalidPlanError(msg)
    stored: list[int] = []

    def write(tape: Tape, x: int, op: Eval) -> int:
        out = tape.eval(x, op.node, op.prediction, op.head)
        c = _mixing(mixing, len(stored)) if stored else 0.0
        a, b = conversion(op.prediction, "noise", op.node)
        eps = out if (a, b) == (0.0, 1.0) else tape.lin((x, a), (out, b))
        stored.append(eps)
        if c == 0.0 or op.node.alpha == 0.0:
            return out
        hat = tape.lin((eps, 1.0 + c), (stored[0 if anchor == "first" else -2], -c))
        a, b = conversion("noise", op.prediction, op.node)
        return hat if (a, b) == (0.0, 1.0) else tape.lin((x, a), (hat, b))

    new = rewrite(plan, write)
    return Plan(new.ops, {"x": new.outputs["x"]}, new.marks)


def fit_mixing(
    model: Model, process: Process, grid: Grid, starts: Tensor, *, fine: int = 8
) -> dict[str, Any]:
    """The c of every step of DDIM (anchor ``"last"``) by least squares, to repair discretisation.

    Along a trajectory of the model itself, ``fine`` times finer, DDIM would need the mean slope
    ``(y_t - y_s)/(rho_t - rho_s)``, ``y = x/alpha``, in the place of ``eps_s``; c is the
    coefficient of the missing part on ``eps_s - eps_tau``, over all samples and coordinates.

    Parameters
    ----------
    model : callable
        The noise prediction, exact or not: its own error is not seen.
    starts : Tensor
        States at ``grid[0]``, (B, *D).

    Returns
    -------
    dict
        ``{"mixing": (0.0, c_2, ..., c_N)}``.

    Raises
    ------
    InvalidPlanError
        For ``fine`` less than 1, and a grid that starts at ``alpha = 0``.
    ShapeError, NonFiniteError
        As of :func:`.run.run`.
    """
    if whole_number(fine, "fine") < 1 or grid[0].alpha == 0.0:
        msg = f"a mixing is fitted with fine >= 1, from alpha > 0; got {fine}, {grid[0].alpha}"
        raise InvalidPlanError(msg)
    nodes: list[Node] = []
    for s, t in grid.steps():
        parts = fine if t.sigma > 0 else 1
        lams = [s.lam + (t.lam - s.lam) * k / fine for k in range(1, parts)]
        nodes += [s, *(process.node_at_lam(lam) for lam in lams)]
    path = Grid((*nodes, grid[-1]))
    plan = to_prediction(get("dpmpp_2m")(process, path), "noise")
    steps = range(0, len(path) + 1, fine)
    saved = run(plan, model, starts, save_at=[k for k in steps if k <= len(path)]).saved
    found, last = [0.0], None
    for i, (s, t) in enumerate(grid.steps()):
        if t.sigma == 0:
            found.append(0.0)
            continue
        x = saved[i * fine]
        with torch.no_grad():
            eps = asked(model, x, s.t, step=i + 1)
        if last is not None:
            slope = (saved[(i + 1) * fine] / t.alpha - x / s.alpha) / (t.rho - s.rho)
            gap = eps - last
            size = float((gap * gap).sum())
            found.append(float((gap * (slope - eps)).sum()) / size if size > 0 else 0.0)
        last = eps
    return {"mixing": tuple(found[: len(grid)])}


def split_error(out: Tensor, fine: Tensor, truth: Tensor) -> dict[str, float]:
    """The error of a run, split: ``total^2 = approximation^2 + discretization^2 + cross``.

    All are root mean squares over entries: of ``out - truth``, of ``fine - truth`` (the network's
    flow, solved finely, against the exact flow) and of ``out - fine``; ``cross`` is twice the mean
    product of the latter two, of either sign, and ``cosine`` their correlation.
    """
    check_like(fine, out, "the fine sample", same_dtype=False)
    check_like(truth, out, "the truth", same_dtype=False)

    def mean(a: Tensor, b: Tensor) -> float:
        return float((a * b).to(torch.float64).mean())

    network, solver = fine - truth, out - fine
    a, d = mean(network, network) ** 0.5, mean(solver, solver) ** 0.5
    cross = 2 * mean(network, solver)
    return {
        "total": mean(out - truth, out - truth) ** 0.5,
        "approximation": a,
        "discretization": d,
        "cross": cross,
        "cosine": cross / (2 * a * d) if a * d > 0 else 0.0,
    }


_SOURCE = "Yu, Luo, Wang & Zhao 2025, arXiv:2506.13058"
MIXING = 0.2
"""Default c; the paper's own schedule is not reproduced here."""


@sampler(
    order=1,
    order_cold=1,
    nfe=lambda n: n,
    prediction="noise",
    history=1,
    fit=fit_mixing,
    family="DualFast",
    source=f"{_SOURCE}, on DDIM",
)
def ddim_dualfast(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), mixing: Mixing = MIXING
) -> Plan:
    """DDIM on ``(1 + c) eps_t - c eps_tau``, tau the evaluation before; c = 1/2 is nearly AB2.

    A step to ``sigma = 0`` uses the newest prediction as it is.
    """
    count = iter(range(len(grid)))

    def row(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]) -> int:
        k = next(count)
        if len(outputs) > 1 and t.sigma > 0:
            c = _mixing(mixing, k)
            hat = tape.lin((outputs[0][0], 1.0 + c), (outputs[1][0], -c))
            outputs = [(hat, outputs[0][1])]
        return noise_row(tape, s, t, x, outputs[:1])

    return multistep(process, grid, order=2, row=row, prediction="noise", history=history)


def _declare(base: str, order: int, title: str) -> None:
    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: object = None,
        mixing: Mixing = MIXING,
        anchor: str = "last",
    ) -> StepperRun:
        plan = dualfast(get(base)(process, grid), mixing, anchor=anchor)
        return run_plan(plan, model, x, noise)

    register(
        Sampler(
            name=f"{base}_dualfast", build=build, kind="stepper", prediction="data",
            nfe=lambda n: n, order=1, order_cold=1, published_order=order,
            family="DualFast", source=f"{_SOURCE}, on {title}",
            note=f"{title} on mixed noise predictions: a constant mixing leaves order 1.",
        )
    )  # fmt: skip


_declare("dpmpp_2m", 2, "DPM-Solver++(2M)")
_declare("dpmpp_3m", 3, "DPM-Solver++(3M)")
