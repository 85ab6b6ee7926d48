"""A callback sees each step, may keep what it saw, and may stop the run."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import (
    FokkerError,
    InvalidPlanError,
    PredictionError,
)
from fokker.solvers.events import Event
from fokker.solvers.model import as_prediction
from fokker.solvers.plan import Tape
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow
from plans import PROCESS, euler, grid, two_step

double = torch.float64


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """Elementwise and not linear."""
    return torch.tanh(1.3 * x) * (0.5 + t)


def start(batch: int = 4, dtype: torch.dtype = double) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 6, dtype=double).reshape(batch, 2, 3).to(dtype)


def test_a_callback_sees_step_time_state_and_data_prediction():
    nodes = grid(5)
    plan = euler(nodes)
    noise_model = as_prediction(
        lambda x, _t: torch.tanh(x), PROCESS, source="data", target="noise"
    )
    events: list[Event] = []

    def callback(event: Event) -> None:
        assert event.x is event.x  # one copy, however often it is read
        events.append(event)

    got = run(plan, noise_model, start(), callback=callback, save_at=range(6))
    assert [e.step for e in events] == [1, 2, 3, 4, 5]
    assert {e.steps for e in events} == {5}
    assert [e.t for e in events] == [n.t for n in nodes.nodes[1:]]
    assert [e.node for e in events] == list(nodes.nodes[1:])
    for event in events:
        torch.testing.assert_close(event.x, got.saved[event.step], rtol=0, atol=0)
        before = got.saved[event.step - 1]
        torch.testing.assert_close(event.data, torch.tanh(before), rtol=1e-12, atol=1e-12)
    assert torch.equal(got.saved[0], start())
    assert torch.equal(got.saved[5], got.x)


def test_what_a_callback_keeps_is_its_own():
    kept: list[Event] = []

    def callback(event: Event) -> None:
        if event.step == 2:
            _ = event.x
        kept.append(event)
        if event.step > 2:
            event.x.zero_()
            cast(Tensor, event.data).zero_()

    got = run(euler(grid(6)), model, start(), callback=callback, save_at=[2])
    assert torch.equal(kept[1].x, got.saved[2])
    torch.testing.assert_close(got.x, run(euler(grid(6)), model, start()).x, rtol=0, atol=0)
    with pytest.raises(
        FokkerError, match=r"after step 1 is gone; read event\.x inside the callback"
    ):
        _ = kept[0].x


def test_before_the_first_evaluation_there_is_no_data_prediction():
    tape, nodes = Tape(), grid(2)
    x = tape.input("x", nodes[0])
    x = tape.mark(tape.lin((x, 0.5)), nodes[1])
    x = tape.mark(tape.lin((tape.eval(x, nodes[1]), 1.0)), nodes[2])
    seen = []
    run(tape.plan(x=x), model, start(), callback=lambda e: seen.append(e.data))
    assert seen[0] is None
    torch.testing.assert_close(seen[1], model(0.5 * start(), nodes[1].t))


def test_a_data_prediction_that_does_not_exist_is_an_error_for_the_callback():
    process, tape = RectifiedFlow(), Tape()
    x = tape.input("x", process.node(1.0))
    x = tape.mark(tape.lin((tape.eval(x, process.node(1.0), "noise"), 1.0)), process.node(0.5))
    plan = tape.plan(x=x)
    with pytest.raises(PredictionError, match="alpha = 0"):
        run(plan, model, start(), callback=lambda e: e.data)
    run(plan, model, start(), callback=lambda e: e.x)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_cancelled_run_gives_back_the_state_of_its_last_step(step: int):
    def callback(event: Event) -> None:
        if event.step == step:
            event.cancel()

    got = run(two_step(grid(6)), model, start(), history={"m-1": start()}, callback=callback)
    whole = run(two_step(grid(6)), model, start(), history={"m-1": start()}, save_at=[step])
    assert got.cancelled
    assert got.outputs == {}
    assert torch.equal(got.x, whole.saved[step])


def test_a_cancelled_run_keeps_what_was_saved():
    got = run(
        euler(grid(6)),
        model,
        start(),
        callback=lambda e: e.step == 3 and e.cancel(),
        save_at=[0, 2, 5],
    )
    assert sorted(got.saved) == [0, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ZeroDivisionError])
def test_an_interrupted_run_leaves_everything_of_the_caller_as_it_was(error: type[BaseException]):
    x, states = start(), []

    def failing(v, t):
        if len(states) == 3:
            raise error
        return model(v, t)

    with pytest.raises(error):
        run(euler(grid(6)), failing, x, callback=lambda e: states.append(e.x))
    assert torch.equal(x, start())
    want = run(euler(grid(6)), model, start(), save_at=[1, 2, 3]).saved
    for step, state in enumerate(states, 1):
        assert torch.equal(state, want[step])
    torch.testing.assert_close(run(euler(grid(6)), model, x).x, run(euler(grid(6)), model, x).x)


def test_an_error_in_a_callback_is_the_callers():
    def callback(event: Event) -> None:
        msg = f"no more after {event.step}"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no more after 1"):
        run(euler(grid(3)), model, start(), callback=callback)


@pytest.mark.parametrize("bad", [7, -1])
def test_a_step_to_save_that_does_not_exist_is_refused(bad: int):
    with pytest.raises(InvalidPlanError, match=f"step {bad}; the plan has steps 0 .. 6"):
        run(euler(grid(6)), model, start(), save_at=[2, bad])
