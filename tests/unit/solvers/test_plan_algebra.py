"""Plans compose, change prediction, invert, and are compared by what they compute."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fokker.solvers.errors import InvalidPlanError, NotInvertibleError, PredictionError
from fokker.solvers.grids import grid_from_lams
from fokker.solvers.model import PREDICTIONS, as_prediction
from fokker.solvers.plan import Eval, Noise, Plan, Tape, interpret
from fokker.solvers.plan_algebra import canonical, compose, distance, invert, leaves, to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPCosine
from plans import PROCESS, euler, grid, leapfrog, random_plans, two_step
from tolerances import EXACT


def bimodal(x, t):
    """A data prediction that is not linear: the denoiser of two points, -1 and 1, on VP."""
    node = PROCESS.node(float(t))
    return (x * node.alpha / node.sigma**2).tanh()


def start(batch: int = 5) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 3, dtype=torch.float64).reshape(batch, 3)


# -- compose ---------------------------------------------------------------------------------


def test_switching_to_the_same_sampler_half_way_is_the_whole():
    nodes = grid(8)
    whole = two_step(nodes)
    halves = compose(two_step(nodes.part(0, 3)), two_step(nodes.part(3, 8), past=nodes[2]))
    assert distance(halves, whole) == 0.0
    assert len(halves.marks) == 8
    assert [m.step for m in halves.marks] == list(range(1, 9))
    assert halves.nfe == whole.nfe
    history = {"m-1": start() / 3}
    a = run(whole, bimodal, start(), history=history)
    b = run(halves, bimodal, start(), history=history)
    assert torch.equal(a.x, b.x)


@pytest.mark.parametrize(("name", "memory"), [("ddim", 0), ("dpmpp_2m", 1), ("exp_ab3_data", 2)])
def test_registered_samplers_switch_half_way(name: str, memory: int):
    sampler, nodes = get(name), grid(9)
    whole = sampler(PROCESS, nodes)
    first = sampler(PROCESS, nodes.part(0, 4))
    past = [nodes[4 - j] for j in range(1, memory + 1)]
    second = sampler(PROCESS, nodes.part(4, 9), **({"history": past} if memory else {}))
    assert distance(compose(first, second), whole) < EXACT


def test_two_different_samplers_join_and_pass_their_history():
    nodes = grid(6)
    first = get("dpmpp_2m")(PROCESS, nodes.part(0, 3))
    second = get("exp_ab2_data")(PROCESS, nodes.part(3, 6), history=[nodes[2]])
    both = compose(first, second)
    by_hand = run(first, bimodal, start())
    want = run(second, bimodal, by_hand.x, history={"m-1": by_hand.outputs["m-1"]})
    torch.testing.assert_close(run(both, bimodal, start()).x, want.x, rtol=EXACT, atol=EXACT)
    assert set(both.inputs) == {"x"}


def test_what_the_first_plan_does_not_deliver_stays_an_input():
    both = compose(euler(grid(4).part(0, 2)), two_step(grid(4).part(2, 4)))
    assert set(both.inputs) == {"x", "m-1"}


def test_what_both_halves_ask_is_asked_once():
    tape = Tape()
    x = tape.input("x", grid(2)[0])
    m = tape.eval(x, grid(2)[0])
    first = tape.plan(x=x, m=m)
    both = compose(first, euler(grid(2), "data"))
    assert both.nfe == 2
    assert sum(isinstance(op, Eval) for op in both.ops) == 2


def test_levels_that_do_not_meet_are_refused():
    with pytest.raises(
        InvalidPlanError, match=r"'x' ends at lam = -0\.5.*takes it at lam = 0\.75"
    ):
        compose(euler(grid(4).part(0, 2)), euler(grid(4).part(3, 4)))
    nodes = grid(4)
    first = get("dpmpp_2m")(PROCESS, nodes.part(0, 2))
    second = get("dpmpp_2m")(PROCESS, nodes.part(2, 4), history=[nodes[0]])
    with pytest.raises(InvalidPlanError, match="'m-1' ends at lam"):
        compose(first, second)


@pytest.mark.parametrize("other", [EDM(), RectifiedFlow()])
def test_plans_of_two_processes_are_not_joined_though_their_lams_agree(other):
    lams = [n.lam for n in grid(4).nodes]
    first = get("ddim")(PROCESS, grid_from_lams(PROCESS, lams[:3]))
    second = get("ddim")(other, grid_from_lams(other, lams[2:]))
    with pytest.raises(InvalidPlanError, match=r"'x' ends at alpha = .*different processes"):
        compose(first, second)


def test_one_step_to_the_data_asks_elsewhere_on_another_process():
    """The rows are equal, ``x = D``; the model is asked at another alpha."""
    a, b = (get("ddim")(p, grid_from_lams(p, [0.0, math.inf])) for p in (PROCESS, EDM()))
    assert np.array_equal(canonical(a), canonical(b))
    assert distance(a, b) == pytest.approx(1.0 - math.sqrt(0.5))


def test_a_history_of_another_prediction_is_refused():
    nodes = grid(4)
    first = get("exp_ab2_noise")(PROCESS, nodes.part(0, 2))
    second = get("exp_ab2_data")(PROCESS, nodes.part(2, 4), history=[nodes[1]])
    with pytest.raises(InvalidPlanError, match=r"'m-1' is a noise prediction.*data prediction"):
        compose(first, second)


def test_halves_that_use_one_noise_cell_are_refused():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = tape.plan(x=tape.lin((x, 1.0), (tape.noise("lam", 0.0, 1.0), 1.0)))
    with pytest.raises(InvalidPlanError, match="overlap"):
        compose(plan, plan)


# -- to_prediction ---------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "other"), list(itertools.permutations(PREDICTIONS, 2)))
def test_asking_for_another_prediction_gives_the_same_sample(own: str, other: str):
    plan = two_step(grid(5)) if own == "data" else euler(grid(5), own)
    model = as_prediction(bimodal, PROCESS, source="data", target=own)
    seen = as_prediction(bimodal, PROCESS, source="data", target=other)
    history = {"m-1": start() / 3}
    want = run(plan, model, start(), history=history).x
    changed = to_prediction(plan, other)
    got = run(changed, seen, start(), history=history).x
    assert {op.prediction for op in changed.ops if isinstance(op, Eval)} == {other}
    assert changed.nfe == plan.nfe
    assert len(changed.marks) == len(plan.marks)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_asking_for_its_own_prediction_changes_nothing():
    assert distance(to_prediction(two_step(grid(4)), "data"), two_step(grid(4))) == 0.0


def test_a_sampler_on_noise_is_the_one_on_data_asked_for_noise():
    on_data, on_noise = (get(n)(PROCESS, grid(5)) for n in ("ddim", "dpm_solver_1"))
    on_data = Plan(on_data.ops, {"x": on_data.outputs["x"]}, on_data.marks)  # no history out
    assert distance(to_prediction(on_data, "noise"), on_noise) < EXACT
    assert distance(to_prediction(on_noise, "data"), on_data) < EXACT


def test_a_prediction_that_does_not_exist_at_a_level_is_an_error():
    process = VPCosine()
    tape = Tape()
    x = tape.input("x", process.node(1.0))
    plan = tape.plan(x=tape.lin((x, 0.5), (tape.eval(x, process.node(1.0), "data"), 1.0)))
    with pytest.raises(PredictionError, match="alpha = 0"):
        to_prediction(plan, "noise")


# -- invert ----------------------------------------------------------------------------------


def noise_model(x, t):
    return torch.sin(1.7 * x) + 0.3 * x + t


def test_a_leapfrog_goes_there_and_back_to_rounding():
    nodes = grid(40, -2.0, 1.0)
    plan = leapfrog(nodes)
    back = invert(plan)
    assert set(back.inputs) == {"x", "x-1"}
    assert set(back.outputs) == {"x", "x-1"}
    begin = {"x-1": start() * 1.01, "x": start()}
    there = run(plan, noise_model, begin["x"], history={"x-1": begin["x-1"]}).outputs
    assert not torch.allclose(there["x"], begin["x"], atol=0.1)
    home = run(back, noise_model, there["x"], history={"x-1": there["x-1"]}).outputs
    for name in begin:
        torch.testing.assert_close(home[name], begin[name], rtol=1e-11, atol=1e-11)
    assert back.nfe == plan.nfe


def test_the_inverse_of_the_inverse_is_the_plan():
    plan = leapfrog(grid(6))
    history = {"x-1": start() * 0.9}
    want = run(plan, noise_model, start(), history=history).outputs
    got = run(invert(invert(plan)), noise_model, start(), history=history).outputs
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=EXACT, atol=EXACT)


def test_a_pure_sum_is_inverted_with_its_noises():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    xi = tape.noise("lam", 0.0, 1.0)
    plan = tape.plan(x=tape.lin((x, 2.0), (xi, -3.0)))
    there = run(plan, bimodal, start(), noise=7)
    home = run(invert(plan), bimodal, there.x, noise=7)
    torch.testing.assert_close(home.x, start(), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "dpmpp_2s", "unipc_2"])
def test_a_sampler_that_evaluates_at_the_unknown_state_has_no_inverse(name: str):
    with pytest.raises(NotInvertibleError, match=r"input 'x' cannot be recovered.*\['m-1'|'x'\]"):
        invert(get(name)(PROCESS, grid(4)))


def test_a_state_forgotten_by_a_zero_weight_is_not_recovered():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    for weight in (0.0, np.array([1.0, 0.0, 2.0])):
        with pytest.raises(NotInvertibleError):
            invert(Plan((*tape.plan(x=x).ops, _row((0, weight))), {"x": 1}))


def _row(*terms):
    from fokker.solvers.plan import Lin

    return Lin(tuple(terms))


@pytest.mark.parametrize("weight", [0.5, [0.5, 2.0, -1.0]])
def test_learned_weights_are_inverted_with_their_gradients(weight):
    w = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
    tape = Tape()
    x, v = tape.input("x", grid(1)[0]), tape.input("v", grid(1)[0])
    m = tape.eval(v, grid(1)[0])
    plan = tape.plan(x=v, v=tape.lin((x, w), (m, 0.3)))
    state, momentum = start(), 0.5 * start()
    there = run(plan, bimodal, state, history={"v": momentum}).outputs
    back = run(invert(plan), bimodal, there["x"], history={"v": there["v"]}, grad=True).outputs
    torch.testing.assert_close(back["x"].detach(), state, rtol=1e-13, atol=1e-13)
    (slope,) = torch.autograd.grad(back["x"].sum(), w)
    torch.testing.assert_close(slope, (-state / w.detach()).sum_to_size(w.shape))
    if w.ndim == 0:
        assert distance(plan, plan) == 0.0


def test_a_vector_named_twice_in_a_row_is_counted_twice():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = Plan((*tape.plan(x=x).ops, _row((0, 1.5), (0, 0.5))), {"x": 1})
    home = run(invert(plan), bimodal, 2.0 * start())
    torch.testing.assert_close(home.x, start(), rtol=EXACT, atol=EXACT)


# -- canonical form and distance -------------------------------------------------------------


def test_the_canonical_form_of_one_euler_step_is_its_row():
    plan = euler(grid(1))
    s, t = grid(1).nodes
    want = [[1.0, 0.0], [t.alpha / s.alpha, t.alpha * (t.rho - s.rho)]]
    np.testing.assert_allclose(canonical(plan), want, rtol=1e-15)


@given(random_plans(), st.randoms(use_true_random=False))
def test_the_canonical_form_says_what_the_plan_computes(plan: Plan, random):
    """Whatever numbers the inputs, noises and outputs of the model are."""
    order = leaves(plan)
    values = {i: random.uniform(-1, 1) for i in order}
    rows = canonical(plan)
    assume(np.abs(rows).max() < 1e12)
    states: list[float] = []

    def evaluate(i: int, _op: Eval, x: float) -> float:
        states.append(x)
        return values[i]

    out = interpret(
        plan,
        inputs={name: values[i] for name, i in plan.inputs.items()},
        evaluate=evaluate,
        draw=lambda i, _op: values[i],
    )
    got = rows @ [values[i] for i in order]
    size = 1.0 + np.abs(rows).sum(axis=1)
    want = np.array([*states, *(out[name] for name in sorted(out))])
    assert (np.abs(got - want) <= 1e-12 * size.max()).all()


@given(random_plans())
def test_a_plan_is_at_distance_zero_from_itself_and_from_its_copy(plan: Plan):
    assert distance(plan, plan) == 0.0


def test_the_distance_is_the_largest_difference_of_an_entry():
    a, b = two_step(grid(3), (0.9, 0.2, -0.1)), two_step(grid(3), (0.9, 0.2, -0.1 + 1e-3))
    assert 1e-3 <= distance(a, b) < 3e-3
    assert distance(a, b) == distance(b, a)


def test_plans_that_ask_or_draw_elsewhere_are_infinitely_far():
    assert distance(euler(grid(3)), euler(grid(4))) == math.inf
    assert distance(euler(grid(3)), euler(grid(3, -3.0, 1.9))) == math.inf
    assert distance(euler(grid(3)), euler(grid(3), "data")) == math.inf
    assert distance(euler(grid(3)), two_step(grid(3))) == math.inf

    def noisy(cell: tuple[float, float], kind: str = "W") -> Plan:
        tape = Tape()
        x = tape.input("x", grid(1)[0])
        return tape.plan(x=tape.lin((x, 1.0), (tape.noise("lam", *cell, kind), 1.0)))

    assert distance(noisy((0.0, 1.0)), noisy((0.0, 1.0))) == 0.0
    assert distance(noisy((0.0, 1.0)), noisy((0.0, 1.1))) == math.inf
    assert distance(noisy((0.0, 1.0)), noisy((0.0, 1.0), "H")) == math.inf


def test_the_order_in_which_noises_are_drawn_does_not_matter():
    def drawn(first: int) -> Plan:
        tape = Tape()
        x = tape.input("x", grid(1)[0])
        cells = [(0.0, 1.0), (1.0, 2.0)]
        ids = {c: tape.noise("lam", *c) for c in (cells[first], cells[1 - first])}
        return tape.plan(x=tape.lin((x, 1.0), (ids[cells[0]], 2.0), (ids[cells[1]], 3.0)))

    assert [type(drawn(0).ops[i]) for i in leaves(drawn(0))[1:]] == [Noise, Noise]
    assert distance(drawn(0), drawn(1)) == 0.0


def test_equality_in_lam_does_not_need_the_same_process():
    """The same lams on VE: the same plan in ``x/alpha``, hence other rows, at the same levels."""
    nodes = grid(4)
    other = get("ddim")(EDM(), _on_edm(nodes))
    assert 0 < distance(get("ddim")(PROCESS, nodes), other) < math.inf


def _on_edm(nodes):
    return grid_from_lams(EDM(), [n.lam for n in nodes.nodes])


def test_arrays_have_no_canonical_form():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = tape.plan(x=tape.lin((x, np.ones(1))))
    with pytest.raises(InvalidPlanError, match="row 1 has an array"):
        canonical(plan)
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    scalar = tape.plan(x=tape.lin((x, np.array(2.0))))
    np.testing.assert_array_equal(canonical(scalar), [[2.0]])
