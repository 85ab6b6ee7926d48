"""Exponential Adams predictor-corrector on functions of a strip: few evaluations, used well.

Three ideas, none of which needs to know the law:

* the data prediction is interpolated by functions analytic in a strip, in the clock
  ``asinh(size alpha/sigma)`` (:mod:`.strip`): they extrapolate over long steps, where polynomials
  in lam no longer can;
* the corrector of UniPC: the model output at the predicted state corrects the step at no cost;
* *realignment*: that output belongs to the predicted state, while the next step starts from the
  corrected one. It is moved along by the Jacobian that the data prediction of a normal law has,
  ``dD/d(x/alpha) = 1/(1 + rho^2/size^2)``: exact for one standard deviation, right in sign and
  limits for all of them, and a change of ``O(h^{p+1})``, which costs no order.

``D_t <- D(x~_t, t) + (x_t - x~_t)/(alpha_t (1 + (rho_t/size)^2))``, ``x~`` predicted, x corrected.
DC-Solver moves the output along in time instead, by fitted amounts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from ..rows import Output, data_row
from .multistep import given_history, named_history
from .strip import MAIN_MODES, WARY_STRIP, check_size, check_strip, strip_weights


def normal_jacobian(node: Node, size: float) -> float:
    """``dD/d(x/alpha) = 1/(1 + (rho/size)^2)`` of the law N(0, size^2)."""
    return 1.0 / (1.0 + (node.sigma / (node.alpha * size)) ** 2)


def strip_row(
    tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output], *, strip: float, size: float
) -> int:
    """The update on data predictions, interpolated by functions of a strip; newest first.

    Infinitely long steps, from alpha = 0 or to sigma = 0, are those of ``data_row``.
    """
    outputs = [o for o in outputs if o[1].alpha > 0.0] or list(outputs[:1])
    if t.sigma == 0.0 or s.alpha == 0.0:
        return data_row(tape, s, t, x, outputs[:1])
    nodes = np.array([node.lam for _, node in outputs])
    weights = strip_weights(nodes, s.lam, t.lam, strip=strip, size=size)
    keep = math.exp(t.log_sigma - s.log_sigma)
    terms = zip(outputs, weights, strict=True)
    return tape.lin((x, keep), *((m, t.alpha * float(w)) for (m, _), w in terms))


def strip_adams(
    process: Process,
    grid: Grid,
    *,
    order: int,
    strip: float = WARY_STRIP,
    size: float = MAIN_MODES,
    realign: bool = True,
    history: Sequence[Node] = (),
) -> Plan:
    """The plan; order + 1 with exact history, like UniPC. Recommended grid: ``sinh_lam``.

    Parameters
    ----------
    order : int
        Number of nodes of the predictor; the corrector has one more.
    strip : float
        Half width of the strip of analyticity; ``inf`` gives polynomials in the clock.
    size : float
        Standard deviation of the leading modes of the data; ``inf`` makes lam the clock.
    realign : bool
        Move each output from the predicted to the corrected state, as the law N(0, size^2) says.
    history : sequence of Node
        Nodes of exact history, newest first.

    Raises
    ------
    InvalidPlanError
        For an order below 1, a strip without width, or a size that is not positive.
    """
    del process  # the nodes of the grid carry all coefficients
    if order < 1:
        msg = f"need order >= 1, got {order}"
        raise InvalidPlanError(msg)
    row = partial(strip_row, strip=check_strip(strip), size=check_size(size))
    tape = Tape()
    x = tape.input("x", grid[0])
    earlier = given_history(tape, history[: order - 1], "data")
    asked: list[Output] = [(tape.eval(x, grid[0], "data"), grid[0]), *earlier]
    past = list(asked)
    for i, (s, t) in enumerate(grid.steps()):
        # the step to sigma 0 is a model output, not one moved along
        predicted = row(tape, s, t, x, (past if t.sigma > 0 else asked)[:order])
        if i == len(grid) - 1 or t.sigma == 0.0:
            x = predicted
        else:
            new = tape.eval(predicted, t, "data")
            asked = [(new, t), *asked][: order + 1]
            x = row(tape, s, t, x, [(new, t), *past[:order]])
            if realign:
                shift = normal_jacobian(t, size) / t.alpha
                new = tape.lin((new, 1.0), (x, shift), (predicted, -shift))
            past = [(new, t), *past][: order + 1]
        tape.mark(x, t)
    return tape.plan(x=x, **named_history(asked[: max(1, order - 1)]))


def _declare(order: int) -> None:
    @sampler(
        name=f"strip_adams_{order}",
        order=order + 1,
        order_cold=min(order + 1, 3),
        nfe=lambda n: n,
        prediction="data",
        history=order - 1,
        scale_free=False,
        family="strip Adams",
        source="this project; corrector of Zhao et al. 2023, arXiv:2302.04867",
        note=f"Exponential Adams {order}-{order + 1} predictor-corrector on functions analytic in "
        "a strip, each output realigned to the corrected state.",
    )
    def build(
        process: Process,
        grid: Grid,
        *,
        history: Sequence[Node] = (),
        strip: float = WARY_STRIP,
        size: float = MAIN_MODES,
        realign: bool = True,
    ) -> Plan:
        return strip_adams(
            process, grid, order=order, strip=strip, size=size, realign=realign, history=history
        )


for _k in (2, 3, 4):
    _declare(_k)
