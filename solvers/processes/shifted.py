"""Processes with a shifted mean: the ordinary sampler in ``w = x - mu``, and what it is in x.

``x_t = mu + alpha (x_0 - mu) + sigma eps`` (mean reversion, ResShift and their kin) is an ordinary
process for ``w = x - mu``. The noise prediction and the score are those of x; the data prediction
is less by mu. So two things are enough:

* :func:`shifted`: the model of x seen as a model of w, and then any sampler on ``x - mu``;
* :func:`around`: the plan itself rewritten in x, with mu a further input. A row ``w_t = a w_s +
  sum_j b_j D_j + ...`` becomes ``x_t = a x_s + sum_j b_j D_j + (1 - a - sum_j b_j) mu + ...``:
  these are the coefficients of mu that papers print (Li et al. 2025, arXiv:2502.07856).

mu is of the state's shape, or broadcasts to it.
"""

from __future__ import annotations

from typing import Any

from ..errors import InvalidPlanError, PredictionError
from ..model import Model
from ..ops import Eval, Input, Lin, Noise, Op
from ..plan import Plan, Tape
from ..process import Process

_SHIFTED = {"data": 1.0, "noise": 0.0, "score": 0.0}
"""By how many mu a prediction of x exceeds that of w."""

MEAN = "mu"
"""Name of the input that :func:`around` adds."""

CONSTANT = "one"
"""Name of the input that is the same number in w and in x, a field of ones."""


def _offset(prediction: str) -> float:
    if prediction not in _SHIFTED:
        msg = (
            f"the {prediction!r} prediction of a shifted process has no agreed meaning in x; "
            f"accepted: {', '.join(_SHIFTED)}"
        )
        raise PredictionError(msg)
    return _SHIFTED[prediction]


def shifted(model: Model, mu: Any, prediction: str = "data") -> Model:
    """A model of x, seen as a model of ``w = x - mu``.

    Parameters
    ----------
    model : callable
        ``model(x, t)``, the data, the noise or the score of ``x_t = mu + alpha (x_0 - mu) + sigma
        eps``.
    mu : Tensor or float
        The mean, as in the state.
    prediction : str
        Which of the three it is; the answer is the same prediction of w.

    Raises
    ------
    PredictionError
        For any other prediction. A velocity is one on w already, scaled or not: see
        :func:`from_velocity`.

    Examples
    --------
    >>> seen = shifted(lambda x, t: 0.5 * x, 3.0)
    >>> seen(1.0, 0.2)  # 0.5 (1 + 3) - 3
    -1.0
    """
    offset = _offset(prediction)

    def of_w(w: Any, t: Any) -> Any:
        out = model(w + mu, t)
        return out - offset * mu if offset else out

    return of_w


def from_velocity(model: Model, process: Process, mu: Any, sigma_inf: float) -> Model:
    """The data prediction of w from the *scaled* velocity that networks of MRS are trained on.

    With ``s = sigma_inf`` and ``D`` the data prediction of w, the published target is ``v = s
    alpha eps - (sigma/s) D``: s times the usual velocity of the variance-preserving ``w/s``. So
    ``D = alpha w - (sigma/s) v``. The usual velocity ``alpha eps - sigma D`` of w itself is
    another number, unless s = 1.

    Parameters
    ----------
    model : callable
        ``model(x, t)``, the scaled velocity; t one time.
    process : Process
        A process with ``alpha^2 + (sigma/s)^2 = 1``.
    mu : Tensor or float
        The mean.
    sigma_inf : float
        s.

    Raises
    ------
    PredictionError
        If at the time asked the process is not variance-preserving after division by s.
    """

    def data(w: Any, t: Any) -> Any:
        node = process.node(float(t))
        if abs(node.alpha**2 + (node.sigma / sigma_inf) ** 2 - 1.0) > 1e-6:
            msg = (
                f"the scaled velocity needs alpha^2 + (sigma/s)^2 = 1, got alpha = {node.alpha}, "
                f"sigma = {node.sigma}, s = {sigma_inf}"
            )
            raise PredictionError(msg)
        return node.alpha * w - node.sigma / sigma_inf * model(w + mu, t)

    return data


def around(plan: Plan) -> Plan:
    """The plan of a sampler in w, written in ``x = w + mu``: one more input, named ``mu``.

    It asks the model of x and returns x; run it with ``history={"mu": mu}``, mu of the state's
    shape. History ``m-1, ...`` of a data prediction is that of x, too.

    Raises
    ------
    InvalidPlanError
        If the plan has an input ``mu`` already.
    PredictionError
        If the plan asks for a prediction without a meaning in x; see
        :func:`fokker.solvers.plan_algebra.to_prediction`.

    Examples
    --------
    >>> from fokker.solvers.grids import uniform_lam
    >>> from fokker.solvers.processes.mean_reverting import MeanReverting
    >>> from fokker.solvers.registry import get
    >>> process = MeanReverting()
    >>> plan = around(get("ddim")(process, uniform_lam(process, -1.0, 2.0).grid(1)))
    >>> [op.name for op in plan.ops if isinstance(op, Input)]
    ['x', 'mu']
    """
    if MEAN in plan.inputs:
        msg = f"the plan has an input {MEAN!r} already; it is written around a mean"
        raise InvalidPlanError(msg)
    states = {op.source for op in plan.ops if isinstance(op, Eval)}
    states |= {m.vector for m in plan.marks}
    states |= {j for name, j in plan.outputs.items() if not name.startswith("m-")}
    ends = {m.vector: m.node for m in plan.marks}
    tape, new, offset = Tape(), {}, {}
    mean: list[int] = []
    for i, op in enumerate(plan.ops):
        if not isinstance(op, Input) and not mean:
            mean.append(tape.input(MEAN, _first_node(plan)))
        new[i], offset[i] = _rewritten(tape, op, new, offset, mean, i in states)
        if i in ends:
            tape.mark(new[i], ends[i])
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def _first_node(plan: Plan) -> Any:
    return next(op.node for op in plan.ops if isinstance(op, Input))


def _rewritten(
    tape: Tape,
    op: Op,
    new: dict[int, int],
    offset: dict[int, float],
    mean: list[int],
    is_state: bool,
) -> tuple[int, float]:
    """The row in x, and by how many mu it exceeds the row in w."""
    match op:
        case Input(name=name, node=node, prediction=p):
            return tape.input(name, node, p), _offset(p) if p else float(name != CONSTANT)
        case Noise(clock=clock, a=a, b=b, kind=kind):
            return tape.noise(clock, a, b, kind), 0.0
        case Eval(source=source, node=node, prediction=p, head=head):
            return tape.eval(new[source], node, p, head), _offset(p)
        case Lin(terms=terms):
            brought = sum((w * offset[j] for j, w in terms), start=0.0)
            kept = [(new[j], w) for j, w in terms]
            if not is_state:
                return tape.lin(*kept), brought
            return tape.lin(*kept, (mean[0], 1.0 - brought)), 1.0
