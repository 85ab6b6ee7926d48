"""DPM-OT on a ring of eight modes: latents, few steps, samples between modes, memorisation."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError, NonFiniteError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.solvers.transport.semi_discrete_sampling import (
    DpmOt,
    fit_dpm_ot,
    memorisation,
    nearest_distances,
)
from fokker.solvers.transport.semi_discrete_sources import Box, standard_normal
from fokker.toy_models.law import exact_model
from fokker.toy_models.mixture import GaussianMixture

ANGLE = torch.arange(8).double() * 2 * math.pi / 8
CENTRES = 2 * torch.stack([ANGLE.cos(), ANGLE.sin()], 1)
WIDTH = 0.1
RING = GaussianMixture(
    torch.full((8,), 0.125).double(), CENTRES, torch.full((8, 2), WIDTH**2).double()
)
PROCESS = VPLinear()
LAM, END = 0.5, 4.0


def between(x: Tensor) -> float:
    """Share of samples more than four widths from every centre; e^-8 of the exact law."""
    return float((torch.cdist(x, CENTRES).amin(1) > 4 * WIDTH).double().mean())


def noise(n: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((n, 2)))


@pytest.fixture(scope="module")
def fitted() -> DpmOt:
    return fit_dpm_ot(PROCESS, RING.sample(64, seed=0), LAM, samples=512)


def test_latents_are_noised_data_each_as_often_as_the_others(fitted: DpmOt):
    data = RING.sample(64, seed=0)
    node, atoms = fitted.node, fitted.map.atoms
    assert fitted.map.converged
    eps = (atoms - node.alpha * data) / node.sigma
    # 128 standard normals: mean square within 6 sd of 1
    assert float(eps.square().mean()) == pytest.approx(1.0, abs=6 * math.sqrt(2 / 128))
    x = fitted.latents(noise(20_000))
    share = torch.bincount(fitted.map.assign(noise(20_000)), minlength=64) / 20_000
    chi_square = float((20_000 * (share - 1 / 64).square() * 64).sum())
    assert chi_square < 130  # probability below 1e-6 with 63 degrees of freedom
    assert torch.equal(x, atoms[fitted.map.assign(noise(20_000))])


def test_few_steps_leave_fewer_samples_between_modes_than_the_whole_path(fitted: DpmOt):
    z, steps = noise(1000), 5
    shares = {}
    for name in ("ddim", "dpmpp_2m"):
        entry = get(name)
        model = exact_model(RING, PROCESS, entry.prediction)
        grid = uniform_lam(PROCESS, -4.0, END).grid(steps)
        whole = between(run(entry(PROCESS, grid), model, z).x)
        short = between(fitted.sample(model, name, z, steps=steps, lam_end=END))
        shares[name] = whole, short
    assert shares["ddim"][0] > 0.15  # measured .21
    assert all(short < 0.5 * whole for whole, short in shares.values())
    assert between(RING.sample(1000, seed=7)) < 0.01


def test_a_deterministic_sampler_gives_one_sample_an_atom_and_noise_gives_more(fitted: DpmOt):
    data, z = RING.sample(64, seed=0), noise(2000)
    model = exact_model(RING, PROCESS, "data")
    fixed = fitted.sample(model, "dpmpp_2m", z, steps=8, lam_end=END)
    assert memorisation(fixed, data).distinct <= 64
    fresh = fitted.sample(model, "sde_dpmpp_2m", z, steps=8, lam_end=END, noise=0)
    assert memorisation(fresh, data).distinct > 1900


def test_close_to_the_data_samples_are_training_points_and_the_report_says_so():
    data = RING.sample(24, seed=0)
    near = fit_dpm_ot(PROCESS, data, 3.9, samples=256)
    model = exact_model(RING, PROCESS, "data")
    x = near.sample(model, "ddim", noise(200), steps=1, lam_end=END)
    copied = memorisation(x, data)
    fresh = memorisation(RING.sample(200, seed=3), data)
    assert copied.ratio < 0.5 * fresh.ratio
    assert memorisation(data, data)[:1] == (0.0,)
    assert memorisation(data, data).ratio == 0.0


def test_nearest_distances_are_those_of_a_loop():
    x, data = noise(7), RING.sample(9, seed=2)
    loop = [min(float((a - b).norm()) for b in data) for a in x]
    torch.testing.assert_close(nearest_distances(x, data), torch.tensor(loop).double())
    lone = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert memorisation(lone, lone).among_data == pytest.approx(5.0)


def test_a_stepper_and_images_and_float32_are_taken_too():
    data = RING.sample(32, seed=0).reshape(16, 2, 2).float()
    fit = fit_dpm_ot(PROCESS, data, LAM, copies=2, samples=128)
    assert len(fit.map.atoms) == 32
    z = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0))

    def model(x: Tensor, t: float) -> Tensor:  # the data prediction of N(0, I)
        node = PROCESS.node(t)
        return x * node.alpha / (node.alpha**2 + node.sigma**2)

    x = fit.sample(model, "ddim", z, steps=2, lam_end=END)
    assert x.shape == z.shape
    assert x.dtype == torch.float32
    assert fit.sample(model, "dpmpp_2m_thresholded", z, steps=2, lam_end=END).shape == z.shape


def test_bad_input_gets_one_sentence(fitted: DpmOt):
    model, z = exact_model(RING, PROCESS, "data"), noise(3)
    cube = Box([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(InvalidLawError, match="one that is uniform on a box"):
        fitted.sample(model, "ddim", z, steps=2, lam_end=END, source=cube)
    assert fitted.latents(z, source=standard_normal(2)).shape == (3, 2)
    with pytest.raises(ShapeError, match=r"z must be of shape \(B, 2\), got \(3, 1\)"):
        fitted.latents(z[:, :1])
    grids = uniform_lam(PROCESS, -4.0, END)
    with pytest.raises(InvalidLawError, match=r"the grid must begin at lam = 0\.5, got -4"):
        fitted.sample(model, "ddim", z, steps=2, lam_end=END, grids=grids)
    with pytest.raises(InvalidLawError, match="copies must be at least 1, got 0"):
        fit_dpm_ot(PROCESS, z, LAM, copies=0)
    with pytest.raises(NonFiniteError):
        fit_dpm_ot(PROCESS, z * math.nan, LAM)
    with pytest.raises(ShapeError, match="of one shape"):
        nearest_distances(z, z[:, :1])
    with pytest.raises(ShapeError, match="need two points, got 1"):
        memorisation(z, z[:1])
