"""The scheduler that a recommendation saves makes the saved plan's sample in diffusers."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from fokker.analysis.recommend.candidates import candidates
from fokker.analysis.recommend.scheduler import save_scheduler
from fokker.analysis.recommend.starts import Starts
from fokker.solvers.discrete import from_alphas_cumprod
from fokker.solvers.run import run
from fokker.toy_models.networks import exact_network
from fokker.toy_models.problems import problem

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fokker.solvers.adapters.diffusers_scheduler import FokkerScheduler

TABLE = from_alphas_cumprod(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))


@pytest.mark.parametrize("name", ["unipc_2@karras", "exp_rk2_data@lam", "dpmpp_2m@time"])
def test_the_saved_scheduler_makes_the_sample_of_the_plan(name: str, tmp_path: Path):
    levels = (TABLE.lam_min, float(TABLE.lam(1 / 1000)))
    law = problem("product").law
    network = exact_network("product", law, TABLE, levels, prediction="noise")
    sampler, _, spacing = name.partition("@")
    (chosen,), _ = candidates(network, 10, names=[sampler], spacings=[spacing])
    written = save_scheduler(network, chosen, tmp_path)
    assert written.config is not None
    scheduler = FokkerScheduler.from_pretrained(tmp_path)
    scheduler.set_timesteps(len(chosen.grid))
    starts = Starts(network, 8)
    model, x = network.model(), starts.x
    for t in scheduler.timesteps:
        answer = model(x, (float(t) + 1.0) / 1000)
        x = scheduler.step(answer, t, x).prev_sample
    # labels are float32: levels between those of the table are off by 6e-8 of their time
    wanted = run(chosen.plan, starts.model(chosen.prediction, 0, 8), starts.x).x
    assert torch.allclose(x, wanted, rtol=0, atol=1e-5)
    assert len(scheduler.timesteps) == chosen.plan.nfe
