"""Paired error: a sampler and the exact flow, from the same starts, over the same levels.

For a law with an exact probability-flow map the error of a deterministic sampler at its last node
is known sample by sample, without any statistics. Its root mean square over a fixed batch of
starts is the error whose order is certified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..solvers.grids import Grid, GridMap
from ..solvers.model import Model
from ..solvers.process import Node, Process
from ..solvers.registry import Sampler
from ..solvers.run import run
from ..toy_models.law import exact_model
from .order import HIGH_ORDER, Observation, refine


def rms(x: Tensor) -> float:
    """Root mean square over all entries, in float64."""
    return float(x.to(torch.float64).square().mean().sqrt())


@dataclass(frozen=True)
class FlowProblem:
    """A law with an exact flow, a process, and a stretch of lam on which order is measured.

    ``starts`` are drawn once from the exact law at ``lam_start``; ``truth`` is their exact image
    at ``lam_end``. The stretch of cold starts begins where the data prediction is not flat.
    """

    name: str
    law: Any
    process: Process
    lam_start: float
    lam_end: float
    batch: int = 32
    seed: int = 0

    def ends(self) -> tuple[Node, Node]:
        """Nodes at ``lam_start`` and ``lam_end``."""
        return self.process.node_at_lam(self.lam_start), self.process.node_at_lam(self.lam_end)

    def starts(self) -> Tensor:
        """The fixed batch of starts, shape (batch, d), float64."""
        node, _ = self.ends()
        x0 = self.law.sample(self.batch, seed=self.seed)
        generator = torch.Generator().manual_seed(self.seed + 1)
        eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
        return node.alpha * x0 + node.sigma * eps

    def flow(self, x: Tensor, begin: Node, end: Node) -> Tensor:
        """Exact probability-flow map."""
        return self.law.flow(x, (begin.alpha, begin.sigma), (end.alpha, end.sigma))

    def model(self, prediction: str) -> Model:
        """The exact model of this law on this process."""
        return exact_model(self.law, self.process, prediction)


def exact_history(
    problem: FlowProblem, x: Tensor, nodes: tuple[Node, ...], prediction: str
) -> dict[str, Tensor]:
    """Exact outputs at earlier nodes of the exact trajectory: inputs ``m-1``, ``m-2``, ..."""
    begin, _ = problem.ends()
    model = problem.model(prediction)
    out = {}
    for j, node in enumerate(nodes, 1):
        out[f"m-{j}"] = model(problem.flow(x, begin, node), node.t)
    return out


def sample(
    sampler: Sampler, model: Model, process: Process, grid: Grid, x: Tensor, **options: Any
) -> Tensor:
    """Run a sampler of any kind on a grid: a plan through the executor, others as they are."""
    noise = options.pop("noise", None)
    if sampler.kind == "plan":
        return run(sampler(process, grid, **options), model, x, noise=noise).x
    return sampler.build(model, process, grid, x, noise=noise, **{**sampler.options, **options}).x


def paired_error(
    sampler: Sampler, problem: FlowProblem, grids: GridMap, *, warm: bool
) -> Callable[[int], float]:
    """``steps -> RMS paired error`` of a deterministic sampler on a nested family of grids."""
    x = problem.starts()
    begin, end = problem.ends()
    truth = problem.flow(x, begin, end)
    model = problem.model(sampler.prediction)

    def error(steps: int) -> float:
        grid = grids.grid(steps)
        if not (warm and sampler.history and sampler.kind == "plan"):
            return rms(sample(sampler, model, problem.process, grid, x) - truth)
        nodes = grids.history(steps, sampler.history)
        plan = sampler(problem.process, grid, history=nodes)
        history = exact_history(problem, x, nodes, sampler.prediction)
        return rms(run(plan, model, x, history=history).x - truth)

    return error


def rounding_floor(problem: FlowProblem) -> float:
    """``50 eps`` times the size of the truth and the amplification of the flow, at least 1."""
    x = problem.starts()
    begin, end = problem.ends()
    truth = problem.flow(x, begin, end)
    step = 1e-6 * x.abs().mean()
    moved = problem.flow(x + step, begin, end)
    amplification = max(1.0, float((moved - truth).abs().max() / step))
    return 50 * 2.2e-16 * max(1.0, float(truth.abs().max())) * amplification


def observed_order(
    sampler: Sampler, problem: FlowProblem, grids: GridMap, *, warm: bool, claim: float
) -> Observation:
    """Observed order of a deterministic sampler against the exact flow."""
    error = paired_error(sampler, problem, grids, warm=warm)
    floor = rounding_floor(problem)
    if claim >= HIGH_ORDER:  # few octaves: come closer to the floor
        return refine(error, claim=claim, floor=floor / 5, first=4 * sampler.multiple)
    return refine(error, claim=claim, floor=floor, first=8 * sampler.multiple)
