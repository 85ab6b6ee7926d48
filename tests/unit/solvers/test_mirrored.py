"""The mirrored process is a process, and samplers on it run from data to noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from exact_processes import PROCESSES
from fokker.solvers.grids import uniform_lam, wavy_lam
from fokker.solvers.process import Process
from fokker.solvers.processes.mirrored import Mirrored, mirrored_grid, mirrored_model
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models.problems import problem

on_all = pytest.mark.parametrize("base", PROCESSES.values(), ids=PROCESSES.keys())
INSIDE = (0.01, 0.2, 0.5, 0.7, 0.95)


@on_all
def test_signal_and_noise_change_places(base: Process):
    process = Mirrored(base)
    for u in INSIDE:
        t = u * base.t_max
        assert float(process.alpha(process.t_max - t)) == pytest.approx(base.sigma(t), rel=1e-12)
        assert float(process.sigma(process.t_max - t)) == pytest.approx(base.alpha(t), rel=1e-12)
        lam = float(base.lam(t))
        assert float(process.lam(process.t_max - t)) == pytest.approx(-lam, rel=1e-11, abs=1e-11)
        assert float(process.t_of_lam(-lam)) == pytest.approx(process.t_max - t, rel=1e-9)
        at = float(process.log_alpha_of_lam(-lam))
        assert at == pytest.approx(float(base.log_sigma(t)), rel=1e-11, abs=1e-11)
    assert process.lam_min == -base.lam_max
    assert process.lam_max == -base.lam_min


@on_all
def test_rates_are_derivatives_of_the_mirrored_coefficients(base: Process):
    process = Mirrored(base)
    for u in (0.2103, 0.5037, 0.7707):  # between the kinks of tables
        t, h = u * base.t_max, 1e-6 * base.t_max
        slope = {
            name: float(f(t + h) - f(t - h)) / (2 * h)
            for name, f in (("f", process.log_alpha), ("lam", process.lam))
        }
        assert float(process.f(t)) == pytest.approx(slope["f"], rel=2e-5, abs=1e-7)
        assert float(process.dlam_dt(t)) == pytest.approx(slope["lam"], rel=2e-5)
        squared = -2.0 * float(process.sigma(t)) ** 2 * float(process.dlam_dt(t))
        assert float(process.g2(t)) == pytest.approx(squared, rel=1e-9)


@on_all
def test_no_rate_is_nan_at_an_end(base: Process):
    process = Mirrored(base)
    for t in (0.0, process.t_max):
        rates = (process.f(t), process.dlam_dt(t), process.g2(t))
        assert not np.isnan(rates).any()


@pytest.mark.parametrize("name", ["exp_ab3_data_rkstart", "unipc_2", "dpm_solver_3", "rho_rk4"])
def test_a_sampler_on_the_mirror_encodes_with_its_order(name: str):
    """From the exact end back to the start of the exact flow; errors fall as 2^-order."""
    p = problem("product").cold()
    start = p.starts(16)
    end, entry = p.endpoint(start), get(name)
    source = "data" if entry.prediction == "noise" else "noise"
    model = mirrored_model(p.model(source), p.process)
    errors = []
    for steps in (32, 64):
        grid = wavy_lam(p.process, p.lam_start, p.lam_end).grid(steps)
        plan = entry(Mirrored(p.process), mirrored_grid(p.process, grid))
        errors.append(float((run(plan, model, end).x - start).square().mean().sqrt()))
    assert errors[1] < 1e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(entry.order_cold, abs=0.35)


def test_the_mirrored_grid_keeps_every_level_bit_for_bit():
    p = problem("product")
    grid = uniform_lam(p.process, -4.0, 3.0).grid(7)
    other = mirrored_grid(p.process, grid)
    assert [n.lam for n in other.nodes] == [-n.lam for n in reversed(grid.nodes)]
    assert [n.alpha for n in other.nodes] == [n.sigma for n in reversed(grid.nodes)]
    same = torch.tensor([n.t for n in other.nodes]) + torch.tensor([n.t for n in grid.nodes[::-1]])
    torch.testing.assert_close(same, torch.full_like(same, p.process.t_max))
