"""The exact law of any Plan on Gaussian data, noise included: no sampling, no statistics.

On data N(m, C) every prediction is affine in x, so a plan is a linear program and its output is

    x_out = start x + constant + sum_i k_i xi_i,

separately in each eigendirection of C. This *response* is one row of the canonical form with the
model folded in. It is read off backwards, from the output to the leaves: K numbers a vector, where
impulses pushed forwards would carry (leaves x K). The two readings agree to rounding; backwards,
320 churned Heun steps take milliseconds and a thousand stochastic steps no memory.

Everything is NumPy float64 in the eigenbasis of C, see :mod:`.gaussian_path`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.model import SIGMA_DATA
from ..solvers.plan import Eval, Input, Lin, Noise, Plan, Weight
from ..solvers.process import Array, Node
from .distances import diagonal_kl, diagonal_w2
from .gaussian_path import Affine, Normal, backward, marginal, prediction_of, transition


@dataclass(frozen=True)
class Response:
    """``x_out = start x + constant + sum_i noises_i xi_i + sum_j past_j zeta_j`` on Gaussian data.

    Attributes
    ----------
    start, constant : Array
        Coefficient of the start and constant term, shape (K,).
    noises : Array
        Coefficients of the plan's standard normal noises, shape (cells, K), in the plan's order.
    cells : tuple of Noise
        The cells those noises belong to.
    past : Array
        Coefficients of the randomness of an exact stochastic history, shape (inputs, K); zero
        unless a warm start is taken along an SDE.
    """

    start: Array
    constant: Array
    noises: Array
    cells: tuple[Noise, ...]
    past: Array

    def law(self, x: Normal) -> Normal:
        """Law of the output for a law of the start."""
        random = (self.noises**2).sum(axis=0) + (self.past**2).sum(axis=0)
        return Normal(self.start * x.mean + self.constant, self.start**2 * x.var + random)


@dataclass(frozen=True)
class OutputLaw:
    """Exact law of a plan's output in the eigenbasis, shapes (K,), and what it is made of."""

    mean: Array
    var: Array
    response: Response


def start_node(plan: Plan) -> Node:
    """Node of the input ``x``."""
    op = plan.ops[plan.inputs["x"]] if "x" in plan.inputs else None
    if not isinstance(op, Input):
        msg = f"the plan has no input 'x', only {sorted(plan.inputs)}"
        raise AnalysisError(msg)
    return op.node


def end_node(plan: Plan) -> Node:
    """Node of the output ``x``, as marked by the plan."""
    for mark in reversed(plan.marks):
        if mark.vector == plan.outputs.get("x"):
            return mark.node
    msg = "the plan does not mark its output 'x' as the end of a step, so its level is unknown"
    raise AnalysisError(msg)


def _scalar(w: Weight) -> float:
    if isinstance(w, float):
        return w
    if np.size(w) != 1:
        msg = f"the exact law needs scalar weights, got one of shape {tuple(np.shape(w))}"
        raise AnalysisError(msg)
    return float(w)


def _model(data: Normal, op: Eval, sigma_data: float) -> Affine:
    if op.head:
        msg = f"a Gaussian law has no head {op.head!r}; the exact law covers plans with one model"
        raise AnalysisError(msg)
    return prediction_of(data, op.node, op.prediction, sigma_data)


def response(
    plan: Plan,
    data: Normal,
    *,
    output: str = "x",
    history_eta: float = 0.0,
    sigma_data: float = SIGMA_DATA,
) -> Response:
    """What an output of a plan is made of, when the model is exact on ``data``.

    Inputs ``m-1, m-2, ...`` (model outputs) and ``x-1, ...`` (states) are the exact history of the
    start: along the ODE, or along the equilibrium SDE with ``history_eta > 0``.

    Raises
    ------
    AnalysisError
        For array weights, evaluation heads, and inputs that are neither start nor history.
    """
    size = data.var.shape
    weights: dict[int, Array] = {plan.outputs[output]: np.ones(size)}
    constant = np.zeros(size)
    noises: list[tuple[Noise, Array]] = []
    inputs: list[tuple[Input, Array]] = []

    def give(j: int, w: Array) -> None:
        weights[j] = weights[j] + w if j in weights else w

    for i in range(len(plan.ops) - 1, -1, -1):
        w = weights.pop(i, None)
        match plan.ops[i]:
            case Noise() as op:
                noises.append((op, np.zeros(size) if w is None else w))
            case _ if w is None:
                continue
            case Lin(terms=terms):
                for j, coefficient in terms:
                    give(j, w * _scalar(coefficient))
            case Eval(source=source) as op:
                model = _model(data, op, sigma_data)
                give(source, w * model.gain)
                constant = constant + w * model.shift
            case Input() as op:
                inputs.append((op, w))
    start, shift, past = _fold_history(plan, data, inputs, history_eta, sigma_data)
    noises.reverse()
    table = np.stack([w for _, w in noises]) if noises else np.zeros((0, *size))
    return Response(start, constant + shift, table, tuple(op for op, _ in noises), past)


def _fold_history(
    plan: Plan, data: Normal, inputs: list[tuple[Input, Array]], eta: float, sigma_data: float
) -> tuple[Array, Array, Array]:
    """Write the weights of history inputs on the start: (start, constant, randomness)."""
    now = start_node(plan)
    start, shift = np.zeros(data.var.shape), np.zeros(data.var.shape)
    states: list[tuple[Node, Array]] = []
    for op, w in inputs:
        if op.name == "x":
            start = start + w
        elif op.name.startswith("m-") and op.prediction:
            model = prediction_of(data, op.node, op.prediction, sigma_data)
            states.append((op.node, w * model.gain))
            shift = shift + w * model.shift
        elif op.name.startswith("x-"):
            states.append((op.node, w))
        else:
            msg = f"the input {op.name!r} is neither the start 'x' nor history 'm-1', 'x-1', ..."
            raise AnalysisError(msg)
    past = []
    states.sort(key=lambda pair: pair[0].lam)  # oldest first: each is folded into the next newer
    while states:
        node, w = states.pop(0)
        newer = states[0][0] if states else now
        step = backward(data, node, newer, eta)
        shift = shift + w * step.shift
        past.append(w * np.sqrt(step.var))
        if states:
            states[0] = (newer, states[0][1] + w * step.gain)
        else:
            start = start + w * step.gain
    return start, shift, np.stack(past) if past else np.zeros((0, *data.var.shape))


def output_law(
    plan: Plan,
    data: Normal,
    start: Normal | None = None,
    *,
    history_eta: float = 0.0,
    sigma_data: float = SIGMA_DATA,
) -> OutputLaw:
    """Exact mean and variances of a plan's output on Gaussian data, in its eigenbasis.

    Parameters
    ----------
    plan : Plan
        Any plan with scalar weights, stochastic or not, of any memory.
    data : Normal
        The data law; :func:`~.gaussian_path.eigenbasis` of a Gaussian law, or ``normal(m, c2)``.
    start : Normal, optional
        Law of the input ``x``: the exact marginal at its node by default, or
        ``prior(data, process.prior_std)``.
    history_eta : float
        SDE along which exact history inputs were made; 0 is the ODE.
    """
    found = response(plan, data, history_eta=history_eta, sigma_data=sigma_data)
    law = found.law(marginal(data, start_node(plan)) if start is None else start)
    return OutputLaw(law.mean, law.var, found)


def exact_law(data: Normal, start: Normal, s: Node, t: Node, eta: float = 0.0) -> Normal:
    """Law at t of the exact ODE (``eta = 0``) or eta-SDE that had the law ``start`` at s."""
    return transition(data, s, t, eta).law(start)


class WeakError(NamedTuple):
    """Root mean square over coordinates of the error of the means, and of the variances."""

    mean: float
    var: float


def weak_error(
    plan: Plan, data: Normal, start: Normal | None = None, *, eta: float = 0.0
) -> WeakError:
    """Error of the output's moments against the exact eta-SDE from the same start law.

    Linear data cannot see nonlinear order conditions: a weak order read from here is an upper
    bound of the order of the method.
    """
    found = response(plan, data, history_eta=eta)
    return weak_error_of(found, data, start_node(plan), end_node(plan), start, eta=eta)


def weak_error_of(
    found: Response,
    data: Normal,
    begin: Node,
    end: Node,
    start: Normal | None = None,
    *,
    eta: float,
) -> WeakError:
    """:func:`weak_error` of anything whose response is known, a black box for one."""
    start = marginal(data, begin) if start is None else start
    law, truth = found.law(start), exact_law(data, start, begin, end, eta)
    return WeakError(
        float(np.sqrt(np.mean((law.mean - truth.mean) ** 2))),
        float(np.sqrt(np.mean((law.var - truth.var) ** 2))),
    )


class Parts(NamedTuple):
    """A distance and its three sources."""

    total: float
    initialisation: float
    truncation: float
    discretisation: float


@dataclass(frozen=True)
class ErrorSplit:
    """Distance from the data law to a sampler's output law, and where it comes from.

    ``w2`` obeys ``total <= initialisation + truncation + discretisation``. ``kl`` has no triangle
    inequality; each entry is KL(nearer to the truth || nearer to the output), ``inf`` where
    supports differ.
    """

    w2: Parts
    kl: Parts


def error_split(
    plan: Plan, data: Normal, start: Normal | None = None, *, eta: float = 0.0
) -> ErrorSplit:
    """Exact error of a sampler on Gaussian data, split into its three sources.

    Along the chain data law -> exact marginal at the last level (*truncation*: sampling stops
    before sigma 0) -> exact process from the start law actually used (*initialisation*: the prior
    is not the marginal, and the process forgets it only in part) -> the plan's output
    (*discretisation*). ``eta`` names the exact process that the plan approximates.
    """
    begin, end = start_node(plan), end_node(plan)
    stopped = marginal(data, end)
    moved = stopped if start is None else exact_law(data, start, begin, end, eta)
    law = output_law(plan, data, start, history_eta=eta)
    out = Normal(law.mean, law.var)
    pairs = [(data, out), (stopped, moved), (data, stopped), (moved, out)]
    return ErrorSplit(
        w2=Parts(*(diagonal_w2(*a, *b) for a, b in pairs)),
        kl=Parts(*(diagonal_kl(*a, *b) for a, b in pairs)),
    )
