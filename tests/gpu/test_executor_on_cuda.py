"""The executor on a CUDA device: no waiting inside the loop, and the samples of the host."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.engine.executor import Executor
from fokker.solvers.errors import NonFiniteError, ShapeError
from fokker.solvers.registry import get
from fokker.solvers.run import run
from plans import PROCESS, grid, two_step

pytestmark = pytest.mark.gpu


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(1.3 * x) + t


def start(device: str, shape: tuple[int, ...] = (4, 3, 16, 16)) -> torch.Tensor:
    return torch.linspace(-2, 2, math.prod(shape)).reshape(shape).to(device)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", "sde_dpmpp_2m", "ancestral"])
def test_a_device_changes_rounding_only(name: str, compiled: bool):
    plan = get(name)(PROCESS, grid(8))
    host = run(plan, model, start("cpu"), noise=3).x
    device = run(plan, model, start("cuda"), noise=3, compiled=compiled).x
    torch.testing.assert_close(device.cpu(), host, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", "ancestral"])
def test_nothing_waits_for_the_device_inside_the_loop(name: str, compiled: bool):
    plan, x = get(name)(PROCESS, grid(8)), start("cuda")
    run(plan, model, x, noise=3, compiled=compiled)  # compiles
    executor = Executor(
        plan,
        model,
        x,
        noise=4,
        callback=None,
        save_at=set(),
        compiled=compiled,
        grad=False,
    )
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.no_grad():
            executor({"x": x})
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_not_finite_is_named_at_the_end(compiled: bool):
    def failing(x, t):
        out = model(x, t)
        if t == grid(8)[3].t:
            out[2, 0, 0, 0] = math.nan
        return out

    with pytest.raises(NonFiniteError) as caught:
        run(get("dpmpp_2m")(PROCESS, grid(8)), failing, start("cuda"), compiled=compiled)
    assert (caught.value.step, caught.value.sample_ids) == (4, (2,))


def test_a_static_output_is_refused_where_it_is_still_needed():
    buffer = torch.empty_like(start("cuda"))
    with pytest.raises(ShapeError, match="wrote into an output"):
        run(
            two_step(grid(4)),
            lambda x, t: buffer.copy_(model(x, t)),
            start("cuda"),
            history={"m-1": start("cuda")},
        )


def test_a_history_on_another_device_is_refused():
    with pytest.raises(ShapeError, match="must be on cuda"):
        run(two_step(grid(2)), model, start("cuda"), history={"m-1": start("cpu")})


def test_a_model_on_the_host_is_refused():
    with pytest.raises(ShapeError, match=r"the model's output .* must be on cuda"):
        run(get("ddim")(PROCESS, grid(2)), lambda x, t: model(x.cpu(), t), start("cuda"))
