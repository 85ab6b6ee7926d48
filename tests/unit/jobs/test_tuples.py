"""A state may be a tuple of tensors; the sampler does not notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.heads import Heads, route
from fokker.solvers.noise import CellNoise
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.solvers.tuples import Packing, TupleEvent

PROCESS = VPLinear()
GRID = uniform_lam(PROCESS, -2, 2).grid(4)


def start(batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    flat = torch.linspace(-2, 2, batch * 11, dtype=torch.float64).reshape(batch, 11)
    return flat[:, :6].reshape(batch, 2, 3), flat[:, 6:10].reshape(batch, 4), flat[:, 10]


def coupled(parts: tuple[Tensor, ...], t: Any) -> tuple[Tensor, ...]:
    """Every part depends on the others."""
    image, code, number = parts
    return (
        torch.tanh(image) + number[:, None, None],
        code * image.mean((1, 2))[:, None],
        torch.sin(number) + t,
    )


def packed(x: Tensor, t: Any) -> Tensor:
    parts = x[:, :6].reshape(-1, 2, 3), x[:, 6:10], x[:, 10]
    return torch.cat([p.reshape(len(x), -1) for p in coupled(parts, t)], 1)


@pytest.mark.parametrize("name", ["dpmpp_2m", "sde_dpmpp_2m"])
def test_a_run_on_a_tuple_is_the_run_on_its_numbers_side_by_side(name: str):
    plan, noise = get(name)(PROCESS, GRID), CellNoise(5, [7, 8, 9])
    got = run(plan, coupled, start(), noise=noise, save_at=[0, 2])
    flat = torch.cat([p.reshape(3, -1) for p in start()], 1)
    want = run(plan, packed, flat, noise=noise, save_at=[2])
    assert [p.shape for p in got.x] == [p.shape for p in start()]
    assert torch.equal(torch.cat([p.reshape(3, -1) for p in got.x], 1), want.x)
    assert torch.equal(torch.cat([p.reshape(3, -1) for p in got.saved[2]], 1), want.saved[2])
    assert all(torch.equal(a, b) for a, b in zip(got.saved[0], start(), strict=True))
    assert set(got.outputs) == set(want.outputs)
    alone = run(plan, coupled, tuple(p[1:2] for p in start()), noise=CellNoise(5, [8]))
    for one, all_of_them in zip(alone.x, got.x, strict=True):
        torch.testing.assert_close(one, all_of_them[1:2], rtol=1e-13, atol=1e-13)


def test_a_callback_sees_tuples_and_may_stop():
    seen: list[tuple[Tensor, ...]] = []
    asked: list[tuple[Tensor, ...]] = []

    def model(parts: tuple[Tensor, ...], t: Any) -> tuple[Tensor, ...]:
        asked.append(coupled(parts, t))
        return asked[-1]

    def watch(event: TupleEvent) -> None:
        assert event.data is not None
        assert all(torch.equal(a, b) for a, b in zip(event.data, asked[-1], strict=True))
        assert (event.steps, event.t) == (4, GRID[event.step].t)
        seen.append(event.x)
        if event.step == 2:
            event.cancel()

    plan = get("ddim")(PROCESS, GRID)
    got = run(plan, model, start(), callback=watch)
    assert (got.cancelled, got.outputs, len(seen)) == (True, {}, 2)
    assert all(torch.equal(a, b) for a, b in zip(got.x, seen[-1], strict=True))


def test_history_and_heads_are_of_tuples_too():
    nodes = uniform_lam(PROCESS, -2, 2).history(4, 1)
    plan = get("dpmpp_2m")(PROCESS, GRID, history=nodes)
    history = {"m-1": coupled(start(), nodes[0].t)}
    got = run(plan, coupled, start(), history=history)
    asked: list[float] = []

    def small(parts: tuple[Tensor, ...], t: Any) -> tuple[Tensor, ...]:
        asked.append(t)
        return coupled(parts, t)

    heads: Any = Heads({"": coupled, "small": small})
    again = run(route(plan, "small", until=0.0), heads, start(), history=history)
    assert asked == [GRID[0].t, GRID[1].t]
    assert all(torch.equal(a, b) for a, b in zip(got.x, again.x, strict=True))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((), "at least one tensor, got none"),
        ((torch.zeros(2, 3), 1.0), r"part 1 of the state must be a tensor \(B, \*D\), got float"),
        ((torch.zeros(()),), "got shape ()"),
        ((torch.zeros(2, 3), torch.zeros(3, 3)), "part 1 .* batch size 3, but part 0 has 2"),
        ((torch.zeros(2, 3), torch.zeros(2, 3).double()), "dtype torch.float64, but part 0 has"),
        ((torch.zeros(2, 3), torch.zeros(2, 3, device="meta")), "device meta, but part 0 has cpu"),
        ((torch.zeros(2, 3).half(),), "the state must be float32 or float64|x must be float32"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: Any, sentence: str):
    with pytest.raises(ShapeError, match=sentence):
        run(get("ddim")(PROCESS, GRID), coupled, parts)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda p: p[0], "the model's output at t = .* must be a tuple of 3 tensors, got Tensor"),
        (lambda p: p[:2], "must be a tuple of 3 tensors, got 2 tensors"),
        (lambda p: (p[0], p[1], None), "must be a tuple of 3 tensors, got tuple"),
        (lambda p: (p[0], p[0], p[2]), r"part 1 of .* must have the shape \(3, 4\), got"),
    ],
)
def test_an_answer_that_does_not_fit_the_state_is_refused(answer: Any, sentence: str):
    with pytest.raises(ShapeError, match=sentence):
        run(get("ddim")(PROCESS, GRID), lambda parts, _t: answer(parts), start())


def test_unpacking_undoes_packing():
    packing = Packing.of(start())
    parts = packing.unpack(packing.pack(start(), "the state"))
    assert all(torch.equal(a, b) for a, b in zip(parts, start(), strict=True))
    assert all(p.is_contiguous() for p in parts)
