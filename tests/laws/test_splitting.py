"""Cutting a plan after a step changes nothing: not the algebra, not the bits, not the count."""

from __future__ import annotations

import torch

from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Plan
from fokker.solvers.plan_algebra import compose, distance
from fokker.solvers.plan_split import pieces, split
from fokker.solvers.registry import Sampler
from fokker.solvers.run import run
from laws.zoo import PROCESSES, bimodal_model, each, grid_of, starts, steps_of

PROCESS = PROCESSES["vp"]


def _plan(entry: Sampler) -> Plan:
    return entry(PROCESS, grid_of(PROCESS, steps_of(entry, 4)))


@each()
def test_a_run_in_two_parts_is_the_whole_run_bit_for_bit(entry: Sampler):
    plan = _plan(entry)
    model = bimodal_model(PROCESS, entry.prediction)
    noise = CellNoise(3)
    x = grid_of(PROCESS, 4)[0].alpha * starts()
    whole = run(plan, model, x, noise=noise, save_at=range(len(plan.marks) + 1))
    for step in range(1, len(plan.marks)):
        head, tail = split(plan, step)
        asked: list[float] = []

        def counted(x: torch.Tensor, t: float, asked: list[float] = asked) -> torch.Tensor:
            asked.append(t)
            return model(x, t)

        middle = run(head, counted, x, noise=noise)
        assert torch.equal(middle.x, whole.saved[step])
        end = run(tail, counted, middle.x, history=middle.outputs, noise=noise)
        assert set(end.outputs) == set(whole.outputs)
        assert all(torch.equal(end.outputs[k], v) for k, v in whole.outputs.items())
        assert len(asked) == plan.nfe == head.nfe + tail.nfe


@each()
def test_the_two_parts_compose_to_the_plan(entry: Sampler):
    plan = _plan(entry)
    for step in range(1, len(plan.marks)):
        head, tail = split(plan, step)
        whole = compose(head, tail)
        assert distance(whole, plan) == 0.0
        assert whole.marks[-1].step == plan.marks[-1].step
        assert max(head.peak_live, tail.peak_live) <= plan.peak_live + 1


@each()
def test_many_pieces_compose_to_the_plan(entry: Sampler):
    plan = _plan(entry)
    first, *rest = pieces(plan, 1)
    for piece in rest:
        first = compose(first, piece)
    assert distance(first, plan) == 0.0
