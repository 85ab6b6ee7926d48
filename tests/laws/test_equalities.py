"""The zoo collapses: published samplers under different names are the same table.

Sixteen equalities E1 .. E16 are known between published samplers. Held here to 1e-12: E1 (the many
faces of DDIM), E2 (EDM Heun is Heun in rho), E3 (2M is UniP-2, B2), E4 (2M with exact slope is
exponential Adams-Bashforth 2), E5 (UniP-3 is exponential Adams-Bashforth 3 for any B; the
published 3M is not), E6 (2S is the exponential midpoint rule), E8 (SDE-1 is ancestral sampling),
E9 (a shift of the data commutes with sampling), E11 (multistep consistency sampling is DDIM with
all of its noise), and of E13 that PLMS is iPNDM. The others are held where their methods live, in
``tests/unit/``: E7 (DPM-Solver-v3), E10 (PFGM++), E12 (BDIA, O-BELM), the rest of E13 (heavy
ball), E14 (DC-Solver), E15 (teleportation) and E16 (ResShift).

The other side of each equality is written out by hand from its paper, on every level with plain
exponentials, so that a slip in the engine cannot hide in both sides. This file has E1, E2
and E9, ``test_multistep_equalities.py`` E3 to E6 and E13, ``test_noisy_equalities.py`` E8 and E11.
"""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.grids import Grid
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.process import Node, Process
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.onestep import EULER, one_step, rk_row
from fokker.solvers.samplers.predictor_corrector import unipc
from laws.by_hand import on_grids, on_processes, same
from laws.zoo import (
    PLANS,
    PROCESSES,
    CallOrderNoise,
    bimodal_model,
    each,
    grid_of,
    starts,
    steps_of,
    variants,
)

# -- E1: DDIM and its names ---------------------------------------------------------------------

DDIM_NAMES = (
    "ddim", "dpm_solver_1", "exp_ab1_data", "exp_ab1_noise", "deis_tab1", "deis_rhoab1",
)  # fmt: skip


def _euler(grid: Grid, process: Process, clock: str) -> Plan:
    return one_step(grid, lambda tape, s, t, x: rk_row(tape, process, EULER, s, t, x, clock))


@on_grids
@on_processes
def test_e1_ddim_has_many_names(process, kind):
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:  # Song, Meng & Ermon, eq. 12
        eps = tape.lin((x, 1 / s.sigma), (tape.eval(x, s), -s.alpha / s.sigma))
        return tape.lin((tape.eval(x, s), t.alpha), (eps, t.sigma))

    truth = one_step(grid, step)
    for name in DDIM_NAMES:
        assert same(get(name)(process, grid), truth), name
    for clock in ("rho", "nu"):
        assert same(_euler(grid, process, clock), truth), clock


@on_grids
@on_processes
def test_e1_ddim_is_also_what_every_stochastic_sampler_of_first_order_is_without_noise(
    process, kind
):
    grid = grid_of(process, 6, kind)
    ddim = get("ddim")(process, grid)
    assert same(get("sde_dpmpp_1")(process, grid, eta=0.0), ddim)
    assert same(get("ddim_eta")(process, grid, eta_ddim=0.0), ddim)


@on_processes
def test_e1_a_single_step_of_unip_is_ddim(process):
    grid = grid_of(process, 1)
    for order in (1, 2, 3):
        assert same(unipc(process, grid, order=order), get("ddim")(process, grid))


@on_grids
def test_e1_ddim_is_euler_on_the_flow_velocity(kind):
    process = PROCESSES["flow"]
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        return tape.lin((x, 1.0), (tape.eval(x, s, "flow"), t.t - s.t))

    assert same(get("ddim")(process, grid), one_step(grid, step))


@on_grids
@pytest.mark.parametrize("name", ["vp", "cosine", "trig"])
def test_e1_ddim_is_a_rotation_by_the_velocity_where_alpha2_plus_sigma2_is_1(name, kind):
    process = PROCESSES[name]
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        angle = math.atan2(t.sigma, t.alpha) - math.atan2(s.sigma, s.alpha)
        return tape.lin((x, math.cos(angle)), (tape.eval(x, s, "velocity"), math.sin(angle)))

    assert same(get("ddim")(process, grid), one_step(grid, step))

    def straight(tape: Tape, s: Node, t: Node, x: int) -> int:
        angle = math.atan2(t.sigma, t.alpha) - math.atan2(s.sigma, s.alpha)
        return tape.lin((x, 1.0), (tape.eval(x, s, "velocity"), angle))

    assert not same(get("ddim")(process, grid), one_step(grid, straight))


# -- E2: EDM --------------------------------------------------------------------------------------


@on_grids
@pytest.mark.parametrize("name", ["ve", "edm"])
@pytest.mark.parametrize("to_zero", [False, True])
def test_e2_edm_heun_is_heun_in_rho_and_its_euler_is_ddim(name, kind, to_zero):
    process = PROCESSES[name]
    grid = grid_of(process, 5, kind)
    grid = grid.with_zero() if to_zero else grid

    def slope(tape: Tape, at: Node, x: int) -> int:  # Karras et al., Alg. 1, on the denoiser
        return tape.lin((x, 1 / at.sigma), (tape.eval(x, at), -1 / at.sigma))

    def heun(tape: Tape, s: Node, t: Node, x: int) -> int:
        d = slope(tape, s, x)
        euler = tape.lin((x, 1.0), (d, t.sigma - s.sigma))
        if t.sigma == 0.0:
            return euler
        half = 0.5 * (t.sigma - s.sigma)
        return tape.lin((x, 1.0), (d, half), (slope(tape, t, euler), half))

    def euler(tape: Tape, s: Node, t: Node, x: int) -> int:
        return tape.lin((x, 1.0), (slope(tape, s, x), t.sigma - s.sigma))

    truth = one_step(grid, heun)
    assert same(get("edm_heun")(process, grid), truth)
    assert same(get("edm_churn")(process, grid, churn=0.0), truth)
    assert same(get("ddim")(process, grid), one_step(grid, euler))


# -- E9: a shift of the data ----------------------------------------------------------------------


@each([e for e in PLANS if e.semilinear])
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_e9_a_shift_of_the_data_commutes_with_sampling(entry, name):
    process, shift = PROCESSES[name], 1.7
    grid = grid_of(process, steps_of(entry, 6))
    s, t = grid[0], grid[-1]
    x = starts() * s.alpha
    for options in variants(entry):
        plan = entry(process, grid, **options)
        plain = run(plan, bimodal_model(process, entry.prediction), x, noise=CallOrderNoise()).x
        moved = run(
            plan,
            bimodal_model(process, entry.prediction, shift=shift),
            x + s.alpha * shift,
            noise=CallOrderNoise(),
        ).x
        torch.testing.assert_close(moved - t.alpha * shift, plain, rtol=1e-10, atol=1e-10)
