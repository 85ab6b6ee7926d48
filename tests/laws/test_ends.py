"""Nothing breaks at sigma = 0 or alpha = 0: a finite sample, or one clear sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fokker.solvers.discrete import from_alphas_cumprod
from fokker.solvers.errors import FokkerError, InvalidGridError
from fokker.solvers.grids import Grid, grid_from_times
from fokker.solvers.plan import Eval, Lin, Noise
from fokker.solvers.run import run
from laws.zoo import (
    PLANS,
    PROCESSES,
    bimodal,
    bimodal_model,
    each,
    grid_of,
    starts,
    steps_of,
    variants,
)

TABLE = from_alphas_cumprod(np.cos(np.linspace(0.05, math.pi / 2, 40))[:-1] ** 2)
ZERO_SNR = from_alphas_cumprod([*np.cos(np.linspace(0.05, math.pi / 2, 40))[:-1] ** 2, 0.0])
EVERY_PROCESS = {**PROCESSES, "table": TABLE, "zero-snr": ZERO_SNR}


@each()
@pytest.mark.parametrize("process", EVERY_PROCESS.values(), ids=EVERY_PROCESS)
def test_steps_to_sigma_zero_give_a_finite_sample_on_every_process(entry, process):
    model, first = bimodal_model(process, entry.prediction), starts()
    for steps in (1, 2, 5):
        inner = grid_of(process, steps_of(entry, steps))
        grid = inner.part(min(1, entry.multiple - 1), len(inner)).with_zero()
        for options in variants(entry):
            plan = entry(process, grid, **options)
            x = run(plan, model, first * grid[0].sigma, noise=1).x
            assert torch.isfinite(x).all()
            assert not entry.semilinear or x.abs().max() < 100.0
            if len(grid) == 1 and not entry.stochastic:  # every sampler is then x = D
                d = bimodal(first * grid[0].sigma, grid[0])
                torch.testing.assert_close(x, d, rtol=1e-12, atol=1e-12)


@each([e for e in PLANS if e.order == 1 or e.weak == 1])
def test_a_first_order_step_to_sigma_zero_is_the_data_prediction(entry):
    """Also of stochastic samplers: the last step returns the mean, without noise.

    Only a method in the time t cannot know that it is the last.
    """
    process = PROCESSES["vp"]
    inner = grid_of(process, 4)
    plan = entry(process, inner.with_zero())
    saved = run(
        plan, bimodal_model(process, entry.prediction), starts(), noise=1, save_at=(4, 5)
    ).saved
    expected = bimodal(saved[4], inner[-1])
    if entry.clock != "t":
        torch.testing.assert_close(saved[5], expected, rtol=1e-12, atol=1e-12)
    else:
        assert (saved[5] - expected).abs().max() > 1e-6


@each([e for e in PLANS if e.prediction == "data"])
def test_on_the_data_prediction_a_step_to_sigma_zero_is_the_newest_model_output(entry):
    """Of any order: older outputs are infinitely far away in lam, and no noise is left."""
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 6))
    for options in variants(entry):
        plan = entry(
            process, grid.part(min(1, entry.multiple - 1), len(grid)).with_zero(), **options
        )
        last = plan.ops[plan.outputs["x"]]
        newest = max(i for i, op in enumerate(plan.ops) if isinstance(op, Eval))
        assert last == Lin(((newest, 1.0),))


NO_SIGNAL = {k: p for k, p in EVERY_PROCESS.items() if p.node(p.t_max).alpha == 0.0}


def test_processes_without_signal_at_their_noise_end_are_among_those_tried():
    assert set(NO_SIGNAL) == {"cosine", "flow", "trig", "zero-snr"}


@each()
@pytest.mark.parametrize("process", NO_SIGNAL.values(), ids=NO_SIGNAL)
@pytest.mark.parametrize("to_zero", [False, True])
def test_a_start_at_alpha_zero_samples_or_is_refused_in_one_sentence(entry, process, to_zero):
    steps = steps_of(entry, 5)
    times = np.linspace(process.t_max, 0.1, steps + (not to_zero))
    grid = grid_from_times(process, list(times))
    grid = grid.with_zero() if to_zero else grid
    if entry.prediction in ("noise", "score"):
        with pytest.raises(
            InvalidGridError, match=r"cannot start at alpha = 0 .* data prediction"
        ):
            entry(process, grid)
        return
    for options in variants(entry):
        plan = entry(process, grid, **options)
        x = run(plan, bimodal_model(process, entry.prediction), starts(), noise=1).x
        assert torch.isfinite(x).all()
        assert x.abs().max() < 20.0


@each([e for e in PLANS if e.semilinear and e.prediction == "data" and e.nfe(1) == 1])
def test_a_step_from_alpha_zero_is_the_limit_of_steps_from_ever_lower_lams(entry):
    """Stages inside an infinite step are a matter of taste; one evaluation leaves no choice."""
    process, end = PROCESSES["flow"], PROCESSES["flow"].node_at_lam(-1.0)
    model = bimodal_model(process, entry.prediction)

    def sample(begin: float, options: dict[str, Any]) -> torch.Tensor:
        grid = Grid((process.node_at_lam(begin), end))
        # one noise for all: the cells differ
        return run(entry(process, grid, **options), model, starts(), noise=_OneNoise()).x

    for options in variants(entry):
        if 0 < options.get("eta", 1.0) < 1 or options.get("correct_last"):
            continue  # e^{-eta h} is not gone at lam = -24; a corrector evaluates inside the step
        limit = sample(-math.inf, options)
        gaps = [float((sample(lam, options) - limit).abs().max()) for lam in (-8.0, -16.0, -24.0)]
        assert gaps[2] < 1e-9
        assert gaps[2] < 1e-2 * gaps[1] < 1e-4 * gaps[0] or gaps[0] < 1e-12


class _OneNoise:
    def draw(self, cell: Noise, like: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return starts(like.shape[0], seed=9).to(like)


@each()
def test_every_error_of_a_grid_that_cannot_be_is_one_sentence(entry):
    process = PROCESSES["vp"]
    good = grid_of(process, steps_of(entry, 3))
    for nodes in (good.nodes[:1], (), (good[0], good[0]), good.nodes[::-1]):
        with pytest.raises(FokkerError) as caught:
            entry(process, Grid(tuple(nodes)))
        assert "\n" not in str(caught.value)
