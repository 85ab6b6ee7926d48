"""The one interpreter of plans; what it computes depends on what it is fed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import InvalidPlanError
from .ops import Eval, Lin, Noise, Weight

if TYPE_CHECKING:
    from .plan import Plan


def combine(weights: tuple[Weight, ...], vectors: tuple[Any, ...]) -> Any:
    """``sum_j w_j V_j`` in the order of the row, for floats, arrays and tensors alike."""
    total = vectors[0] * weights[0]
    for w, v in zip(weights[1:], vectors[1:], strict=True):
        total = total + v * w
    return total


def _add(_row: int, weights: tuple[Weight, ...], vectors: tuple[Any, ...]) -> Any:
    return combine(weights, vectors)


def interpret(
    plan: Plan,
    *,
    inputs: Mapping[str, Any],
    evaluate: Callable[[int, Eval, Any], Any],
    draw: Callable[[int, Noise], Any],
    add: Callable[[int, tuple[Weight, ...], tuple[Any, ...]], Any] | None = None,
    after: Callable[[int, Any], None] | None = None,
    forget: Callable[[int, Any], None] | None = None,
) -> dict[str, Any]:
    """Run a plan on whatever vectors it is fed with; a vector is dropped at its last use.

    Parameters
    ----------
    inputs : mapping
        A vector for every input name of the plan; more names are ignored.
    evaluate, draw : callable
        Called as ``evaluate(row, op, source_vector)`` and ``draw(row, op)``.
    add : callable, optional
        Called as ``add(row, weights, vectors)`` in place of :func:`combine`.
    after, forget : callable, optional
        Called as ``after(row, vector)`` once a row is computed and ``forget(row, vector)`` when
        the vector defined by ``row`` is dropped.

    Returns
    -------
    dict
        The outputs of the plan, by name.
    """
    missing = [name for name in plan.inputs if name not in inputs]
    if missing:
        msg = f"the plan needs the inputs {sorted(plan.inputs)}; {missing[0]!r} is missing"
        raise InvalidPlanError(msg)
    live: list[Any] = [None] * len(plan.ops)
    for i, (op, (ids, weights), dead) in enumerate(
        zip(plan.ops, plan.columns, plan.deaths, strict=True)
    ):
        if isinstance(op, Lin):
            # no name for the vectors: it would keep them alive beyond their last use
            new = (add or _add)(i, weights, tuple([live[j] for j in ids]))
        elif isinstance(op, Eval):
            new = evaluate(i, op, live[op.source])
        elif isinstance(op, Noise):
            new = draw(i, op)
        else:
            new = inputs[op.name]
        live[i] = new
        if after:
            after(i, new)
        for j in dead:
            if forget:
                forget(j, live[j])
            live[j] = None
    return {name: live[j] for name, j in plan.outputs.items()}
