"""Every declared order is shown: Gaussian and nonlinear law, uniform and wavy grid, warm and cold.

* Deterministic: the paired error to the exact flow, from lam = -1.5, where the data prediction is
  not flat, so that a sampler's own start shows. A Gaussian alone is never enough (its denoiser is
  linear) and a uniform grid neither (it hides mistakes in step ratios).
* Stochastic plans: weak and strong error from the exact law on the Gaussian. On nonlinear laws
  the weak error is exact too, at the first power of the nonlinearity; the strong one is on one
  path for all grids, with an error bar in the verdict. Paths have fixed seeds. A right sampler
  fails if a slope lies more than a quarter below its order: above ten standard errors as
  observed, a false alarm rate far below 1e-6.

"Not resolved" is not a pass. ``test_false_claims.py`` is the negative control.
"""

from __future__ import annotations

import pytest

from fokker.analysis.order import refine
from fokker.analysis.path_order import strong_path_order
from fokker.analysis.stochastic.weak_expansion import weak_order
from fokker.solvers.registry import Sampler
from laws.measuring import FLOOR, PROCESS, SPAN, line, shown, strong_at, weak_at
from laws.zoo import ALL, GRIDS, PLANS, each, grid_map

ODES = [e for e in ALL if not e.stochastic and e.order is not None]
SDES = [e for e in PLANS if e.stochastic]


def _claims(entry: Sampler) -> list[tuple[bool, float]]:
    """(warm, order); one of the two where history does not exist."""
    found = [(True, entry.order)] if entry.history or entry.order_cold is None else []
    return [(w, float(o)) for w, o in (*found, (False, entry.order_cold)) if o is not None]


def _check_claims(entry: Sampler, law: str, kind: str) -> None:
    for from_history, claim in _claims(entry):
        seen = shown(entry, law, kind, from_history=from_history, claim=claim)
        assert seen.verdict(claim) == "met", (from_history, claim, seen.slopes)


@each([e for e in ODES if e.kind == "plan"])
@pytest.mark.parametrize("law", ["gaussian", "product"])
@pytest.mark.parametrize("kind", GRIDS)
def test_the_declared_order_is_shown_against_the_exact_flow(entry, law, kind):
    _check_claims(entry, law, kind)


@pytest.mark.slow
@each([e for e in ODES if e.kind != "plan"])
@pytest.mark.parametrize(("law", "kind"), [("gaussian", "uniform"), ("product", "wavy")])
def test_the_declared_order_of_another_library_is_shown_against_the_exact_flow(entry, law, kind):
    _check_claims(entry, law, kind)


@each([e for e in ODES if e.kind == "plan"])
def test_a_cold_start_is_never_claimed_to_be_better_than_a_warm_one(entry):
    assert entry.order_cold <= entry.order
    assert entry.history > 0 or entry.order_cold == entry.order


@each([e for e in ODES if e.published_order is not None and e.kind == "plan"])
def test_an_order_claimed_in_print_beyond_the_declared_one_is_not_met(entry):
    claim = float(entry.published_order)
    assert claim > entry.order
    seen = shown(entry, "product", "wavy", from_history=True, claim=claim)
    assert seen.verdict(claim) == "not met", seen.slopes


# -- stochastic -----------------------------------------------------------------------------------


@each(SDES)
@pytest.mark.parametrize("kind", GRIDS)
def test_declared_weak_and_strong_orders_are_those_of_the_exact_law_on_a_gaussian(entry, kind):
    claims = [
        (entry.weak, weak_at(entry, kind, from_history=entry.history > 0)),
        (entry.weak_cold, weak_at(entry, kind, from_history=False)),
        (entry.strong, strong_at(entry, kind)),
    ]
    assert entry.weak is not None
    for claim, error in claims:
        if claim is not None:
            seen = refine(error, claim=claim, floor=FLOOR)
            assert seen.verdict(claim) == "met", (claim, seen.slopes)
            # an order is a limit of slopes: exact agreement would hide a wrong truth
            assert not seen.exact


@each([e for e in ALL if e.stochastic and e.strong is not None])
def test_the_declared_strong_order_is_shown_on_one_path_of_a_nonlinear_law(entry):
    grids = grid_map(PROCESS, "uniform", SPAN)
    seen = strong_path_order(entry, line(), grids, levels=5)
    assert seen.verdict(entry.strong) == "met", seen


@each(SDES)
def test_the_declared_weak_order_is_shown_at_the_first_power_of_a_nonlinearity(entry):
    """Weak order 3 or less has no condition that this power does not see; nothing is drawn."""
    grids = grid_map(PROCESS, "wavy", SPAN)
    seen = weak_order(entry, grids, claim=entry.weak_cold, warm=False)
    assert seen.verdict(entry.weak_cold) == "met", seen.slopes
    assert not seen.exact
