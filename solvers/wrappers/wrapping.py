"""What wrappers of a model share: levels of noise by sample, finite answers, a plan as a stepper.

A wrapper takes a model and gives a model: thresholding, guidance, a shifted time label. It changes
what a sampler is told, never what the sampler does with it, so every sampler can be wrapped; a
known sampler around a wrapped model is registered as a stepper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..batch import column
from ..checks import bad_samples
from ..errors import NonFiniteError, ShapeError
from ..model import SIGMA_DATA, Model, conversion
from ..noise import NoiseSource
from ..plan import Plan
from ..process import Node, Process
from ..run import run
from ..stepper import StepperRun


def nodes_of(process: Process, t: Any, x: Tensor) -> list[Node]:
    """The level of each sample, or one level for all: t is a float, scalar tensor or (B,).

    Raises
    ------
    ShapeError
        If t is neither scalar nor (B,).
    """
    if isinstance(t, Tensor) and t.ndim:
        if tuple(t.shape) != (len(x),):
            msg = f"t must be a scalar or of shape ({len(x)},), got {tuple(t.shape)}"
            raise ShapeError(msg)
        return [process.node(s) for s in t.detach().cpu().tolist()]
    return [process.node(float(t))]


def converted(
    value: Tensor,
    x: Tensor,
    nodes: list[Node],
    source: str,
    target: str,
    sigma_data: float = SIGMA_DATA,
) -> Tensor:
    """``value`` of the prediction ``source`` at x, turned into ``target``, sample by sample."""
    if source == target:
        return value
    pairs = [conversion(source, target, n, sigma_data) for n in nodes]
    if len(pairs) == 1:
        a, b = pairs[0]
        return value if (a, b) == (0.0, 1.0) else a * x + b * value
    both = torch.tensor(pairs, dtype=torch.float64)
    return column(both[:, 0], x) * x + column(both[:, 1], x) * value


def on_data(
    model: Model, process: Process, change: Callable[[Tensor], Tensor], prediction: str = "data"
) -> Model:
    """The model with its data prediction D replaced by ``change(D)``, asked as before.

    For a model of another prediction D is had from it by conversion, and the answer is converted
    back; that needs ``alpha > 0``.
    """

    def changed(x: Tensor, t: Any) -> Tensor:
        nodes = nodes_of(process, t, x)
        data = converted(model(x, t), x, nodes, prediction, "data")
        return converted(change(data), x, nodes, "data", prediction)

    return changed


def ask(model: Model, x: Tensor, node: Node, step: int) -> Tensor:
    """The model's answer in the dtype of the state.

    Raises
    ------
    NonFiniteError
        Naming time and samples, if the answer is not finite.
    """
    out = model(x, node.t)
    bad = bad_samples(out)
    if bool(bad.any()):
        ids = bad.nonzero().flatten().tolist()
        msg = f"the model's output is not finite at t = {node.t} (step {step}), samples {ids[:8]}"
        raise NonFiniteError(msg, step=step, t=node.t, sample_ids=ids)
    return out.to(x.dtype)


def run_plan(plan: Plan, model: Model, x: Tensor, noise: Any = None) -> StepperRun:
    """A plan around a wrapped model, reported as a stepper reports."""
    source: NoiseSource | int | None = noise
    return StepperRun(run(plan, model, x, noise=source).x, plan.nfe, len(plan.marks), 0)
