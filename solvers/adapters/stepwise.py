"""A plan that is carried out by somebody else's loop: one question and one answer at a time.

Libraries of image models own the loop that calls the network. Between two calls a plan has only
sums and noises to work out: :class:`Stepwise` does that, and stops where the model is asked.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InvalidPlanError
from ..plan import Eval, Input, Lin, Noise, Plan

Draw = Callable[[Noise, Tensor], Tensor]


class Stepwise:
    """One run of a plan.

    Parameters
    ----------
    plan : Plan
        With the input ``x`` (and ``one``), the output ``x``, and a single model.

    Raises
    ------
    InvalidPlanError
        If the plan takes other inputs, asks several models, or never asks.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.questions = tuple(i for i, op in enumerate(plan.ops) if isinstance(op, Eval))
        extra = sorted(set(plan.inputs) - {"x", "one"})
        heads = sorted({op.head for op in plan.ops if isinstance(op, Eval) and op.head})
        if extra or heads or not self.questions or "x" not in plan.outputs:
            what = f"inputs {extra}" if extra else f"heads {heads}" if heads else "no evaluation"
            msg = f"a plan with {what} cannot be run from outside, one model output at a time"
            raise InvalidPlanError(msg)
        self._values: dict[int, Tensor] = {}
        self._row, self._asked = 0, 0
        self._out: Tensor | None = None

    @property
    def evals(self) -> tuple[Eval, ...]:
        """The evaluations, in the order in which they are asked."""
        ops = (self.plan.ops[i] for i in self.questions)
        return tuple(op for op in ops if isinstance(op, Eval))

    @property
    def asked(self) -> int:
        """How many questions have been answered."""
        return self._asked

    @property
    def finished(self) -> bool:
        """Whether the sample is there."""
        return self._out is not None

    @property
    def shown(self) -> Tensor:
        """The state at which the model is to be asked next, in the precision of the run."""
        op = self.plan.ops[self._row] if self._row < len(self.plan.ops) else None
        if not isinstance(op, Eval):
            msg = "no model output is awaited: the run has not begun, or has ended"
            raise InvalidPlanError(msg)
        return self._values[op.source]

    @property
    def rhythm(self) -> int:
        """Evaluations of one step: of each but the last, if they are as many; else the mean."""
        ends = [m.vector for m in self.plan.marks]
        places = [bisect.bisect_left(ends, i) for i in self.questions]
        counts = [places.count(k) for k in range(len(ends))]
        whole = counts[:-1] or counts
        return whole[0] if len(set(whole)) == 1 else max(1, len(places) // max(1, len(ends)))

    def begin(self, x: Tensor, draw: Draw) -> Tensor:
        """Start at ``x``, shape (B, *D); returns the state at which the model is asked first."""
        self._values, self._row, self._asked, self._out = {}, 0, 0, None
        for name, row in self.plan.inputs.items():
            self._values[row] = x if name == "x" else torch.ones_like(x)
        return self._advance(draw)

    def replace(self, x: Tensor) -> None:
        """Ask the model at another state than the one that was given out."""
        op = self.plan.ops[self._row]
        if isinstance(op, Eval):
            self._values[op.source] = x

    def answer(self, output: Tensor, draw: Draw) -> Tensor:
        """Take the model's output; returns the next state to ask at, or at last the sample.

        The output must be of the prediction, dtype and shape that the plan asks for.
        """
        if self.finished or self._row >= len(self.plan.ops):
            msg = f"all {len(self.questions)} model outputs of the plan have been given already"
            raise InvalidPlanError(msg)
        self._values[self._row] = output
        self._asked += 1
        self._free(self._row)
        self._row += 1
        return self._advance(draw)

    def _advance(self, draw: Draw) -> Tensor:
        ops, values = self.plan.ops, self._values
        while self._row < len(ops):
            op = ops[self._row]
            if isinstance(op, Eval):
                return values[op.source]
            if isinstance(op, Lin):
                values[self._row] = _combine(op, values)
            elif isinstance(op, Noise):
                values[self._row] = draw(op, next(iter(values.values())))
            elif not isinstance(op, Input):  # pragma: no cover - there are four kinds of rows
                msg = f"unknown row {op!r}"
                raise InvalidPlanError(msg)
            self._free(self._row)
            self._row += 1
        self._out = values[self.plan.outputs["x"]]
        return self._out

    def _free(self, row: int) -> None:
        for j in self.plan.deaths[row]:
            self._values.pop(j, None)


def _combine(op: Lin, values: dict[int, Tensor]) -> Tensor:
    total: Tensor | None = None
    for j, w in op.terms:
        part = values[j] * (w if isinstance(w, float) else torch.as_tensor(w).to(values[j]))
        total = part if total is None else total + part
    if total is None:
        msg = "a row of a plan is an empty sum"
        raise InvalidPlanError(msg)
    return total
