"""What wrappers of a model share: answers in terms of data, finite ones, a plan as a stepper.

A wrapper takes a model and gives a model: thresholding, guidance, a shifted time label. It changes
what a sampler is told, never what the sampler does with it, so every sampler can be wrapped; a
known sampler around a wrapped model is registered as a stepper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..asking import asked
from ..checks import check_like
from ..model import Model, by_rows
from ..model import converted as converted
from ..model import nodes_of as nodes_of
from ..noise import NoiseSource
from ..plan import Plan
from ..process import Node, Process
from ..run import run
from ..stepper import StepperRun


def on_data(
    model: Model, process: Process, change: Callable[[Tensor], Tensor], prediction: str = "data"
) -> Model:
    """The model with its data prediction D replaced by ``change(D)``, asked as before.

    For a model of another prediction D is had from it by conversion, and the answer is converted
    back; that needs ``alpha > 0``. Numbers that are not finite stay as they are, for the run to
    find them: a change that clips would hide them.
    """

    def with_rows(of: Model) -> Model:
        def changed(x: Tensor, t: Any) -> Tensor:
            nodes = nodes_of(process, t, x)
            out = of(x, t)
            check_like(out, x, "the model's output", same_dtype=False)
            data = converted(out.to(x.dtype), x, nodes, prediction, "data")
            data = torch.where(data.isfinite(), change(data), data)
            return converted(data, x, nodes, "data", prediction)

        return changed

    return by_rows(with_rows, model)


def ask(model: Model, x: Tensor, node: Node, step: int) -> Tensor:
    """The model's answer at a level, guarded; see :func:`.asking.asked`."""
    return asked(model, x, node.t, step=step)


def run_plan(plan: Plan, model: Model, x: Tensor, noise: Any = None) -> StepperRun:
    """A plan around a wrapped model, reported as a stepper reports."""
    source: NoiseSource | int | None = noise
    return StepperRun(run(plan, model, x, noise=source).x, plan.nfe, len(plan.marks), 0)
