"""Edits of a given sample: exact where nothing is to change, in closed form between Gaussians."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.law import output_law
from fokker.solvers.editing.noise_maps import (
    RecordedNoise,
    ddcm,
    edit_friendly,
    independent_states,
    infedit,
    noise_maps,
)
from fokker.solvers.errors import InvalidPlanError, NotInvertibleError, ShapeError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

GAUSSIAN = problem("gaussian")
MIXTURE = problem("mixture")
VP = GAUSSIAN.process


def grid(steps: int = 100) -> Grid:
    return uniform_lam(VP, -4.0, 3.0).grid(steps)


def correlations(z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Lag-1 and lag-2 correlations along the first axis, over samples and coordinates."""
    rows = z.reshape(len(z), -1)
    rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True)
    table = (rows @ rows.T / rows.shape[1]).numpy()
    return np.diagonal(table, 1), np.diagonal(table, 2)


# -- noise maps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ancestral", "sde_dpmpp_1", "sde_dpmpp_2m", "ddim_eta"])
@pytest.mark.parametrize("which", ["gaussian", "mixture"])
def test_sampling_with_the_maps_gives_the_data_back(name, which):
    p = {"gaussian": GAUSSIAN, "mixture": MIXTURE}[which]
    x0 = p.law.sample(64, seed=1)
    plan, model = get(name)(VP, grid()), p.model(get(name).prediction)
    states = independent_states(grid(), x0, seed=3)
    maps = noise_maps(plan, model, states)
    again = run(plan, model, states[0], noise=maps, save_at=range(101))
    assert (again.x - grid()[-1].alpha * x0).abs().max() < 1e-14
    for step, state in enumerate(states):
        assert (again.saved[step] - state).abs().max() < 3e-14
    with pytest.raises(AssertionError):  # other noise, another sample
        torch.testing.assert_close(run(plan, model, states[0], noise=3).x, again.x)


def test_maps_of_independent_states_are_large_and_neighbours_correlate_by_minus_a_half():
    """8000 numbers a level: a correlation has standard error 0.011, their mean over levels 0.0015.

    Observed -0.498; the bar of 0.02 has a false alarm rate below 1e-20.
    """
    plan, model = get("ancestral")(VP, grid()), GAUSSIAN.model("data")
    x0 = GAUSSIAN.law.sample(2000, seed=1)
    z = noise_maps(plan, model, independent_states(grid(), x0, seed=3)).stacked()
    one, two = correlations(z[:-1])  # the last state is no noisy one
    assert abs(one.mean() + 0.5) < 0.02
    assert abs(two.mean()) < 0.02
    assert 3.1 < z.std() < 4.5
    native = torch.stack([CellNoise(0).draw(op, x0) for op in plan.ops if isinstance(op, Noise)])
    one, _ = correlations(native)  # the negative control
    assert abs(one.mean()) < 0.02
    assert abs(float(native.std()) - 1) < 0.02


@pytest.mark.parametrize("name", ["ancestral", "sde_dpmpp_2m"])
def test_the_maps_of_a_run_are_the_noises_it_drew(name):
    plan, model = get(name)(VP, grid(20)), MIXTURE.model("data")
    x = MIXTURE.starts(8)
    made = run(plan, model, x, noise=5, save_at=range(21))
    maps = noise_maps(plan, model, [made.saved[k] for k in range(21)])
    for cell, z in maps.fields.items():
        torch.testing.assert_close(z, CellNoise(5).draw(cell, x), rtol=1e-9, atol=1e-9)


def test_a_mirror_of_the_states_is_a_mirror_of_the_maps():
    def model(x: Tensor, t: float) -> Tensor:
        return torch.tanh((1 + t) * x) + 0.1 * x.flip(1)

    plan = get("ancestral")(VP, grid(10))
    states = independent_states(grid(10), GAUSSIAN.law.sample(4, seed=0), seed=1)
    plain = noise_maps(plan, model, states).stacked()
    turned = noise_maps(plan, model, [s.flip(1) for s in states]).stacked()
    assert torch.equal(turned, plain.flip(2))


def test_an_edit_by_one_model_changes_nothing_and_by_another_moves_all_by_the_same():
    """Source and target N(m, C), one C: every chain is affine, so the shift is one vector."""
    target = Gaussian(GAUSSIAN.law.mean + 1.0, GAUSSIAN.law.cov)
    models = [exact_model(law, VP, "data") for law in (GAUSSIAN.law, target)]
    x0, end = GAUSSIAN.law.sample(32, seed=2), grid()[-1].alpha
    same = edit_friendly(VP, grid(), x0, models[0], models[0], seed=4)
    assert (same - end * x0).abs().max() < 1e-14
    moved = []
    for skip in (0, 30, 60, 90):
        edited = edit_friendly(VP, grid(), x0, *models, seed=4, skip=skip)
        shift = edited - end * x0
        assert (shift - shift[0]).abs().max() < 1e-12
        moved.append(float(shift[0].norm()) / (2.0 * end))
    assert moved[0] > 0.95  # all of the shift of the mean, |(1, 1, 1, 1)| = 2
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.5  # the later, the nearer to the data


def test_a_step_without_noise_has_no_map():
    x0 = GAUSSIAN.law.sample(2, seed=0)
    to_zero = grid(4).with_zero()
    with pytest.raises(NotInvertibleError, match="step 5 does not end in a row with one noise"):
        noise_maps(
            get("ancestral")(VP, to_zero),
            GAUSSIAN.model("data"),
            independent_states(to_zero, x0, seed=0),
        )
    with pytest.raises(NotInvertibleError, match="step 1 does not end"):
        edit_friendly(
            VP, grid(4), x0, GAUSSIAN.model("data"), GAUSSIAN.model("data"), seed=0, sampler="ddim"
        )
    with pytest.raises(NotInvertibleError, match="step 1 does not end"):  # not in the last row
        noise_maps(
            get("edm_churn")(VP, grid(4)),
            GAUSSIAN.model("noise"),
            independent_states(grid(4), x0, seed=0),
        )


def test_what_does_not_fit_is_refused_in_one_sentence():
    x0, model = GAUSSIAN.law.sample(2, seed=0), GAUSSIAN.model("data")
    plan, states = get("ancestral")(VP, grid(4)), independent_states(grid(4), x0, seed=0)
    with pytest.raises(InvalidPlanError, match="a plan of 4 steps needs 5 states, got 4"):
        noise_maps(plan, model, states[1:])
    with pytest.raises(ShapeError, match="state 4 must have the shape"):
        noise_maps(plan, model, [*states[:4], states[4][:1]])
    with pytest.raises(InvalidPlanError, match=r"skip must be .* 0 .. 3, got 4"):
        edit_friendly(VP, grid(4), x0, model, model, seed=0, skip=4)
    maps = RecordedNoise(noise_maps(plan, model, states).fields)
    with pytest.raises(InvalidPlanError, match=r"no noise was recorded for the cell \[-4.0"):
        run(get("ancestral")(VP, grid(5)), model, states[0], noise=maps)
    with pytest.raises(ShapeError, match="x0 must be float32 or float64"):
        independent_states(grid(4), x0.to(torch.float16), seed=0)


# -- virtual inversion ----------------------------------------------------------------------------


def test_a_step_of_ddcm_has_all_of_its_noise_new():
    """Variance ``sigma_t^2 + alpha_t^2 Var D``, exactly; more steps do not make it right.

    They lead to ``v/(1 + g)`` with g the gain of the denoiser, ``alpha^2 c^2/v``: half of the true
    variance v where the data are seen.
    """
    data = eigenbasis(GAUSSIAN.law)
    misses = []
    for steps in (10, 40, 160):
        nodes = grid(steps)
        s = nodes[0]
        var = s.alpha**2 * data.var + s.sigma**2
        for s, t in nodes.steps():
            gain = s.alpha * data.var / (s.alpha**2 * data.var + s.sigma**2)
            var = t.sigma**2 + t.alpha**2 * gain**2 * var
        law = output_law(ddcm(VP, nodes), data)
        np.testing.assert_allclose(law.var, var, rtol=1e-12)
        np.testing.assert_allclose(law.mean, nodes[-1].alpha * data.mean, rtol=1e-9, atol=1e-12)
        signal = nodes[-1].alpha ** 2 * data.var
        right = signal + nodes[-1].sigma ** 2
        misses.append(np.abs(law.var / (right / (1 + signal / right)) - 1).max())
        assert np.abs(law.var / right - 1).max() > 0.4
    assert misses[0] > 2 * misses[1] > 4 * misses[2]


def test_the_last_step_of_ddcm_is_the_data_prediction():
    x = MIXTURE.starts(4)
    nodes = grid(3).with_zero()
    made = run(ddcm(VP, nodes), MIXTURE.model("data"), x, noise=0, save_at=(3,))
    torch.testing.assert_close(made.x, MIXTURE.model("data")(made.saved[3], nodes[3].t))


@pytest.mark.parametrize("steps", [1, 3, 50])
def test_an_edit_without_a_difference_returns_the_data_bit_for_bit(steps):
    x0, model = MIXTURE.law.sample(16, seed=0), MIXTURE.model("noise")
    assert torch.equal(infedit(grid(steps), x0, model, model, seed=1), x0)


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_between_gaussians_the_edit_is_a_product_over_levels(steps):
    """``y - x_0 = (1 - prod a^2 c^2/(a^2 c^2 + s^2)) (m_2 - m_1)`` along each eigenvector."""
    law = cast(Gaussian, GAUSSIAN.law)
    other = Gaussian(law.mean + torch.tensor([1.0, -0.5, 0.3, 2.0]), law.cov)
    models = [exact_model(one, VP, "noise") for one in (law, other)]
    nodes = wavy_lam(VP, -4.0, 3.0).grid(steps)
    left = torch.ones(4, dtype=torch.float64)
    for node in nodes.nodes[:-1]:
        signal = node.alpha**2 * law.eigenvalues
        left = left * signal / (signal + node.sigma**2)
    u = law.eigenvectors
    shift = ((other.mean - law.mean) @ u * (1 - left)) @ u.T
    x0 = law.sample(16, seed=0)
    edited = infedit(nodes, x0, *models, seed=1)
    assert (edited - x0 - shift).abs().max() < 1e-10
    assert shift.norm() > 1.0


def test_levels_without_signal_are_passed_by():
    from fokker.solvers.grids import grid_from_times
    from fokker.solvers.schedules import RectifiedFlow

    flow = RectifiedFlow()
    x0 = GAUSSIAN.law.sample(3, seed=0)
    models = [exact_model(law, flow, "noise") for law in (GAUSSIAN.law, problem("gaussian").law)]
    nodes = grid_from_times(flow, [1.0, 0.6, 0.2])
    assert torch.equal(infedit(nodes, x0, *models, seed=1), x0)
