"""A sample is a function of its start, its seed and its id, whatever happens around it.

Samplers of every kind: its batch does not matter, nor what the model does with its tensors. Plans:
one path serves all nested grids.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fokker.analysis.paired import sample
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.plan import Noise, clock_measure
from fokker.solvers.run import run
from laws.zoo import (
    ALL,
    PROCESSES,
    bimodal_model,
    each,
    grid_map,
    grid_of,
    starts,
    steps_of,
)

SEED = 3


class Recorder:
    """A source of noise that remembers what it gave."""

    def __init__(self, source: CellNoise) -> None:
        self.source, self.sample_ids = source, source.sample_ids
        self.given: list[Tensor] = []

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        self.given.append(self.source.draw(cell, like))
        return self.given[-1]


@each(ALL)
def test_a_sample_does_not_depend_on_its_batch(entry):
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 4))
    model, x = bimodal_model(process, entry.prediction), starts(5)
    whole = Recorder(CellNoise(SEED))
    truth = sample(entry, model, process, grid, x, noise=whole)
    for ids in ([4, 1], [2], [3, 0, 1, 2, 4]):
        part = Recorder(CellNoise(SEED, ids))
        got = sample(entry, model, process, grid, x[ids], noise=part)
        torch.testing.assert_close(got, truth[ids], rtol=1e-12, atol=1e-12)
        assert len(part.given) == len(whole.given) > 0 or not entry.stochastic
        for a, b in zip(part.given, whole.given, strict=True):
            assert torch.equal(a, b[ids])  # bit for bit


@each([e for e in ALL if e.stochastic])
def test_two_seeds_and_two_samples_have_their_own_noise(entry):
    """The negative control of the law above."""
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 4))
    model, x = bimodal_model(process, entry.prediction), starts(1).repeat(2, 1)
    first = sample(entry, model, process, grid, x, noise=CellNoise(SEED))
    other = sample(entry, model, process, grid, x, noise=CellNoise(SEED + 2**32))
    assert (first[0] - first[1]).abs().min() > 1e-9
    assert (first - other).abs().min() > 1e-9


@each()
def test_a_model_may_return_its_input_and_keep_what_it_was_given(entry):
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 6))
    plan, x = entry(process, grid), starts()
    kept: list[tuple[Tensor, Tensor]] = []

    def copy(x: Tensor, _: float) -> Tensor:
        return x.clone()

    def same(x: Tensor, _: float) -> Tensor:
        return x

    def view(x: Tensor, _: float) -> Tensor:
        return x.view(x.shape)

    def keeps(x: Tensor, _: float) -> Tensor:
        kept.append((x, x.clone()))
        return x

    truth = run(plan, copy, x, noise=SEED).x
    for model in (same, view, keeps):
        assert torch.equal(run(plan, model, x, noise=SEED).x, truth)
        assert torch.equal(x, starts())
    assert all(torch.equal(given, then) for given, then in kept)


@pytest.mark.parametrize("clock", ["lam", "snr^1.0", "rho2", "t"])
def test_the_noise_of_a_coarse_cell_is_the_sum_of_its_fine_ones(clock):
    fine = grid_map(PROCESSES["vp"]).grid(8)
    edges = [node.t if clock == "t" else node.lam for node in fine.nodes]
    path, like = GridPath(edges, SEED), starts(4)

    def increment(i: int, j: int) -> Tensor:
        scale = math.sqrt(clock_measure(clock, edges[i], edges[j]))
        return scale * path.draw(Noise(clock, edges[i], edges[j]), like)

    for i, j in ((0, 2), (0, 8), (4, 8), (2, 4)):
        parts = sum((increment(k, k + 1) for k in range(i, j)), torch.zeros_like(like))
        torch.testing.assert_close(increment(i, j), parts, rtol=1e-12, atol=1e-12)
    cells = torch.stack([path.draw(Noise(clock, a, b), like) for a, b in pairwise(edges)])
    assert 0.6 < cells.std() < 1.4  # 96 normals, standard error 0.072: false alarm rate 1e-7
