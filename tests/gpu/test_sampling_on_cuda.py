"""Sampling on a CUDA device from end to end: the numbers of the host to rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.grids import uniform_lam
from fokker.solvers.jobs.job import Job
from fokker.solvers.jobs.work import run_job
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise
from fokker.solvers.registry import Sampler, samplers
from fokker.toy_models.networks import named_network
from small_jobs import samples

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
STEPPERS = samplers("stepper")


@pytest.fixture(autouse=True)
def _full_float32():
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


def start(shape: tuple[int, ...] = (4, 1, 8, 8)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("entry", STEPPERS, ids=[e.name for e in STEPPERS])
def test_what_chooses_its_own_steps_makes_the_samples_of_the_host(entry: Sampler):
    network = named_network("digits-mixture")
    process, grid = network.process, uniform_lam(network.process, -3.0, 3.0).grid(6)
    model = network.model(prediction=entry.prediction)
    here, there = (
        entry.build(model, process, grid, start().to(d), noise=3).x for d in ("cpu", DEVICE)
    )
    assert there.device.type == DEVICE
    torch.testing.assert_close(there.cpu(), here, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["W", "H"])
def test_noise_on_a_device_is_that_of_the_host(kind: str):
    x = start()
    cells = [Noise("lam", 0.1, 0.4, kind), Noise("lam", 0.4, 0.7, kind)]
    for source in (CellNoise(5), TreePath([0.0, 1.0], 5, tolerance=1e-3)):
        for cell in cells:
            here, there = source.draw(cell, x), source.draw(cell, x.to(DEVICE))
            torch.testing.assert_close(there.cpu(), here, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("name", ["digits-mixture", "digits-empirical", "image-mixture-32"])
def test_exact_networks_answer_as_on_the_host(name: str):
    network = named_network(name)
    labels = [1, 5, 1, network.classes] if network.classes else None
    model = network.model(labels, prediction="data")
    x = start((4, *network.shape))
    here, there = model(x, 0.4), model(x.to(DEVICE), 0.4)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_job_makes_the_images_of_the_host(tmp_path: Path, dtype: str):
    job = Job(
        "digits", sampler="sde_dpmpp_2m", steps=6, count=5, batch=2, guidance=1.5,
        labels="cycle", dtype=dtype,
    )  # fmt: skip
    found = []
    for device in ("cpu", DEVICE):
        run_job(replace(job, device=device), named_network("digits"), tmp_path / device)
        found.append(samples(tmp_path / device))
    assert np.abs(found[1] - found[0]).max() < (2e-4 if dtype == "float32" else 1e-9)


def test_a_job_that_begins_on_the_host_goes_on_on_a_device(tmp_path: Path):
    network, job = (
        named_network("digits"),
        Job("digits", steps=5, count=4, batch=2, labels="cycle"),
    )
    run_job(job, network, tmp_path)
    whole = samples(tmp_path)
    lost = max((tmp_path / "arrays").iterdir())
    lost.unlink()
    run_job(replace(job, device=DEVICE), network, tmp_path)
    assert lost.exists()
    assert np.abs(samples(tmp_path) - whole).max() < 2e-4
