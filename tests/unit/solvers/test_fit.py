"""Fitted samplers: one way to fit, one way to use what was fitted, and neutral without it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import torch

from fokker.analysis.paired import sample
from fokker.cli.samplers import describe
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.registry import Sampler, get, samplers
from fokker.toy_models.problems import problem

FITTED = [e for e in samplers() if e.fit is not None]
each = pytest.mark.parametrize("entry", FITTED, ids=[e.name for e in FITTED])


def settings(entry: Sampler) -> dict[str, Any]:
    """What a fit cannot do without, by the names of its required settings."""
    assert entry.fit is not None
    known = {"data": problem("mixture").law.sample(300, seed=5), "lam": -1.0}
    required = [
        name
        for name, p in inspect.signature(entry.fit).parameters.items()
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    return {name: known[name] for name in required}


def test_there_are_fitted_samplers_and_others():
    assert {"dpm_v3_2", "dc_solver_2", "teleport_2m", "gauss_ab2"} <= {e.name for e in FITTED}
    assert all(e.fitted for e in FITTED)
    assert not get("ddim").fitted


@each
def test_what_a_fit_gives_is_what_the_builder_takes_and_it_changes_the_sample(entry):
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, 1.0).grid(5)
    starts, x = p.starts(256, seed=1), p.starts(3, seed=2)
    options = dict(entry.fit(p.model(), p.process, grid, starts, **settings(entry)))
    plain = sample(entry, p.model(), p.process, grid, x)
    got = sample(entry, p.model(), p.process, grid, x, **options)
    assert torch.isfinite(got).all()
    assert (got - plain).abs().max() > 1e-4
    again = dict(entry.fit(p.model(), p.process, grid, starts, **settings(entry)))
    assert torch.equal(sample(entry, p.model(), p.process, grid, x, **again), got)


@each
def test_a_fit_takes_model_process_grid_and_starts_first(entry):
    names = list(inspect.signature(entry.fit).parameters)
    assert names[:4] == ["model", "process", "grid", "starts"]


@pytest.mark.parametrize("name", ["dpm_v3_1", "dc_solver_2", "dc_solver_2_predictor"])
def test_a_fit_to_too_few_starts_is_refused(name):
    p = problem("mixture")
    grid = uniform_lam(p.process, -4.0, 1.0).grid(5)
    with pytest.raises(InvalidPlanError, match=r"at least .* starts.* got 16"):
        get(name).fit(p.model(), p.process, grid, p.starts(16))  # pyright: ignore


def test_the_list_of_samplers_says_which_can_be_fitted():
    assert json.loads(json.dumps(describe(get("dpm_v3_2"))))["fitted"] is True
    assert describe(get("ddim"))["fitted"] is False
