"""The weak order on a nonlinear law, against its exact marginal, by quadrature: no Monte Carlo.

Started from the exact marginal of a law, a sampler that keeps the marginals in the limit (every
eta-SDE does, churn and time travel do) must arrive at the exact marginal. Its weak error is

    |(E f(X_N) - E f(x_end))_f|,     f = z, z^2, sin 2z, cos 3z  with  z = (x - mean)/std,

with both expectations numbers: the first by :func:`~.backward.expectations`, the second by the
trapezoidal rule, which has no error on decaying smooth functions. Exact history before the start
is drawn by the forward process, which is what the reverse SDE with eta = 1 is backwards.

Here the law bends as much as it likes, and a sampler need not be a plan; :mod:`.weak_expansion`
has no limit on live vectors, and no resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ...solvers.errors import AnalysisError
from ...solvers.grids import GridMap
from ...solvers.model import Model
from ...solvers.process import Array, Node
from ...solvers.registry import Sampler
from ..paired import FlowProblem
from .backward import Resolution, Slot, Step, expectations, grids
from .chains import Raw, asked, box_chain, cut, state_slot
from .memory import placed

SMALLER = Resolution(state=140, noise=(1, 7, 6, 5, 4))
"""Enough for chains with memory, whose tables are large."""

SCOUTS = 4096
"""Paths that show how far memories reach."""

MOST_VECTORS = 3
"""Live vectors between two steps that quadrature covers in seconds."""


def density(law, node: Node, x: Array) -> Array:
    """The exact marginal of a law of one dimension at a level."""
    at = torch.from_numpy(np.asarray(x, float)).reshape(-1, 1)
    return np.exp(law.log_density(at, node.alpha, node.sigma).numpy())


def tests(law, node: Node, x: Array) -> list[Array]:
    """The test functions, of the standardised state."""
    slot = state_slot(law, node, 1.0)
    z = (x - 0.5 * (slot.low + slot.high)) / (0.5 * (slot.high - slot.low))
    return [z, z * z, np.sin(2 * z), np.cos(3 * z)]


def mean(law, node: Node, values: Array, slot: Slot) -> Array:
    """``E values(x)`` under the marginal; values on equal steps of the slot, (nodes, ...)."""
    x = np.linspace(slot.low, slot.high, len(values))
    weights = density(law, node, x)
    return np.asarray(np.tensordot(weights / weights.sum(), values, 1), float)


def _history(model: Model, start: Node, nodes: Sequence[Node]) -> Raw:
    """Exact history of the reverse SDE: ``x_{-1}`` from ``x_0`` by the forward process, and on."""

    def apply(ins: Sequence[Array], noises: Sequence[Array]) -> list[Array]:
        x, newer, out = ins[0], start, [ins[0]]
        for node, xi in zip(nodes, noises, strict=True):
            ratio = node.alpha / newer.alpha
            std = node.sigma * math.sqrt(-math.expm1(2 * (node.lam - newer.lam)))
            x, newer = ratio * x + std * xi, node
            out.append(asked(model, x, node.t))
        return out

    return Raw(start, start, len(nodes), apply)


def chain(
    sampler: Sampler, problem: FlowProblem, maps: GridMap, steps: int, *, warm: bool
) -> list[Step]:
    """The sampler on a grid of so many steps as a Markov chain in one coordinate.

    Raises
    ------
    AnalysisError
        If it is no chain of few vectors, or a warm start of another SDE than eta = 1 is asked.
    """
    law, model, grid = problem.law, problem.model(sampler.prediction), maps.grid(steps)
    if sampler.kind != "plan":
        raws = box_chain(sampler, model, problem.process, grid)
    elif not (warm and sampler.history):
        raws = cut(sampler(problem.process, grid), model)
    elif sampler.sde_eta != 1.0:
        msg = f"exact history is known for eta = 1 only, not for {sampler.sde_eta}"
        raise AnalysisError(msg)
    else:
        nodes = maps.history(steps, sampler.history)
        raws = cut(sampler(problem.process, grid, history=nodes), model)
        raws = [_history(model, grid[0], nodes), *raws]
    starts = replace(problem, batch=SCOUTS).starts().numpy()[:, 0]
    return placed(raws, law, model, [starts])


def weak_gap(
    found: Sequence[Step], problem: FlowProblem, size: Resolution, bar_size: Resolution | None
) -> tuple[Array, float]:
    """``E f(X_N) - E f(x_end)`` for each test function, and the error bar of the quadrature."""
    begin, end = problem.ends()
    law, slot = problem.law, state_slot(problem.law, end)
    x = grids([slot], Resolution(2000))[0]
    truth = mean(law, end, np.stack(tests(law, end, x), 1), slot)

    def seen(size: Resolution) -> Array:
        values = expectations(found, partial(tests, law, end), size)
        return mean(law, begin, values, found[0].ins[0])

    value = seen(size)
    bar = float(np.linalg.norm(value - seen(bar_size))) if bar_size else 0.0
    return value - truth, bar


def size_for(found: Sequence[Step]) -> Resolution:
    """The resolution of a chain: less for one with memory.

    Raises
    ------
    AnalysisError
        For more than two live vectors: their tables would be large.
    """
    most = max(len(step.ins) for step in found)
    if most > MOST_VECTORS:
        msg = f"{most} vectors are live between two steps; quadrature covers {MOST_VECTORS}"
        raise AnalysisError(msg)
    return SMALLER if most > 1 else Resolution()


def weak_error(
    sampler: Sampler, problem: FlowProblem, maps: GridMap, steps: int, *, warm: bool = False
) -> tuple[float, float]:
    """Weak error on a nonlinear law by quadrature, and its error bar.

    Raises
    ------
    AnalysisError
        If the sampler is no chain of one or two live vectors.
    """
    found = chain(sampler, problem, maps, steps, warm=warm)
    size = size_for(found)
    value, bar = weak_gap(found, problem, size, size.coarser())
    return float(np.linalg.norm(value)), bar
