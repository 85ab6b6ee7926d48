"""Denoising MCMC: the joint law is kept, modes are visited, and what the public code keeps.

A mixture of 0.3 and 0.7 whose modes are 6 apart. Statistics of independent chains at fixed seeds,
bounds of 5 standard errors (false alarms below 1e-6 each); Langevin dynamics at the least level,
which never leaves its mode, is the negative control.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidGridError, InvalidPlanError, NonFiniteError, ShapeError
from fokker.solvers.langevin.denoising_mcmc import denoising_mcmc
from fokker.solvers.langevin.langevin_gibbs import Chain, LangevinGibbs, chain, drawn_levels
from fokker.solvers.model import Model
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise
from fokker.solvers.process import Node, Process
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models import GaussianMixture, exact_model


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LAW = GaussianMixture(
    rows([0.3, 0.7])[0], rows([-3.0, 0.0], [3.0, 0.0]), rows([0.09, 0.09], [0.64, 0.64])
)
RHOS = np.exp(np.linspace(math.log(0.1), math.log(8.0), 7))
COUNT = 800


def nodes_on(process: Process) -> list[Node]:
    return [process.node_at_lam(-math.log(rho)) for rho in RHOS]


def logits(y: Tensor) -> Tensor:
    """Exact: a uniform prior of the levels."""
    return torch.stack([LAW.log_density(y, 1.0, float(rho)) for rho in RHOS], 1)


def kernel(process: Process | None = None, model: Model | None = None, **options) -> LangevinGibbs:
    process = process or EDM()
    model = model or exact_model(LAW, process, "noise")
    return LangevinGibbs(model, nodes_on(process), logits, **options)


def joint(count: int, seed: int = 0) -> Chain:
    """Draws of the joint law itself."""
    rng = np.random.default_rng(seed)
    level = torch.from_numpy(rng.integers(0, len(RHOS), count))
    noise = torch.from_numpy(rng.standard_normal((count, 2)))
    return Chain(
        LAW.sample(count, seed=seed) + torch.from_numpy(RHOS)[level][:, None] * noise, level
    )


def in_left(count: int) -> Chain:
    """All chains at the centre of the left mode, at the least level."""
    return Chain(LAW.means[:1].repeat(count, 1), torch.zeros(count, dtype=torch.long))


def mass(state: Chain) -> tuple[float, float]:
    """Mass of the left mode given the states at their levels, and its standard error."""
    sigma = torch.from_numpy(RHOS)[state.level]
    left = LAW.responsibilities(state.y, torch.ones_like(sigma), sigma)[:, 0]
    return float(left.mean()), float(left.std()) / math.sqrt(len(left))


def last(kernel_: LangevinGibbs, start: Chain, sweeps: int, seed: int = 0) -> Chain:
    *_, state = chain(kernel_, start, sweeps, seed)
    return state


def test_levels_are_drawn_with_the_probabilities_of_their_logits():
    p = torch.tensor([0.1, 0.6, 0.05, 0.25], dtype=torch.float64)
    field = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0)).double()
    found = torch.bincount(drawn_levels(p.log().expand(40_000, 4) + 7.0, field), minlength=4)
    error = (p * (1 - p) / 40_000).sqrt()
    assert bool(((found / 40_000 - p).abs() < 5 * error).all())


def test_from_one_mode_the_adjusted_chain_finds_the_masses_and_uniform_levels():
    state = last(kernel(adjusted=True), in_left(400), 100)
    found, error = mass(state)
    assert abs(found - 0.3) < 5 * error < 0.15
    shares = torch.bincount(state.level, minlength=len(RHOS)) / 400
    wanted = 1 / len(RHOS)
    assert float((shares - wanted).abs().max()) < 5 * math.sqrt(wanted * (1 - wanted) / 400)


def test_langevin_dynamics_at_one_level_never_leaves_its_mode():
    """The negative control: the same start, steps and number of sweeps."""
    single = LangevinGibbs(
        exact_model(LAW, EDM(), "noise"), nodes_on(EDM())[:1], lambda y: logits(y)[:, :1], step=0.5
    )
    assert mass(last(single, in_left(200), 110))[0] > 0.999


def test_taking_the_likeliest_level_is_no_gibbs_step():
    """From the joint law the chain of the public code leaves it: levels are no longer uniform."""
    start = joint(COUNT)
    kept = last(kernel(adjusted=True), start, 30)
    other = last(kernel(adjusted=True, levels="likeliest"), start, 30)
    wanted = 1 / len(RHOS)
    bound = 5 * math.sqrt(wanted * (1 - wanted) / COUNT)

    def off(state: Chain) -> float:
        shares = torch.bincount(state.level, minlength=len(RHOS)) / COUNT
        return float((shares - wanted).abs().max())

    assert off(kept) < bound < 2 * bound < off(other)


def test_the_unadjusted_chain_is_biased_towards_more_noise():
    """ULA's kept variance is too large at each level, so levels of more noise become likelier."""
    states = [last(kernel(adjusted=a, step=1.0), joint(COUNT), 40) for a in (True, False)]
    means = [float(s.level.double().mean()) for s in states]
    error = 2.0 / math.sqrt(COUNT)  # of the mean of a uniform level 0 .. 6
    assert abs(means[0] - 3.0) < 5 * error
    assert means[1] > 3.0 + 5 * error


def test_samples_have_the_masses_and_cost_what_they_say():
    calls = []
    model = exact_model(LAW, EDM(), "noise")

    def counted(x: Tensor, t) -> Tensor:
        calls.append(len(x))
        return model(x, t)

    got = denoising_mcmc(
        kernel(model=counted, adjusted=True), EDM(), joint(COUNT), noise=1, rounds=2, skip=3,
        steps=8, sampler="dpmpp_2m",
    )  # fmt: skip
    assert tuple(got.x.shape) == (2, COUNT, 2)
    left = LAW.responsibilities(got.x[-1], 1.0, 0.0)[:, 0]
    assert abs(float(left.mean()) - 0.3) < 5 * float(left.std()) / math.sqrt(COUNT)
    assert got.nfe == pytest.approx(sum(calls) / (2 * COUNT))
    assert 6 + 1 <= got.nfe <= 6 + 8


def test_the_least_noisy_state_of_a_round_is_cheap_to_denoise():
    start = joint(300)
    picked = [
        denoising_mcmc(kernel(), EDM(), start, noise=1, skip=8, pick=pick)
        for pick in ("last", "least")
    ]
    assert float(picked[1].level.double().mean()) < float(picked[0].level.double().mean()) - 0.5
    torch.testing.assert_close(picked[0].last, picked[1].last)  # the chain is the same


def test_what_is_denoised_comes_out_of_the_sweeps_and_not_from_where_they_began():
    """A start of least noise beats all sweeps: it would be what comes out, however long they are.

    With one sweep a round there is nothing to choose from.
    """
    start = in_left(40)
    picked = [
        denoising_mcmc(kernel(), EDM(), start, noise=1, rounds=3, skip=1, pick=pick)
        for pick in ("last", "least")
    ]
    torch.testing.assert_close(picked[1].x, picked[0].x, rtol=0, atol=0)
    torch.testing.assert_close(picked[1].last, picked[0].last)
    longer = denoising_mcmc(kernel(), EDM(), start, noise=1, rounds=2, skip=3, pick="least")
    assert len(longer.x.flatten(0, 1).unique(dim=0)) == 80  # no sample comes twice


def test_the_process_does_not_matter_and_neither_does_the_batch():
    start = joint(6)
    ve = denoising_mcmc(kernel(adjusted=True), EDM(), start, noise=CellNoise(2), skip=4)
    vp = VPLinear()
    same = denoising_mcmc(kernel(vp, adjusted=True), vp, start, noise=CellNoise(2), skip=4)
    torch.testing.assert_close(same.x, ve.x, rtol=1e-7, atol=1e-7)
    part = Chain(start.y[[4, 1]], start.level[[4, 1]])
    got = denoising_mcmc(kernel(adjusted=True), EDM(), part, noise=CellNoise(2, [4, 1]), skip=4)
    torch.testing.assert_close(got.x, ve.x[:, [4, 1]], rtol=1e-10, atol=1e-10)
    noisy = [
        denoising_mcmc(kernel(), EDM(), part, noise=CellNoise(2, ids), skip=2, sampler="ancestral")
        for ids in ([4, 1], [1, 4])
    ]
    assert float((noisy[0].x - noisy[1].x).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"step": 0.0}, InvalidPlanError, "step must be a positive"),
        ({"levels": "argmax"}, InvalidPlanError, "levels must be in"),
    ],
)
def test_kernels_that_are_none_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        kernel(**options)


def test_bad_chains_are_one_sentence():
    start, model = joint(4), exact_model(LAW, EDM(), "noise")
    with pytest.raises(InvalidGridError, match="at least one"):
        LangevinGibbs(model, [], logits)
    with pytest.raises(InvalidPlanError, match="give noise"):
        denoising_mcmc(kernel(), EDM(), start, noise=None)
    with pytest.raises(InvalidPlanError, match="pick must be in"):
        denoising_mcmc(kernel(), EDM(), start, noise=0, pick="first")
    with pytest.raises(InvalidPlanError, match="whole number"):
        denoising_mcmc(kernel(), EDM(), start, noise=0, skip=0)
    for level in (start.level + 7, start.level.double(), start.level[:2]):
        with pytest.raises(ShapeError, match=r"whole numbers 0 .. 6"):
            last(kernel(), Chain(start.y, level), 1)
    short = LangevinGibbs(model, nodes_on(EDM()), lambda y: logits(y)[:, :3])
    with pytest.raises(ShapeError, match=r"\(4, 7\), got \(4, 3\)"):
        last(short, start, 1)
    broken = LangevinGibbs(lambda x, _: x * math.nan, nodes_on(EDM()), logits)
    with pytest.raises(NonFiniteError, match="the model's output is not finite"):
        last(broken, start, 1)


NOISY: dict[str, Any] = {"skip": 1, "steps": 2, "sampler": "ancestral", "lam_end": 3.0}


def drawn_by_runs(noise: Any, rounds: int) -> list[set[bytes]]:
    """The noise that the runs of each round draw, all chains at one level."""
    seen: list[set[bytes]] = [set()]

    class Spy(CellNoise):
        def draw(self, cell: Noise, like: Tensor) -> Tensor:
            out = super().draw(cell, like)
            if cell.clock != "churn":
                while len(seen) <= int(cell.clock.split()[1]):
                    seen.append(set())
                seen[int(cell.clock.split()[1])].add(out.numpy().tobytes())
            return out

    single = LangevinGibbs(exact_model(LAW, EDM(), "noise"), nodes_on(EDM())[3:4], one_level)
    start = Chain(joint(2).y, torch.zeros(2, dtype=torch.long))
    denoising_mcmc(single, EDM(), start, noise=Spy(noise), rounds=rounds, **NOISY)
    return seen


def one_level(y: Tensor) -> Tensor:
    return torch.zeros(len(y), 1, dtype=torch.float64)


def test_no_round_of_a_run_has_the_noise_of_another_nor_of_a_run_with_another_seed():
    """Seeds that are counted up by the round would give round 1 of seed 0 to round 0 of seed 1."""
    rounds = [fields for seed in (0, 1, 2) for fields in drawn_by_runs(seed, 3)]
    assert len(rounds) == 9
    assert all(rounds)
    assert sum(map(len, rounds)) == len(set.union(*rounds))


class Wrapped:
    """A source that is no CellNoise, and tells nobody its seed."""

    def __init__(self, seed: int) -> None:
        self._own = CellNoise(seed)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        return self._own.draw(cell, like)


def test_the_runs_draw_from_the_source_that_was_given():
    start = Chain(joint(3).y, torch.tensor([1, 4, 1]))

    def samples(noise: Any) -> Tensor:
        return denoising_mcmc(kernel(), EDM(), start, noise=noise, rounds=2, **NOISY).x

    torch.testing.assert_close(samples(Wrapped(3)), samples(CellNoise(3)), rtol=0, atol=0)
    sources = samples(Wrapped(3)), samples(Wrapped(4))
    assert float((sources[0] - sources[1]).abs().min()) > 0.0


@pytest.mark.parametrize("lam_end", [math.nan, math.inf])
def test_an_end_that_is_no_level_is_refused(lam_end: float):
    with pytest.raises(InvalidPlanError, match="lam_end must be a finite number"):
        denoising_mcmc(kernel(), EDM(), joint(2), noise=0, lam_end=lam_end)


def test_an_answer_for_one_chain_is_not_taken_for_all_and_levels_are_no_mask():
    one = kernel(model=lambda x, _: x[:1])
    with pytest.raises(ShapeError, match=r"output must have the shape \(3, 2\)"):
        last(one, joint(3), 1)
    for dtype in (torch.uint8, torch.bool, torch.float64):
        start = Chain(joint(7).y, torch.ones(7, dtype=dtype))
        with pytest.raises(ShapeError, match=r"must be whole numbers 0 \.\. 6"):
            last(kernel(), start, 1)
