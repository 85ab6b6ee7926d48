"""A job makes the images that it says, from starts and noise that belong to their ids."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fokker.solvers.errors import FokkerError
from fokker.solvers.jobs.job import Job
from fokker.solvers.jobs.spacing import grid_of
from fokker.solvers.jobs.trial import starts
from fokker.solvers.jobs.work import run_job
from fokker.solvers.registry import get
from fokker.solvers.run import run
from small_jobs import JOB, PROBES, said, samples
from small_networks import PROCESS, denoise, flow, gaussians
from tolerances import tolerance


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job done in one go."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(JOB, gaussians(), folder)
    return folder


def test_the_images_are_those_of_the_exact_flow(tmp_path: Path):
    job = replace(JOB, sampler="dpmpp_3m", steps=80, dtype="float64", count=3)
    run_job(job, gaussians(), tmp_path)
    grid = grid_of(gaussians(), job.grid, job.steps)
    x = starts(gaussians(), grid, range(3), seed=0, dtype=torch.float64, device="cpu")
    labels, last = torch.tensor([0, 1, 2]), grid[-2]
    clean = flow(x, grid[0], labels, last)  # the step to sigma = 0 takes the data prediction there
    exact = denoise(clean, last.t, labels).numpy()
    assert np.abs(samples(tmp_path) - exact).max() < 2e-5
    picture = np.asarray(Image.open(tmp_path / "images" / "000002.png"))
    assert np.abs(picture / 127.5 - 1 - np.clip(exact[2, 0], -1, 1)).max() < 0.5 / 127.5 + 2e-5


def test_the_manifest_tells_id_label_file_hash_and_evaluations(whole: Path):
    found = said(whole)
    assert found["complete"]
    assert (found["count"], found["made"], found["failed"], found["missing"]) == (5, 5, [], [])
    assert [i["id"] for i in found["images"]] == [0, 1, 2, 3, 4]
    assert [i["label"] for i in found["images"]] == [0, 1, 2, 0, 1]
    assert [i["nfe"] for i in found["images"]] == [4] * 5
    assert Job.from_dict(found["job"]) == JOB
    assert {"torch", "fokker"} <= set(found["versions"])
    assert found["batches"][0]["hardware"]["device"] == "cpu"
    for entry in [*found["images"], *found["batches"]]:
        file = whole / (entry.get("file") or entry["array"])
        assert hashlib.sha256(file.read_bytes()).hexdigest() == entry["sha256"]
    assert not list(whole.rglob("*.part"))


def test_the_model_is_the_guided_network_at_the_labels_of_the_ids(tmp_path: Path):
    job = replace(
        JOB, sampler="sde_dpmpp_2m", options={"eta": 0.5}, guidance=2.0, interval=(-1.0, 1.5),
        labels=(2, 0), grid="karras", to_zero=False, seed=4, batch=5,
    )  # fmt: skip
    run_job(job, gaussians(), tmp_path)
    network, ids = gaussians(), range(5)
    grid = grid_of(network, "karras", 4, to_zero=False)
    x = starts(network, grid, ids, seed=4, dtype=torch.float32, device="cpu")
    model = network.model([2, 0, 2, 0, 2], guidance=2.0, interval=(-1.0, 1.5))
    plan = get("sde_dpmpp_2m")(PROCESS, grid, eta=0.5)
    assert np.array_equal(samples(tmp_path), run(plan, model, x, noise=4).x.numpy())


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "sde_dpmpp_2m"])
def test_starts_and_noise_belong_to_the_id(sampler: str, tmp_path: Path):
    job = replace(JOB, sampler=sampler)
    for batch in (1, 2, 5):
        run_job(replace(job, batch=batch), gaussians(), tmp_path / str(batch))
    run_job(replace(job, seed=1), gaussians(), tmp_path / "seed")
    one, two, five, other = (samples(tmp_path / n) for n in ("1", "2", "5", "seed"))
    close = tolerance(torch.float32)
    np.testing.assert_allclose(one, five, rtol=close["rtol"], atol=close["atol"])
    np.testing.assert_allclose(two, five, rtol=close["rtol"], atol=close["atol"])
    assert np.abs(other - five).max() > 0.1
    draw = partial(starts, gaussians(), grid_of(gaussians(), JOB.grid, 4), dtype=torch.float32)
    together = draw(range(10), seed=3, device="cpu")
    assert torch.equal(draw([7, 2], seed=3, device="cpu"), together[[7, 2]])
    exact = draw([7], seed=3, device="cpu", dtype=torch.float64).float()
    torch.testing.assert_close(exact, draw([7], seed=3, device="cpu"), rtol=2e-7, atol=0)


def test_starts_are_normal_with_the_standard_deviation_sigma():
    grid = grid_of(gaussians((64,)), "karras", 4)
    x = starts(gaussians((64,)), grid, range(512), seed=0, dtype=torch.float64, device="cpu")
    z = x / grid[0].sigma
    n = z.numel()
    assert abs(float(z.mean())) < 5 / n**0.5  # five standard deviations: 6e-7
    assert abs(float(z.square().mean()) - 1) < 5 * (2 / n) ** 0.5
    assert abs(float((z[:-1] * z[1:]).mean())) < 5 / n**0.5


def test_samplers_that_are_no_plans_make_images_too(tmp_path: Path):
    job = replace(JOB, sampler="evodiff", steps=40, labels=(2,))
    report = run_job(job, gaussians(), tmp_path)
    assert report.manifest["complete"]
    grid = grid_of(gaussians(), job.grid, 40)
    x = starts(gaussians(), grid, range(5), seed=0, dtype=torch.float32, device="cpu")
    exact = flow(x, grid[0], torch.full((5,), 2))
    assert np.abs(samples(tmp_path) - exact.numpy()).max() < 0.02


def test_samples_that_are_no_pictures_are_arrays_only(tmp_path: Path):
    report = run_job(replace(JOB, labels=None), gaussians((3,), 0), tmp_path)
    assert report.manifest["complete"]
    assert [i["file"] for i in report.manifest["images"]] == [None] * 5
    assert samples(tmp_path).shape == (5, 3)
    assert not list((tmp_path / "images").iterdir())


def test_another_size_is_asked_of_the_network(tmp_path: Path):
    run_job(replace(JOB, size=(3, 6), count=2), gaussians(), tmp_path / "a")
    assert samples(tmp_path / "a").shape == (2, 1, 3, 6)
    fixed = gaussians(call=lambda x, t, _labels: denoise(x, t, None) + torch.zeros(1, 4, 4))
    with pytest.raises(FokkerError, match=r"fails on a sample of shape \(1, 3, 6\)"):
        run_job(replace(JOB, size=(3, 6)), fixed, tmp_path / "b")


def test_progress_counts_evaluations_and_ends_at_all_images(tmp_path: Path):
    seen: list[tuple[float, int]] = []
    run_job(JOB, gaussians(), tmp_path, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert done[:4] == [0.5, 1.0, 1.5, 2.0]
    assert seen[-1] == (5, 5)


def test_the_network_computes_where_it_is_told_and_the_state_stays_float32(tmp_path: Path):
    seen: list[torch.dtype] = []

    def half(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        assert x.dtype == torch.float32
        return denoise(x, t, labels)

    run_job(replace(JOB, autocast="bfloat16"), gaussians(call=half), tmp_path)
    assert set(seen[PROBES:]) == {torch.bfloat16}
    assert samples(tmp_path).dtype == np.float32
