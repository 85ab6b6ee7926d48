"""The executor computes the plan: values, precision, weights, batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given

from fokker.solvers.errors import (
    FokkerError,
)
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise, Plan, Tape, interpret
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow
from plans import euler, grid, noisy, random_plans, two_step
from tolerances import EXACT, tolerance

double = torch.float64


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """Elementwise and not linear."""
    return torch.tanh(1.3 * x) * (0.5 + t)


def start(batch: int = 4, dtype: torch.dtype = double) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 6, dtype=double).reshape(batch, 2, 3).to(dtype)


@given(random_plans())
def test_any_plan_gives_what_its_rows_say(plan: Plan):
    x, history = start(), {"m-1": start() / 3}
    draws: dict[int, torch.Tensor] = {}
    source = CellNoise(2)

    def draw(i: int, op: Noise) -> torch.Tensor:
        return draws.setdefault(i, source.draw(op, x))

    want = interpret(
        plan,
        inputs={"x": x, **history},
        evaluate=lambda _i, op, v: model(v, op.node.t),
        draw=draw,
    )
    assume(all(v.abs().max() < 1e100 for v in want.values()))
    got = run(plan, model, x, noise=2, history=history).outputs
    size = max(1.0, *(float(v.abs().max()) for v in want.values()))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-10, atol=1e-12 * size)


def test_rows_are_written_out_by_hand():
    plan, nodes = two_step(grid(2), (0.5, 2.0, -1.0)), grid(2).nodes
    x, old = start(), start() / 3
    m0 = model(x, nodes[0].t)
    x1 = 0.5 * x + 2 * m0 - old
    m1 = model(x1, nodes[1].t)
    got = run(plan, model, x, history={"m-1": old})
    torch.testing.assert_close(got.x, 0.5 * x1 + 2 * m1 - m0, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(got.outputs["m-1"], m1, rtol=EXACT, atol=EXACT)
    assert got.outputs["x"] is got.x
    assert not got.cancelled


def test_the_model_is_asked_at_the_times_of_the_nodes_as_floats():
    asked = []

    def spy(x, t):
        asked.append(t)
        return model(x, t)

    run(euler(grid(6)), spy, start())
    assert asked == [n.t for n in grid(6).nodes[:-1]]
    assert all(type(t) is float for t in asked)


@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_the_state_keeps_its_dtype(dtype: torch.dtype):
    got = run(two_step(grid(9)), model, start(dtype=dtype), history={"m-1": start(dtype=dtype)}).x
    want = run(two_step(grid(9)), model, start(), history={"m-1": start()}).x
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, **tolerance(dtype))


@pytest.mark.parametrize("inner", [torch.bfloat16, torch.float16, torch.float32, double])
def test_a_model_may_compute_in_any_precision(inner: torch.dtype):
    def rough(x, t):
        return model(x.to(inner), t)

    got = run(euler(grid(9)), rough, start(dtype=torch.float32)).x
    want = run(euler(grid(9)), model, start()).x
    assert got.dtype == torch.float32
    loosest = max(tolerance(torch.float32)["rtol"], tolerance(inner)["rtol"])
    torch.testing.assert_close(got.double(), want, rtol=loosest, atol=3 * loosest)


def test_channels_last_states_stay_channels_last():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    got = run(euler(grid(4)), model, x).x
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, run(euler(grid(4)), model, x.contiguous()).x)


def test_states_and_outputs_may_be_strided_views():
    x = start(8)[::2].transpose(1, 2)
    got = run(
        euler(grid(4)), lambda v, t: model(v, t).transpose(1, 2).contiguous().transpose(1, 2), x
    )
    torch.testing.assert_close(got.x, run(euler(grid(4)), model, x.contiguous()).x)


def test_one_sample_and_one_step_are_enough():
    assert run(euler(grid(1)), model, start(1)).x.shape == (1, 2, 3)
    assert run(euler(grid(1).with_zero()), model, start(1)).x.isfinite().all()


def test_a_run_may_begin_at_pure_noise():
    process = RectifiedFlow()
    from fokker.solvers.grids import power_t

    plan = get("dpmpp_2m")(process, power_t(process, 1.0, 0.0).grid(8))
    seen = []

    def denoiser(x, t):
        seen.append(t)
        return torch.tanh(x)

    assert run(plan, denoiser, start()).x.isfinite().all()
    assert seen[0] == 1.0


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (4, 1, 1), (4, 2, 3)])
@pytest.mark.parametrize("tensor", [False, True])
def test_weights_may_be_arrays_that_broadcast_to_the_state(shape: tuple[int, ...], tensor: bool):
    w = np.random.default_rng(0).normal(size=shape)
    w.setflags(write=False)
    a, b = (torch.tensor(v) if tensor else v for v in (np.array(w), w))
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    m = tape.eval(x, grid(1)[0])
    plan = tape.plan(x=tape.lin((x, a), (m, b), (m, 0.5)))
    # equal ids were merged into one array
    m_value = model(start(), grid(1)[0].t)
    want = start() * torch.tensor(w) + m_value * torch.tensor(w + 0.5)
    for grad in (False, True):
        torch.testing.assert_close(
            run(plan, model, start(), grad=grad).x, want, rtol=EXACT, atol=EXACT
        )
    single = run(plan, model, start(dtype=torch.float32)).x
    torch.testing.assert_close(single.double(), want, **tolerance(torch.float32))


@pytest.mark.parametrize("shape", [(2,), (5, 1, 1), (1, 4, 2, 3), (2, 3, 1)])
def test_a_weight_that_does_not_broadcast_is_refused(shape: tuple[int, ...]):
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = tape.plan(x=tape.lin((x, np.ones(shape))))
    with pytest.raises(
        FokkerError, match=r"a weight of shape .* does not fit a state \(4, 2, 3\)"
    ):
        run(plan, model, start())


@pytest.mark.parametrize("dtype", [torch.float32, double])
@pytest.mark.parametrize("size", [1, 7, 33, 300])
def test_a_sample_is_the_same_bit_for_bit_in_any_batch_and_order(dtype: torch.dtype, size: int):
    x = torch.linspace(-2, 2, 11 * size, dtype=dtype).reshape(11, size)
    whole = run(noisy(), lambda v, t: (v * t).clamp(-1, 1), x, noise=5).x
    for ids in ([3], [10, 2, 7], list(range(11))[::-1]):
        part = run(noisy(), lambda v, t: (v * t).clamp(-1, 1), x[ids], noise=CellNoise(5, ids)).x
        assert torch.equal(part, whole[ids])
