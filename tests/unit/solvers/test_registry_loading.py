"""The registry is whole, names a bad plug-in, and builds a plan or says why not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fokker.analysis.algebra import constant_residual
from fokker.solvers import registry
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import grid_from_lams, grid_from_times, uniform_lam
from fokker.solvers.process import DATA
from fokker.solvers.schedules import VE, RectifiedFlow, VPLinear


class _Point:
    """An entry point of somebody's package."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.value, self.module, self.error = name, f"{name}:samplers", name, error

    def load(self) -> None:
        if self.error is not None:
            raise self.error


def _fresh(monkeypatch: pytest.MonkeyPatch, *points: _Point) -> None:
    registry.load_all()
    monkeypatch.setattr(registry, "_loaded", [])
    monkeypatch.setattr(registry, "_plugin_modules", set())
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)


def test_a_plug_in_that_cannot_be_loaded_is_named_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fresh(monkeypatch, _Point("broken", ImportError("no module\nof that name")), _Point("good"))
    with pytest.warns(RuntimeWarning, match="plug-in broken .*ImportError: no module of that"):
        assert len(registry.samplers()) > 40
    assert registry._plugin_modules == {"good"}


def test_after_a_failure_half_a_registry_does_not_pass_for_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fresh(monkeypatch)

    def fail(*_: Any) -> Any:
        raise OSError("disk")

    with monkeypatch.context() as broken:
        broken.setattr(registry.pkgutil, "walk_packages", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="disk"):
                registry.samplers()
    assert len(registry.samplers()) > 40


GRID = uniform_lam(VPLinear(), -2.0, 2.0).grid(6)


def test_an_unknown_option_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidPlanError, match="ddim_eta has no option 'eta'; accepted: eta_ddim"):
        registry.get("ddim_eta")(VPLinear(), GRID, eta=1.0)


@pytest.mark.parametrize(
    "error", [TypeError, AttributeError, IndexError, ValueError, OverflowError]
)
def test_what_a_builder_cannot_use_is_named_with_what_it_raised(error: type[Exception]) -> None:
    def build(_process: Any, _grid: Any, *, size: Any = 2) -> Any:
        raise error(f"no  such {size}")

    entry = registry.Sampler("mine", build, lambda n: n, "data", "me")
    said = f"mine cannot be built with size='a' on 6 steps .*{error.__name__}: no such a"
    with pytest.raises(InvalidPlanError, match=said) as caught:
        entry(VPLinear(), GRID, size="a")
    assert type(caught.value.__cause__) is error


def test_what_a_builder_refuses_by_itself_is_left_as_it_is() -> None:
    with pytest.raises(InvalidPlanError, match=r"^churn must be"):
        registry.get("edm_churn")(VPLinear(), GRID, churn=-1.0)


def test_a_step_that_is_too_long_for_floats_is_refused_with_the_levels() -> None:
    flow = RectifiedFlow()
    with pytest.raises(InvalidPlanError, match=r"on 1 steps from lam = -740 to 740: Overflow"):
        registry.get("ddim_eta")(flow, grid_from_lams(flow, [-740.0, 740.0]))


@pytest.mark.parametrize("ends", [(math.nan, 1.0), (0.0, math.nan), (2.0, 1.0)])
def test_churn_between_no_levels_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InvalidPlanError, match="from rho_low up to rho_high, got"):
        registry.get("edm_churn")(VPLinear(), GRID, rho_low=ends[0], rho_high=ends[1])


def test_every_plan_goes_from_the_cleanest_level_of_a_process_to_the_data() -> None:
    """VE stops at sigma_min, where its time is that of the data: a step without a length in t."""
    process = VE()
    grid = grid_from_times(process, [1.0, 0.7, 0.5, 0.3, 0.1, 0.0]).with_zero()
    for sampler in registry.samplers("plan"):
        assert sampler(process, grid).marks[-1].node == DATA, sampler.name


def test_the_step_without_a_length_in_t_gives_the_mean_of_the_data() -> None:
    grid = grid_from_times(VE(sigma_min=0.5), [0.1, 0.0]).with_zero().part(1, 2)
    assert constant_residual(registry.get("euler_maruyama")(VE(sigma_min=0.5), grid)) < 1e-14
