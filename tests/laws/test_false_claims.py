"""The negative control of the slopes: samplers that claim what is not so are judged not met."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from fokker.analysis.order import refine
from fokker.solvers.grids import Grid
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.process import Node, Process
from fokker.solvers.quadrature import exp_weights, phi
from fokker.solvers.registry import Sampler, get
from fokker.solvers.rows import Output, data_row, midpoint_weights
from fokker.solvers.samplers.multistep import multistep
from laws.measuring import FLOOR, shown, strong_at, weak_at
from laws.zoo import GRIDS


def _user(build: Callable[..., Plan], **claims: Any) -> Sampler:
    given = {"order": 2, "order_cold": 2, "nfe": lambda n: n, "prediction": "data"}
    return Sampler(name="mine", build=build, source="me", **(given | claims))


def _swapped_ratio(tau: Sequence[float], z: float) -> Any:
    """Three nodes with ``1/r`` where ``r`` belongs: h and h_last exchanged.

    With two nodes it would cost no order on any smooth grid, where r = 1 + O(h).
    """
    if len(tau) < 3:
        return exp_weights(tau, z)
    r0, r1 = -tau[1], tau[1] - tau[2]
    return exp_weights([0.0, -1 / r0, -1 / r0 - 1 / r1], z)


def _slope_once_too_much(tau: Sequence[float], z: float) -> Any:
    """2M without the factor 1/2."""
    w = midpoint_weights(tau, z)
    return w if len(tau) == 1 else w + np.array([-w[1], w[1]])


def _late(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]) -> int:
    """2M that believes the newest output was evaluated at the end of its step: off by one node."""
    moved = [(m, t if i == 0 else outputs[i - 1][1]) for i, (m, _) in enumerate(outputs)]
    if len(outputs) == 1:
        return data_row(tape, s, t, x, outputs)
    return data_row(tape, s, t, x, moved)


def _three_step(process: Process, grid: Grid, *, history: Sequence[Node] = ()) -> Plan:
    row = partial(data_row, weights=_swapped_ratio)
    return multistep(process, grid, order=3, row=row, history=history)


def _two_step(**row: Any) -> Callable[[Process, Grid], Plan]:
    def build(process: Process, grid: Grid) -> Plan:
        return multistep(process, grid, order=2, row=row.get("row") or partial(data_row, **row))

    return build


WRONG = {
    "first order claimed as second": _user(lambda p, g: multistep(p, g, order=1)),
    "missing factor two": _user(_two_step(weights=_slope_once_too_much)),
    "off by one node": _user(_two_step(row=_late)),
    "start of first order claimed to keep order three": dataclasses.replace(
        get("exp_ab3_data"), order_cold=3, history=0
    ),
    "published third order": dataclasses.replace(get("dpmpp_3m_published"), order=3, order_cold=3),
    "last step of first order claimed to keep order three": dataclasses.replace(
        get("exp_ab3_data_rkstart"), options={"final": "lower"}, history=0
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_false_claim_is_judged_not_met(name):
    entry = WRONG[name]
    assert entry.order_cold is not None
    for law in ("gaussian", "product"):
        claim = float(entry.order_cold)
        seen = shown(entry, law, "wavy", from_history=False, claim=claim)
        assert seen.verdict(claim) == "not met", (law, seen.slopes)


def test_a_warm_claim_of_the_published_3m_as_third_order_is_judged_not_met():
    for law in ("gaussian", "product"):
        for kind in GRIDS:
            seen = shown(get("dpmpp_3m_published"), law, kind, from_history=True, claim=3.0)
            assert seen.verdict(3.0) == "not met", (law, kind, seen.slopes)


def test_a_uniform_grid_hides_a_swapped_ratio_and_a_wavy_one_shows_it():
    entry = _user(_three_step, order=3, order_cold=2, history=2)
    for law in ("gaussian", "product"):
        hidden = shown(entry, law, "uniform", from_history=True, claim=3.0)
        assert hidden.verdict(3.0) == "met"
        seen = shown(entry, law, "wavy", from_history=True, claim=3.0)
        assert seen.verdict(3.0) == "not met", (law, seen.slopes)


def _noisy(extra: float) -> Callable[[Process, Grid], Plan]:
    """SDE-1 with its noise multiplied: right drift, wrong amount of noise."""

    def build(process: Process, grid: Grid) -> Plan:
        tape = Tape()
        x = tape.input("x", grid[0])
        for s, t in grid.steps():
            h = t.lam - s.lam
            d = tape.eval(x, s)
            xi = tape.noise("snr^1.0", s.lam, t.lam)
            x = tape.lin(
                (x, t.sigma / s.sigma * math.exp(-h)),
                (d, t.alpha * 2 * h * phi(1, -2 * h)),
                (xi, extra * t.sigma * math.sqrt(-math.expm1(-2 * h))),
            )
            tape.mark(x, t)
        return tape.plan(x=x)

    return build


@pytest.mark.parametrize("extra", [math.sqrt(2), 1.01, 0.0, -1.0])
def test_a_wrong_amount_of_noise_is_judged_not_met(extra):
    entry = _user(_noisy(extra), order=None, order_cold=None, weak=1, strong=1, sde_eta=1.0)
    strong = refine(strong_at(entry, "wavy"), claim=1.0, floor=FLOOR, least=6)
    assert strong.verdict(1.0) == "not met", strong.slopes
    weak = refine(weak_at(entry, "wavy", from_history=False), claim=1.0, floor=FLOOR, least=6)
    # the opposite path has the right law: only the strong error can see a sign
    assert weak.verdict(1.0) == ("met" if extra == -1.0 else "not met"), weak.slopes


def test_the_right_amount_of_noise_is_judged_met():
    entry = _user(_noisy(1.0), order=None, order_cold=None, weak=1, strong=1, sde_eta=1.0)
    assert refine(strong_at(entry, "wavy"), claim=1.0, floor=FLOOR).verdict(1.0) == "met"


def test_a_wrong_eta_is_judged_not_met():
    """DDIM's fraction of the noise taken for the eta of the SDE."""
    entry = dataclasses.replace(get("ddim_eta"), sde_eta=0.5)
    seen = refine(strong_at(entry, "uniform"), claim=1.0, floor=FLOOR, least=6)
    assert seen.verdict(1.0) == "not met", seen.slopes
