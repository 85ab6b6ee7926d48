"""What the laws share: the registered samplers, processes, grids, and one nonlinear model.

A law is a statement about every sampler, with no list of names: `PLANS` and `ALL` are what the
registry holds. Where a law does not cover a sampler, a declared property of it says so (its kind,
`semilinear`, `clock`, `stochastic`), and the exception is tested from the other side.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.grids import Grid, GridMap, uniform_lam, wavy_lam
from fokker.solvers.model import Model, conversion
from fokker.solvers.plan import Input, Noise, Plan, interpret
from fokker.solvers.process import Array, Node, Process
from fokker.solvers.processes.mean_reverting import MeanReverting
from fokker.solvers.registry import Sampler, samplers
from fokker.solvers.samplers.resshift import ResShift
from fokker.solvers.schedules import (
    EDM,
    VE,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPCosine,
    VPLinear,
)

PROCESSES: dict[str, Process] = {
    "vp": VPLinear(),
    "cosine": VPCosine(),
    "subvp": SubVP(),
    "ve": VE(),
    "edm": EDM(),
    "flow": RectifiedFlow(),
    "trig": Trigonometric(),
    "reverting": MeanReverting(),
    "resshift": ResShift(),
}
GRIDS = {"uniform": uniform_lam, "wavy": wavy_lam}

ALL = samplers()
PLANS = samplers("plan")

_TRIED: dict[str, tuple[Any, ...]] = {
    "eta": (0.0, 0.3, 1.0, 2.5),
    "eta_ddim": (0.0, 0.5, 1.0),
    "churn": (0.0, 1.0, 40.0),
    "final": ("full", "lower"),
    "correct_last": (False, True),
}


def each(entries: Iterable[Sampler] = PLANS) -> pytest.MarkDecorator:
    """Parametrise a test by samplers, named in the test's id."""
    entries = tuple(entries)
    return pytest.mark.parametrize("entry", entries, ids=[e.name for e in entries])


def variants(entry: Sampler) -> list[dict[str, Any]]:
    """Every combination of the common options that this sampler has."""
    names = [n for n in inspect.signature(entry.build).parameters if n in _TRIED]
    values = itertools.product(*(_TRIED[n] for n in names))
    return [dict(zip(names, v, strict=True)) for v in values]


def steps_of(entry: Sampler, steps: int) -> int:
    """The least admissible number of steps from ``steps`` on."""
    return -(-steps // entry.multiple) * entry.multiple


def grid_of(
    process: Process, steps: int, kind: str = "wavy", lams: tuple[float, float] = (-1.5, 1.5)
) -> Grid:
    """A grid in lam that no sampler finds special (wavy), or that most expect (uniform)."""
    return grid_map(process, kind, lams).grid(steps)


def grid_map(
    process: Process, kind: str = "wavy", lams: tuple[float, float] = (-1.5, 1.5)
) -> GridMap:
    """The map behind `grid_of`, with history."""
    return GRIDS[kind](process, *lams)


def warm(entry: Sampler, maps: GridMap, steps: int, **options: Any) -> Plan:
    """The plan with exact history given as inputs, where the sampler has any."""
    if entry.history:
        options["history"] = maps.history(steps, entry.history)
    return entry(maps.process, maps.grid(steps), **options)


MODES = (0.9, 0.5, 1.3)
WIDTHS = (0.35, 0.6, 0.2)


def bimodal(x: Tensor, node: Node, shift: float = 0.0, unit: float = 1.0) -> Tensor:
    """Data prediction of independent coordinates ``unit (+-mode + width N(0, 1)) + shift``.

    With ``v = alpha^2 w^2 + sigma^2``: ``D = (alpha w^2 x + sigma^2 m tanh(alpha m x/v))/v``. It
    is written out here so that the laws lean on no other room.
    """
    m = unit * torch.tensor(MODES, dtype=x.dtype)
    w2 = unit**2 * torch.tensor(WIDTHS, dtype=x.dtype) ** 2
    a, s2 = node.alpha, node.sigma**2
    y = x - a * shift
    v = a * a * w2 + s2
    return (a * w2 * y + s2 * m * torch.tanh(a * m * y / v)) / v + shift


def bimodal_model(process: Process, prediction: str, **law: float) -> Model:
    """The bimodal law as a model of any prediction; t is one time, or one for each sample."""

    def model(x: Tensor, t: Any) -> Tensor:
        if isinstance(t, Tensor) and t.ndim:
            return torch.cat([model(row, s) for row, s in zip(x.split(1), t, strict=True)])
        node = process.node(float(t))
        a, b = conversion("data", prediction, node)
        return a * x + b * bimodal(x, node, **law)

    return model


def starts(count: int = 6, seed: int = 0) -> Tensor:
    """Starts in units of alpha, shape (count, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(MODES), generator=generator, dtype=torch.float64)


class CallOrderNoise:
    """Noise by order of calls, so that two plans on different levels see the same numbers."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:  # noqa: ARG002
        """The next field."""
        return torch.randn(like.shape, generator=self._generator, dtype=torch.float64).to(like)


def constant_data_response(plan: Plan) -> Mapping[str, Array]:
    """Outputs of a plan where ``D = d`` whatever x: coefficients ``(x, d, noise 1, ...)``.

    History inputs are outputs of the same model at their node, along the trajectory of x = (1, 0).
    """
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    unit = np.eye(2 + len(noises))
    start = next(op.node for op in plan.ops if isinstance(op, Input) and op.name == "x")
    # on the flow of constant data (x - alpha d)/sigma is constant
    eps = (unit[0] - start.alpha * unit[1]) / start.sigma

    def predict(x: Array, node: Node, prediction: str) -> Array:
        a, b = conversion("data", prediction, node)
        return a * x + b * unit[1]

    inputs = {"x": unit[0]}
    for op in plan.ops:
        if isinstance(op, Input) and op.name != "x":
            earlier = op.node.alpha * unit[1] + op.node.sigma * eps
            inputs[op.name] = predict(earlier, op.node, op.prediction or "data")
    return interpret(
        plan,
        inputs=inputs,
        evaluate=lambda _, op, x: predict(x, op.node, op.prediction),
        draw=lambda row, _: unit[2 + noises.index(row)],
    )
