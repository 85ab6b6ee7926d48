"""Several models in one run: which of them answers is written in the plan.

An evaluation of a plan carries a ``head``, the name of the model it asks; ``""`` is the usual one.
:class:`Heads` is the table of models that the executor looks the name up in. T-Stitch (Pan et al.
2025, arXiv:2402.14167) is the plan of any sampler with its noisy part routed to a small model; it
is not an ensemble, and not a change of the sampler's coefficients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import InvalidPlanError
from .model import Model
from .ops import Eval
from .plan import Plan, Tape
from .plan_algebra import rewrite

BIG = ""
"""The head of every evaluation that nobody has routed."""


class Heads(Mapping[str, Model]):
    """Models by head; itself a model, the one of the head ``""``.

    All of them give the prediction that the plan asks for, of the state's shape.

    Parameters
    ----------
    models : mapping
        ``{"": big, "small": small, ...}``; the head ``""`` must be there.

    Raises
    ------
    InvalidPlanError
        Without a model for the head ``""``, and for a model that cannot be called.

    Examples
    --------
    >>> heads = Heads({"": lambda x, t: 2 * x, "small": lambda x, t: x})
    >>> heads(3.0, 0.5), heads["small"](3.0, 0.5), sorted(heads)
    (6.0, 3.0, ['', 'small'])
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        if BIG not in models:
            msg = f"heads need a model for the head '', got {sorted(models)}"
            raise InvalidPlanError(msg)
        for head, model in models.items():
            if not callable(model):
                msg = f"the model of the head {head!r} cannot be called: {model!r}"
                raise InvalidPlanError(msg)
        self._models = dict(models)

    def __call__(self, x: Any, t: Any) -> Any:
        """The answer of the head ``""``: wherever one model is expected, this is it."""
        return self._models[BIG](x, t)

    def __getitem__(self, head: str) -> Model:
        """The model of a head."""
        return self._models[head]

    def __iter__(self) -> Iterator[str]:
        """The heads."""
        return iter(self._models)

    def __len__(self) -> int:
        """How many heads there are."""
        return len(self._models)


def heads_of(plan: Plan) -> tuple[str, ...]:
    """The heads that a plan asks, sorted."""
    return tuple(sorted({op.head for op in plan.ops if isinstance(op, Eval)}))


def head_of(model: Model, head: str) -> Model:
    """The model that answers evaluations of a head; a plain model answers all of them."""
    return model[head] if isinstance(model, Heads) else model


def check_heads(plan: Plan, model: Model) -> None:
    """Refuse heads that lack one which the plan asks; a plain model answers every head.

    Raises
    ------
    InvalidPlanError
        Naming the head that is missing.
    """
    if isinstance(model, Heads):
        missing = [head for head in heads_of(plan) if head not in model]
        if missing:
            msg = f"the plan asks the head {missing[0]!r}; the model has {sorted(model)}"
            raise InvalidPlanError(msg)


def route_each(plan: Plan, choose: Callable[[int, Eval], str]) -> Plan:
    """The same sampler with the head ``choose(k, op)`` at its k-th evaluation, from 0."""
    count = itertools.count()

    def ask(tape: Tape, x: int, op: Eval) -> int:
        return tape.eval(x, op.node, op.prediction, choose(next(count), op))

    return rewrite(plan, ask)


def route(plan: Plan, head: str, *, until: float = math.inf, since: float = -math.inf) -> Plan:
    """The same sampler, asking ``head`` wherever ``since <= lam < until``.

    Weights, states and history are as they were: outputs of two models meet in one row of a
    multistep method where the models change.

    Parameters
    ----------
    head : str
        Name of the model; see :class:`Heads`.
    until, since : float
        Half log-SNR; sampling runs from low to high lam, so ``until`` alone is the noisy part.

    Raises
    ------
    InvalidPlanError
        If a limit is NaN, or the head no name.

    Examples
    --------
    >>> from fokker.solvers.grids import uniform_lam
    >>> from fokker.solvers.registry import get
    >>> from fokker.solvers.schedules import VPLinear
    >>> plan = get("ddim")(VPLinear(), uniform_lam(VPLinear(), -2.0, 2.0).grid(4))
    >>> [op.head for op in route(plan, "small", until=0.0).ops if isinstance(op, Eval)]
    ['small', 'small', '', '']
    """
    if not isinstance(head, str):
        msg = f"a head is a name, got {head!r}"
        raise InvalidPlanError(msg)
    if math.isnan(until) or math.isnan(since):
        msg = f"route needs limits in lam that are numbers, got since={since}, until={until}"
        raise InvalidPlanError(msg)
    return route_each(plan, lambda _, op: head if since <= op.node.lam < until else op.head)
