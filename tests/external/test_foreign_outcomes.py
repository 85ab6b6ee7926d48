"""What a foreign sampler does wrong has a name and one sentence; nothing of it stays behind."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
import torch

from external.boxes import DATA, MEAN, VARIANCES, WAVY, paired_errors, slopes
from fokker.analysis.boxes import response_of
from fokker.analysis.strong import strong_error_of
from fokker.solvers.adapters import azula_box, callable_box, diffusers_box, kdiffusion_box
from fokker.solvers.adapters.affine import affine_map
from fokker.solvers.adapters.foreign import foreign_sampler, run_foreign
from fokker.solvers.adapters.foreign_error import KINDS, ForeignError
from fokker.solvers.adapters.intercept import Intercept
from fokker.solvers.adapters.libraries import names, native
from fokker.solvers.adapters.libraries import on_grid as by_name
from fokker.solvers.adapters.trace import BENDS, CLIPS, MIXES, SHIFTS, STEERS, trace
from fokker.solvers.errors import InvalidPlanError, NonFiniteError
from fokker.solvers.grids import grid_from_lams, karras, wavy_lam
from fokker.solvers.plan import Eval
from fokker.solvers.schedules import EDM, VPLinear

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 1.0).grid(3)


def euler(model, x, sigmas):
    """The convention of k-diffusion, and a right sampler."""
    for s, t in itertools.pairwise(sigmas):
        d = (x - model(x, s)) / s
        x = x + d * (t - s)
    return x


def made(change):
    """Euler with something done to its result."""

    def f(model, x, sigmas):
        return change(euler(model, x, sigmas), model, x, sigmas)

    return callable_box.from_sigmas(f, VP, GRID, name="wrong")


def steering(model, x, sigmas):
    for s, t in itertools.pairwise(sigmas):
        d = (x - model(x, s)) / s
        if float(d.abs().max()) > 1e-6:
            d = (x - model(x, 0.9 * s)) / s
        x = x + d * (t - s)
    return x


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda y, *_: y.clamp(-1, 1), CLIPS),
        (lambda y, *_: y / y.norm(), BENDS),
        (lambda y, *_: y * torch.sign(y), BENDS),
        (lambda y, *_: y + 1e-3, SHIFTS),
        (lambda y, *_: y * torch.arange(y.numel() // y.shape[0]).reshape(1, *y.shape[1:]), MIXES),
    ],
)
def test_each_way_of_not_being_linear_is_told(change, kind):
    assert trace(made(change)).nonlinear == kind


def drawn_by_numpy(seed):
    """Noise that torch knows nothing of: of a generator that goes on, or that begins anew."""
    lasting = np.random.default_rng(0)

    def add(y, *_):
        generator = lasting if seed is None else np.random.default_rng(seed)
        return y + 0.1 * torch.from_numpy(generator.standard_normal(tuple(y.shape)))

    return add


def test_noise_of_another_library_is_not_taken_for_mixed_entries():
    with pytest.raises(ForeignError, match="another sample when it is run again") as caught:
        trace(made(drawn_by_numpy(None)))
    assert caught.value.kind == "keeps state"
    assert trace(made(drawn_by_numpy(5))).nonlinear == SHIFTS


def test_noise_that_the_samples_of_a_batch_share_is_refused_by_its_shape():
    shared = made(lambda y, *_: y + torch.randn(1, *y.shape[1:]))
    with pytest.raises(ForeignError, match=r"noise is drawn of shape \(1, .* for states of shape"):
        trace(shared)


@pytest.mark.parametrize(("process", "high"), [(EDM(10.0), 10.0), (VP, 140.0)])
def test_a_level_beyond_the_process_is_not_taken_for_its_end(process, high):
    """Churn raises the first level; asked at the end instead, model and scale are others."""

    def churned(model, x, sigmas, raised=1.4):
        for s, t in itertools.pairwise(sigmas):
            up = raised * s
            x = x + (up**2 - s**2).sqrt() * torch.randn_like(x)
            x = x + (t - up) * (x - model(x, up)) / up
        return x

    grid = karras(process, high, 0.1).grid(3)
    with pytest.raises(ForeignError, match=rf"asks the model at sigma = {1.4 * high:g}; the lev"):
        trace(callable_box.from_sigmas(churned, process, grid))
    found = trace(
        callable_box.from_sigmas(
            churned, EDM(1000.0), grid_from_lams(EDM(1000.0), [n.lam for n in grid.nodes])
        )
    ).require_plan()
    asked = [op.node.rho for op in found.ops if isinstance(op, Eval)]
    np.testing.assert_allclose(asked, [1.4 * n.rho for n in grid.nodes[:-1]], rtol=1e-12)


@pytest.mark.parametrize("level", [-1.0, math.nan])
def test_a_level_that_is_none_is_not_taken_for_the_data(level):
    asks = made(lambda y, model, x, sigmas: y + model(x, level * sigmas[0]))
    with pytest.raises(ForeignError, match="asks the model at sigma = "):
        trace(asks)


def test_a_course_that_depends_on_the_data_is_told():
    found = trace(callable_box.from_sigmas(steering, VP, GRID))
    assert found.nonlinear == STEERS
    assert found.plan is None


def fail(*_):
    msg = "no  such\nthing"
    raise KeyError(msg)


def into_output(y, model, x, sigmas):
    model(x, sigmas[0]).mul_(2.0)
    return y


def into_start(y, model, x, sigmas):
    del model, sigmas
    return y + x.mul_(0.5)


class Counting:
    def __init__(self):
        self.runs = 0

    def __call__(self, y, *_):
        self.runs += 1
        return y * (1.0 + 0.1 * self.runs)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (fail, "raised"),
        (lambda y, *_: y / 0.0, "not finite"),
        (lambda y, *_: y[:1, :1], "raised"),
        (into_output, "changes its input"),
        (Counting(), "keeps state"),
    ],
)
def test_what_a_sampler_does_wrong_has_a_kind_and_one_sentence(change, kind):
    with pytest.raises(ForeignError) as caught:
        trace(made(change))
    assert caught.value.kind == kind
    assert kind in KINDS
    assert "\n" not in str(caught.value)


def test_a_start_that_is_written_into_is_noticed():
    def f(model, x, times):
        return x.mul_(0.5) + model(x, times[0])

    with pytest.raises(ForeignError, match="its start") as caught:
        trace(callable_box.from_times(f, VP, GRID))
    assert caught.value.kind == "changes its input"


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch):
    for module in ("diffusers", "azula", "azula.sample", "k_diffusion.sampling"):
        monkeypatch.setitem(sys.modules, module, None)
    kdiffusion_box._sampling.cache_clear()
    monkeypatch.setattr(kdiffusion_box.importlib.util, "find_spec", lambda _: None)
    for call in (
        diffusers_box.schedulers,
        kdiffusion_box.samplers,
        azula_box.samplers,
        lambda: callable_box.load("/no/such/file.py"),
    ):
        with pytest.raises(ForeignError) as caught:
            call()
        assert caught.value.kind == "not installed"


@pytest.mark.parametrize(
    "spec", ["diffusers:Nope", "k-diffusion:nope", "azula:Nope", "nope:DDIM", "DDIM", ":x"]
)
def test_unknown_names_are_refused_with_the_accepted_ones(spec):
    with pytest.raises(ForeignError) as caught:
        native(spec, 3)
    assert caught.value.kind == "unknown name"


def test_a_library_without_a_box_is_named_as_such():
    with pytest.raises(ForeignError, match="skrample needs Python") as caught:
        names("skrample")
    assert caught.value.kind == "not supported"


def test_bad_options_are_quoted_from_the_library():
    with pytest.raises(ForeignError, match="raised TypeError"):
        diffusers_box.native("DDIM", 3, no_such_option=1)
    with pytest.raises(ForeignError, match="no option 'churn'"):
        diffusers_box.native("DDIM", 3, step_options={"churn": 1.0})
    with pytest.raises(ForeignError, match="no schedule 'zigzag'"):
        kdiffusion_box.native("euler", 3, schedule="zigzag")
    with pytest.raises(ForeignError, match="raised TypeError"):
        azula_box.on_grid("DDIMSampler", VP, GRID, no_such_option=1)


def test_samplers_are_listed_by_library():
    assert "DDIMScheduler" in names("diffusers")
    assert "dpmpp_2m" in names("k-diffusion")
    assert "zABSampler" in names("azula")


def test_a_file_of_the_users_own_is_a_library(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def half(model, x, sigmas):\n"
        "    for s, t in zip(sigmas[:-1], sigmas[1:]):\n"
        "        x = x + (x - model(x, s)) / s * (t - s)\n"
        "    return x\n"
    )
    found = trace(native(f"{path}:half", 4))
    assert found.linear
    assert found.require_plan().nfe == 4
    assert trace(by_name(f"{path}:half", VP, GRID)).require_plan().nfe == 3
    path.write_text("raise RuntimeError('not today')\n")
    with pytest.raises(ForeignError, match="not today"):
        native(f"{path}:half", 4)
    path.write_text("x = 1\n")
    with pytest.raises(ForeignError, match="no function"):
        native(f"{path}:half", 4)


def test_nothing_stays_patched_whatever_happens():
    module = sys.modules[__name__]

    def inside():
        assert torch.tensor(0.1).dtype == torch.float64
        assert torch.ones(2, dtype=torch.float32).float().dtype == torch.float64
        assert module.np.float32 is np.float64
        assert not torch.randn(3).any()
        assert not torch.randn_like(torch.ones(2)).any()
        assert float(torch.empty(1).normal_(2.0, 3.0)) == 2.0
        assert float(torch.normal(1.0, 2.0, size=(1,))) == 1.0
        assert float(torch.normal(torch.ones(1), 2.0)) == 1.0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Intercept(torch.zeros_like, modules=(__name__,)):
        inside()
    assert torch.tensor(0.1).dtype == torch.float32
    assert module.np is sys.modules["numpy"]
    assert torch.randn(8).any()


def test_a_foreign_sampler_is_measured_like_any_black_box():
    """Azula's REABSampler has the variance of the wrong node in a root, and order 1, not 2."""

    def measured(name):
        box = foreign_sampler(name, lambda p, g: azula_box.on_grid(name, p, g))
        return slopes(paired_errors(box, WAVY, [20, 40, 80], noise=0))

    assert measured("xEABSampler")[-1] == pytest.approx(2.0, abs=0.1)
    assert measured("REABSampler")[-1] == pytest.approx(1.0, abs=0.1)


def test_the_exact_law_of_a_foreign_sampler_needs_no_samples():
    errors = []
    for steps in (20, 40):
        grid = WAVY.grid(steps)
        box = foreign_sampler("sde", lambda p, g: kdiffusion_box.on_grid("dpmpp_2m_sde", p, g))
        found = affine_map(box, VP, grid, MEAN, VARIANCES)
        seen = strong_error_of(response_of(found), DATA, grid[0], grid[-1], eta=1.0, process=VP)
        variance = found.law(*marginal(grid[0]))[1]
        errors.append(np.abs(variance - marginal(grid[-1])[1]).max())
        assert seen.per_direction.max() < 0.2
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)  # weak order 2


def marginal(node):
    return node.alpha * MEAN, node.alpha**2 * VARIANCES + node.sigma**2


def test_a_stochastic_foreign_sampler_needs_noise_and_a_bad_model_is_caught():
    foreign = kdiffusion_box.on_grid("euler_ancestral", VP, GRID)
    x = torch.ones(2, 3)
    with pytest.raises(InvalidPlanError, match="noise"):
        run_foreign(foreign, lambda y, _: y, x)
    one, again, other = (run_foreign(foreign, lambda y, _: y, x, noise=s).x for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32
    with pytest.raises(NonFiniteError, match="sample 0"):
        run_foreign(foreign, lambda y, _: y * torch.inf, x, noise=1)


def test_the_model_is_left_alone_inside_foreign_code():
    seen = []

    def network(y, t):
        seen.append((torch.tensor(t).dtype, y.float().dtype, bool(torch.randn(9).any())))
        return y.float()

    foreign = diffusers_box.on_grid("DPMSolverMultistep", VP, GRID)
    out = run_foreign(foreign, network, torch.ones(2, 3, dtype=torch.float64))
    assert set(seen) == {(torch.float32, torch.float32, True)}
    assert out.x.dtype == torch.float64
    with pytest.raises(ForeignError, match="has no plan") as caught:
        trace(kdiffusion_box.native("dpm_adaptive", 3)).require_plan()
    assert caught.value.kind == "no plan"
