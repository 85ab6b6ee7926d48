"""A file with the interface of DPM-Solver is a foreign sampler, whatever it computes."""

from __future__ import annotations

import pytest
import torch

from fokker.analysis.compare_plans import compare
from fokker.solvers.adapters import authors_box
from fokker.solvers.adapters.foreign_error import ForeignError
from fokker.solvers.adapters.libraries import native, on_grid
from fokker.solvers.adapters.trace import trace
from fokker.solvers.grids import grid_from_times, wavy_lam
from fokker.solvers.registry import get
from fokker.solvers.schedules import RectifiedFlow, VPLinear

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 1.0).grid(4)

# A sampler of our own with the interface of the authors' files: order 1 holds the noise over a
# step, order 2 asks it again at the middle of the step in lam.
SOURCE = """
import torch


class DPM_Solver:
    def __init__(self, model_fn, noise_schedule, scale=1.0):
        self.model = lambda x, t: scale * model_fn(x, t.expand(x.shape[0]))
        self.ns = noise_schedule

    def get_time_steps(self, skip_type, t_T, t_0, N, device):
        assert skip_type == "logSNR"
        ends = [self.ns.marginal_lambda(torch.tensor(t)) for t in (t_T, t_0)]
        return self.ns.inverse_lambda(torch.linspace(*map(float, ends), N + 1))

    def step(self, x, s, t, eps):
        ns = self.ns
        h = ns.marginal_lambda(t) - ns.marginal_lambda(s)
        ratio = torch.exp(ns.marginal_log_mean_coeff(t) - ns.marginal_log_mean_coeff(s))
        return ratio * x - ns.marginal_std(t) * torch.expm1(h) * eps

    def sample(self, x, steps, t_start, t_end, method, order):
        print("talking")
        N = steps // order if "single" in method else steps
        times = self.get_time_steps("time_uniform", t_T=t_start, t_0=t_end, N=N, device="cpu")
        for s, t in zip(times[:-1], times[1:]):
            eps = self.model(x, s)
            if order == 2:
                inner = self.get_time_steps("x", t_T=s.item(), t_0=t.item(), N=2, device="cpu")
                eps = self.model(self.step(x, s, inner[1], eps), inner[1])
            x = self.step(x, s, t, eps)
        return x
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        ({"order": 1}, "ddim"),
        ({"order": 2, "method": "singlestep_fixed"}, "dpm_solver_2"),
    ],
)
def test_the_class_is_read_on_our_grid(file, told, ours, capsys):
    found = trace(authors_box.on_grid(file, VP, GRID, sample_options=told))
    seen = compare(found.require_plan(), get(ours)(VP, GRID), ours)
    assert seen.equal, str(seen)
    assert "talking" not in capsys.readouterr().out


def test_an_option_of_the_constructor_arrives(file):
    plain, scaled = (
        trace(authors_box.on_grid(file, VP, GRID, sample_options={"order": 1}, scale=c))
        for c in (1.0, 1.5)
    )
    assert not compare(plain.require_plan(), scaled.require_plan()).equal


def test_it_has_a_name_like_any_other(file):
    found = trace(native(f"{file}:DPM_Solver", 3, sample_options={"order": 1}))
    assert len(found.calls) == 3
    assert found.calls[0].node.t == pytest.approx(1.0)
    one = on_grid(f"{file}:DPM_Solver", VP, GRID, sample_options={"order": 1})
    assert one.library == "theirs.py"
    shipped = authors_box.on_grid(file, VP, GRID, sample_options={"order": 1}, exact=False)
    assert 1e-9 < trace(shipped).gap < 1e-5


def test_ends_without_a_level_and_files_without_a_class_are_refused(file, tmp_path):
    with pytest.raises(ForeignError, match="0 < alpha and 0 < sigma"):
        authors_box.on_grid(file, VP, GRID.with_zero())
    pure = grid_from_times(RectifiedFlow(), [1.0, 0.5])
    with pytest.raises(ForeignError, match="0 < alpha and 0 < sigma"):
        authors_box.on_grid(file, RectifiedFlow(), pure)
    other = tmp_path / "other.py"
    other.write_text("x = 1\n")
    with pytest.raises(ForeignError, match="none of the classes"):
        authors_box.on_grid(other, VP, GRID)
    assert torch.tensor(0.1).dtype == torch.float32
