"""What is read out of a foreign sampler is that sampler, and the one its name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.compare_plans import compare, nearest
from fokker.solvers.adapters import azula_box, diffusers_box, kdiffusion_box
from fokker.solvers.adapters.basis import BasisSession
from fokker.solvers.adapters.compress import compress, true_states
from fokker.solvers.adapters.foreign import run_foreign
from fokker.solvers.adapters.foreign_error import ForeignError
from fokker.solvers.adapters.trace import CLIPS, STEERS, trace
from fokker.solvers.grids import Grid, grid_from_times, wavy_lam
from fokker.solvers.plan import Lin, Noise
from fokker.solvers.plan_algebra import canonical
from fokker.solvers.process import DATA
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear

D, K, A = diffusers_box, kdiffusion_box, azula_box
VP = VPLinear()
OPEN = wavy_lam(VP, -3.0, 2.0).grid(6)
TO_ZERO = OPEN.with_zero()
NO_CLIP = {"clip_sample": False}

EQUAL = (
    (D, "DDIM", NO_CLIP, "ddim", {}),
    (D, "DDIM", {**NO_CLIP, "step_options": {"eta": 0.5}}, "ddim_eta", {"eta_ddim": 0.5}),
    (D, "DDPM", NO_CLIP, "ancestral", {}),
    (D, "EulerDiscrete", {}, "ddim", {}),
    (D, "EulerAncestralDiscrete", {}, "ancestral", {}),
    (D, "EDMEuler", {}, "ddim", {}),
    (D, "FlowMatchEulerDiscrete", {}, "ddim", {}),
    (D, "HeunDiscrete", {}, "edm_heun", {}),
    (D, "KDPM2Discrete", {}, "dpm_solver_2", {}),
    (D, "LMSDiscrete", {}, "lms", {}),
    (D, "PNDM", {}, "pndm", {}),
    (D, "DPMSolverMultistep", {"lower_order_final": False}, "dpmpp_2m", {}),
    (D, "DPMSolverMultistep", {"prediction_type": "v_prediction"}, "dpmpp_2m", {"final": "lower"}),
    (K, "euler", {}, "ddim", {}),
    (K, "euler_ancestral", {}, "ancestral", {}),
    (K, "heun", {}, "edm_heun", {}),
    (K, "dpm_2", {}, "dpm_solver_2", {}),
    (K, "lms", {}, "lms", {}),
    (K, "dpmpp_2m", {}, "dpmpp_2m", {}),
    (K, "dpmpp_2m_sde", {}, "sde_dpmpp_2m", {}),
    (K, "dpmpp_2m_sde", {"eta": 0.5}, "sde_dpmpp_2m", {"eta": 0.5}),
    (K, "dpmpp_3m_sde", {}, "sde_dpmpp_3m_published", {}),
    (A, "EulerSampler", {}, "ddim", {}),
    (A, "DDPMSampler", {}, "ancestral", {}),
    (A, "HeunSampler", {}, "edm_heun", {}),
    (A, "zABSampler", {"order": 3}, "deis_rhoab3", {}),
    (A, "xEABSampler", {}, "exp_ab2_data", {}),
)


@pytest.mark.parametrize(("box", "name", "options", "ours", "ours_options"), EQUAL)
def test_a_foreign_sampler_is_ours_of_the_same_name(box, name, options, ours, ours_options):
    found = trace(box.on_grid(name, VP, OPEN, **options))
    plan = get(ours)(VP, OPEN, **ours_options)
    seen = compare(found.require_plan(), plan, ours)
    assert seen.equal, str(seen)
    assert found.linear
    assert found.gap < 1e-14
    assert found.calls[0].node == OPEN[0]


@pytest.mark.parametrize("process", [RectifiedFlow(), EDM()])
def test_the_process_changes_nothing_but_the_scale(process):
    grid = wavy_lam(process, -3.0, 2.0).grid(4)
    for name in (
        "DPMSolverMultistep",
        "HeunDiscrete",
        "DDIM",
        "EDMEuler",
        "FlowMatchEulerDiscrete",
    ):
        options = NO_CLIP if name == "DDIM" else {}
        found = trace(D.on_grid(name, process, grid, **options))
        ours = {"HeunDiscrete": "edm_heun", "DPMSolverMultistep": "dpmpp_2m"}.get(name, "ddim")
        more = {"final": "lower"} if ours == "dpmpp_2m" else {}
        assert compare(found.require_plan(), get(ours)(process, grid, **more)).equal


@pytest.mark.parametrize(
    ("box", "name", "ours"),
    [
        (D, "DPMSolverMultistep", "dpmpp_2m"),
        (D, "UniPCMultistep", "unipc_2"),
        (D, "HeunDiscrete", "edm_heun"),
        (K, "dpmpp_2m_sde", "sde_dpmpp_2m"),
        (A, "zABSampler", "deis_rhoab2"),
    ],
)
def test_the_step_to_sigma_zero_is_read_too(box, name, ours):
    found = trace(box.on_grid(name, VP, TO_ZERO))
    assert compare(found.require_plan(), get(ours)(VP, TO_ZERO)).equal
    assert found.foreign.end == DATA


def test_the_step_in_which_two_samplers_part_is_named():
    foreign = D.on_grid("DPMSolverMultistep", VP, OPEN, solver_order=3, lower_order_final=False)
    seen = compare(trace(foreign).require_plan(), get("dpmpp_3m_published")(VP, OPEN), "3M")
    # the second step of the library is the midpoint rule, ours integrates the interpolant
    apart = [k for k, gap in enumerate(seen.local) if gap > 1e-11]
    assert apart == [2]
    assert "except the state of evaluation 3" in str(seen)
    found = nearest(trace(K.on_grid("dpmpp_2m", VP, OPEN)).require_plan(), VP, [OPEN])
    assert found.nearest[0].name == "dpmpp_2m"
    assert found.nearest[0].equal


def model(x, t):
    """Nonlinear, and different at each level."""
    return torch.tanh(x) * (0.3 + t) + 0.1 * x


RUNNING = (
    (D, "DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}),
    (D, "DPMSolverSinglestep", {"solver_order": 3}),
    (D, "UniPCMultistep", {"solver_order": 3}),
    (D, "DEISMultistep", {"solver_order": 3}),
    (D, "SASolver", {"tau_func": lambda _: 1.0}),
    (D, "PNDM", {}),
    (D, "KDPM2AncestralDiscrete", {}),
    (D, "DPMSolverSDE", {}),
    (D, "CosineDPMSolverMultistep", {}),
    (D, "EDMEuler", {"step_options": {"s_churn": 3.0}}),
    (D, "FlowMatchHeunDiscrete", {}),
    (K, "dpmpp_sde", {}),
    (K, "dpm_2_ancestral", {}),
    (K, "dpmpp_2s_ancestral", {}),
    (K, "heun", {"s_churn": 3.0}),
    (A, "ItoSampler", {}),
    (A, "PCSampler", {}),
    (A, "vABSampler", {}),
)


@pytest.mark.parametrize(("box", "name", "options"), RUNNING)
def test_the_compressed_plan_gives_the_samples_of_the_foreign_code(box, name, options):
    foreign = box.on_grid(name, VP, OPEN, **options)
    found = trace(foreign)
    plan = compress(found.require_plan())
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)

    def asked(y, t):  # what the sampler asks for
        return model(y, t)

    own = run_foreign(foreign, asked, x, noise=5, given=foreign.prediction)
    ours = run(plan, asked, x, noise=5)
    torch.testing.assert_close(ours.x, own.x, rtol=1e-10, atol=1e-10)
    assert own.asked == len(found.calls)
    assert max(len(op.terms) for op in plan.ops if isinstance(op, Lin)) <= 9
    assert plan.peak_live <= 12
    assert len(true_states(found.require_plan())) == len(found.calls)


@pytest.mark.parametrize("steps", [8, 16])
def test_the_rows_of_a_compressed_trace_do_not_grow_with_the_steps(steps):
    grid = wavy_lam(VP, -3.0, 2.0).grid(steps)
    for box, name, most in ((D, "DPMSolverMultistep", 4), (K, "dpmpp_2m", 3), (D, "DDIM", 2)):
        options = NO_CLIP if name == "DDIM" else {}
        found = trace(box.on_grid(name, VP, grid, **options)).require_plan()
        short = compress(found)
        longest = max(len(op.terms) for op in short.ops if isinstance(op, Lin))
        assert longest == most
        assert max(len(op.terms) for op in found.ops if isinstance(op, Lin)) == steps + 1


def test_a_path_of_noise_is_cut_where_the_sampler_asks():
    plan = trace(D.on_grid("DPMSolverSDE", VP, OPEN)).require_plan()
    cells = [op for op in plan.ops if isinstance(op, Noise)]
    assert len(cells) == 2 * len(OPEN)  # each step in two, of one Brownian motion
    assert {c.clock for c in cells} == {"lam"}
    halves = [(s.lam + t.lam) / 2 for s, t in OPEN.steps()]
    assert {round(c.a, 9) for c in cells} >= {round(h, 9) for h in halves}


def test_increments_of_a_path_overlap_as_those_of_brownian_motion_do():
    eye, like = torch.eye(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    session = BasisSession(lambda k: eye[k], [1.0, 2.0, 4.0, 4.5, 9.0])
    spans = [(4.0, 1.0), (9.0, 2.0), (4.5, 4.0), (1.0, 9.0), (4.0, 1.0)]
    drawn = [session.path(like, s, t) for s, t in spans]
    for (s, t), one in zip(spans, drawn, strict=True):
        for (u, v), two in zip(spans, drawn, strict=True):
            overlap = max(0.0, min(max(s, t), max(u, v)) - max(min(s, t), min(u, v)))
            expected = overlap / math.sqrt(abs(s - t) * abs(u - v))
            assert float(one @ two) == pytest.approx(expected, abs=1e-14)
    live = BasisSession(lambda k: eye[k])
    live.path(like, 1.0, 9.0)
    with pytest.raises(ForeignError, match="part of an interval"):
        live.path(like, 1.0, 2.0)
    with pytest.raises(ForeignError, match="empty interval"):
        live.path(like, 2.0, 2.0)


def test_a_sampler_that_clips_is_read_where_it_does_not():
    found = trace(D.native("DDIM", 5))
    assert found.nonlinear == CLIPS
    free = trace(D.native("DDIM", 5, clip_sample=False))
    assert free.linear
    assert compare(found.require_plan(), free.require_plan()).gap == 0.0
    threshold = trace(D.native("DPMSolverMultistep", 5, thresholding=True))
    assert threshold.nonlinear == CLIPS


def test_error_control_is_recognised_and_has_no_plan():
    found = trace(K.native("dpm_adaptive", 5))
    assert found.nonlinear == STEERS
    assert found.plan is None
    assert any("error control" in note for note in found.notes)


def test_levels_and_labels_are_told_apart():
    exact = trace(D.native("DPMSolverMultistep", 6))
    assert exact.rounding < 1e-12  # its levels are those of whole times
    rounded = trace(D.native("DPMSolverMultistep", 6, use_karras_sigmas=True))
    assert 1e-4 < rounded.rounding < 0.1  # Karras levels, times rounded to whole numbers
    assert all(label is not None and label == int(label) for label in rounded.labels)
    assert any("stands for lam" in note for note in rounded.notes)
    worst = max(rounded.calls, key=lambda c: abs(c.rounding))
    table = rounded.foreign.process
    assert worst.node.lam + worst.rounding == pytest.approx(
        float(table.lam(((worst.label or 0.0) + 1) / 1000))
    )


def test_the_label_is_what_the_network_would_see_on_demand():
    foreign = D.native("DPMSolverMultistep", 6, use_karras_sigmas=True)
    seen = {True: [], False: []}
    for labelled, times in seen.items():

        def watch(x, t, times=times):
            times.append(t)
            return 0.0 * x

        run_foreign(foreign, watch, torch.ones(2, 2), as_labelled=labelled)
    calls = trace(foreign).calls
    assert seen[False] == [c.node.t for c in calls]
    assert seen[True] == [c.denoted.t for c in calls if c.denoted]
    assert seen[True] != seen[False]


@pytest.mark.parametrize("name", ["DPMSolverMultistep", "EulerDiscrete", "UniPCMultistep"])
def test_as_shipped_a_sampler_is_itself_to_single_precision(name):
    exact, shipped = (trace(D.native(name, 6, exact=e)) for e in (True, False))
    assert exact.gap < 1e-14
    assert 1e-9 < shipped.gap < 1e-5
    assert exact.labels == pytest.approx(shipped.labels, rel=1e-6)
    one, two = canonical(exact.require_plan()), canonical(shipped.require_plan())
    assert 0 < np.abs(one - two).max() < 1e-4 * np.abs(one).max()


@pytest.mark.slow
def test_every_scheduler_of_diffusers_has_a_typed_outcome():
    outcomes, sentences = {}, []
    for name in D.schedulers():
        try:
            found = trace(D.native(name, 3))
            outcomes[name] = "plan" if found.plan is not None else found.nonlinear
        except ForeignError as error:
            outcomes[name] = error.kind
            sentences.append(str(error))
    read = [name for name, outcome in outcomes.items() if outcome == "plan"]
    assert len(read) >= 20
    assert all(s and "\n" not in s for s in sentences)
    assert len(outcomes) >= 40


def test_noise_that_weighs_nothing_is_left_out_and_noted():
    found = trace(K.on_grid("heun", VP, OPEN))
    assert found.noises == len(OPEN)
    assert not any(isinstance(op, Noise) for op in found.require_plan().ops)
    assert any("no weight" in note for note in found.notes)


@pytest.mark.parametrize("name", ["LCM", "TCD", "SASolver"])
def test_a_sampler_that_looks_at_the_label_keeps_its_own_levels(name):
    with pytest.raises(ForeignError, match="time labels") as caught:
        D.on_grid(name, VP, OPEN)
    assert caught.value.kind == "not supported"
    assert trace(D.native(name, 4)).plan is not None


def test_grids_that_a_scheduler_cannot_take_are_refused():
    with pytest.raises(ForeignError, match="cannot be put on a grid"):
        D.on_grid("DEISMultistep", VP, TO_ZERO)
    pure = grid_from_times(RectifiedFlow(), [1.0, 0.6, 0.2])
    with pytest.raises(ForeignError, match="alpha = 0"):
        D.on_grid("EulerDiscrete", RectifiedFlow(), pure)
    with pytest.raises(ForeignError, match="alpha = 0"):
        K.on_grid("euler", RectifiedFlow(), pure)
    found = trace(D.on_grid("FlowMatchEulerDiscrete", RectifiedFlow(), pure))
    assert math.isinf(found.calls[0].node.lam)
    one = Grid(OPEN.nodes[:2])
    assert compare(trace(K.on_grid("euler", VP, one)).require_plan(), get("ddim")(VP, one)).equal
