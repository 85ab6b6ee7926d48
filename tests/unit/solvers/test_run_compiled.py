"""Rows fused by a compiler: the same samples, guards and errors; compiled once a layout."""

from __future__ import annotations

import builtins
import math

import pytest
import torch

from fokker.solvers.engine import fused
from fokker.solvers.errors import NonFiniteError, ShapeError
from fokker.solvers.registry import get
from fokker.solvers.run import run
from plans import PROCESS, grid, two_step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the compiler's own imports
]


def start(shape: tuple[int, ...] = (3, 5), dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.linspace(-2, 2, math.prod(shape), dtype=dtype).reshape(shape)


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(1.3 * x) + t


@pytest.mark.parametrize(
    ("name", "dtype"), [("dpmpp_2m", torch.float32), ("unipc_2", torch.float64)]
)
def test_compiled_rows_equal_eager_ones_to_a_few_units_in_the_last_place(
    name: str, dtype: torch.dtype
):
    plan, x = get(name)(PROCESS, grid(9)), start(dtype=dtype)
    eager, compiled = run(plan, model, x).x, run(plan, model, x, compiled=True).x
    few = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(compiled, eager, rtol=few, atol=few)


def test_a_kernel_is_made_once_for_all_steps_weights_and_runs():
    plan, x = get("dpmpp_2m")(PROCESS, grid(30)), start()
    run(plan, model, x, compiled=True)
    made = fused._kernel.cache_info().misses
    run(plan, model, x, compiled=True)
    run(get("dpmpp_2m")(PROCESS, grid(17, -2.0, 1.0)), model, x + 1, compiled=True)
    assert fused._kernel.cache_info().misses == made


def test_more_layouts_than_a_compiler_would_follow_are_fine():
    plan = get("ddim")(PROCESS, grid(2))
    with torch._dynamo.config.patch(recompile_limit=1):
        for batch in (1, 2, 6):
            x = start((batch, 4))
            got = run(plan, model, x, compiled=True).x
            torch.testing.assert_close(got, run(plan, model, x).x)


def test_outputs_in_another_layout_are_summed_all_the_same():
    plan, x = get("dpmpp_2m")(PROCESS, grid(5)), start((3, 3))

    def transposed(v, t):
        return model(v, t).T.contiguous().T

    torch.testing.assert_close(
        run(plan, transposed, x, compiled=True).x, run(plan, model, x).x, rtol=1e-5, atol=1e-5
    )


def test_aliases_and_constants_change_nothing():
    plan = two_step(grid(6))
    for view in (lambda x, _t: x, lambda x, _t: x[:, :]):
        history = {"m-1": start()}
        got = run(plan, view, start(), history=history, compiled=True).x
        want = run(plan, lambda x, _t: x.clone(), start(), history=history).x
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    constant = start() / 3
    got = run(plan, lambda _x, _t: constant, start(), history={"m-1": start()}, compiled=True).x
    want = run(plan, lambda _x, _t: constant, start(), history={"m-1": start()}).x
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_an_overwritten_output_is_an_error():
    buffer = torch.zeros(3, 5)
    with pytest.raises(ShapeError, match="wrote into an output"):
        run(
            two_step(grid(6)),
            lambda x, t: buffer.copy_(model(x, t)),
            start(),
            history={"m-1": start()},
            compiled=True,
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_output_that_is_not_finite_is_reported_as_in_an_eager_run(bad: float):
    plan, asked = get("dpmpp_2m")(PROCESS, grid(6)), []

    def failing(x, t):
        asked.append(t)
        out = model(x, t)
        if len(asked) == 4:
            out[1, 2] = bad
        return out

    with pytest.raises(NonFiniteError, match=r"the model's output .* step 4") as caught:
        run(plan, failing, start(), compiled=True)
    assert (caught.value.step, caught.value.t) == (4, grid(6)[3].t)
    assert caught.value.sample_ids == (1,)


def test_gradients_do_without_the_compiler():
    x = start(dtype=torch.float64).requires_grad_()
    plan = get("ddim")(PROCESS, grid(3))
    run(plan, model, x, compiled=True, grad=True).x.sum().backward()
    assert x.grad is not None


def test_without_the_entry_point_of_the_compiler_its_public_face_does_the_same(
    monkeypatch: pytest.MonkeyPatch,
):
    true_import = builtins.__import__

    def refusing(name, *args, **kwargs):
        if name == "torch._inductor.compile_fx" and "compile_fx_inner" in (args[2] or ()):
            msg = "moved"
            raise ImportError(msg)
        return true_import(name, *args, **kwargs)

    fused._kernel.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", refusing)
        rows = fused.FusedSum(start((2, 7)))
        out, vectors = torch.empty(2, 7), (start((2, 7)), start((2, 7)) ** 2)
        kernel = fused._kernel(2, out.shape, out.stride(), out.dtype, out.device, 1)
    rows._kernels[2] = kernel
    total = rows((0.5, -2.0), vectors, out)
    fused._kernel.cache_clear()
    torch.testing.assert_close(out, 0.5 * vectors[0] - 2 * vectors[1])
    torch.testing.assert_close(total, out.sum())
