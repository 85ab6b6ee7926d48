"""What cannot be solved ends in an error that names the step, the time and the samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.errors import (
    FokkerError,
    InvalidGridError,
    InvalidPlanError,
    NonFiniteError,
    ShapeError,
)
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.ops import Noise
from fokker.solvers.sde.adaptive import solve_adaptive
from fokker.solvers.sde.basic import euler_maruyama, heun
from fokker.solvers.sde.errors import (
    FailedStepError,
    InvalidEquationError,
    InvalidNoiseError,
    MissingNoiseError,
    NegativeDiffusionError,
    StepUnderflowError,
)
from fokker.solvers.sde.gradients import solve_adjoint, solve_reversible
from fokker.solvers.sde.log_ode import log_ode
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.path import DyadicPath
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import sra1
from fokker.solvers.sde.solve import solve, undo

X = torch.linspace(0.2, 1.7, 6, dtype=torch.float64).reshape(3, 2)
OU = SDE(lambda _, x: -x, lambda *_: 0.5, noise="additive")
TIMES = [0.0, 0.25, 0.5, 1.0]


class Altered:
    """Noise that something happens to from t = 0.25 on."""

    def __init__(self, change: Callable[[Tensor], Tensor], kind: str = "W") -> None:
        self.noise, self.change, self.kind = CellNoise(0, [5, 6, 7]), change, kind
        self.sample_ids = self.noise.sample_ids

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        field = self.noise.draw(cell, like)
        late = cell.a >= 0.25 and cell.kind == self.kind
        return self.change(field) if late else field


def named(error: FailedStepError | NonFiniteError) -> tuple:
    assert isinstance(error, FokkerError)
    return error.step, error.t, error.sample_ids


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda z: z[:, :1], r"gave \(3, 1\) and torch.float64"),
        (lambda z: z[:1], r"gave \(1, 2\)"),
        (lambda z: z.float(), r"\(3, 2\) and torch.float64, the source gave \(3, 2\) and .*32"),
    ],
)
def test_noise_of_a_wrong_shape_or_dtype_is_told_and_not_broadcast(
    change: Callable[[Tensor], Tensor], word: str
):
    with pytest.raises(InvalidNoiseError, match=word) as e:
        solve(OU, euler_maruyama, TIMES, X, noise=Altered(change))
    assert named(e.value) == (2, 0.25, (5, 6, 7))
    assert isinstance(e.value, ShapeError)
    with pytest.raises(InvalidNoiseError, match=word):  # the area, too
        solve(OU, sra1, TIMES, X, noise=Altered(change, "H"))


def test_noise_that_is_not_finite_is_not_blamed_on_the_equation():
    def spoiled(z: Tensor) -> Tensor:
        z[1] = math.nan
        return z

    for method, kind in ((euler_maruyama, "W"), (sra1, "H")):
        with pytest.raises(NonFiniteError, match="the noise is not finite") as e:
            solve(OU, method, TIMES, X, noise=Altered(spoiled, kind))
        assert named(e.value) == (2, 0.25, (6,))


def test_a_step_shorter_than_the_tolerance_of_the_path_is_told():
    path = TreePath([0.0, 1.0], 0, [5, 6, 7], tolerance=0.2)
    with pytest.raises(MissingNoiseError, match=r"step 2 .* shorter than the tolerance 0\.2") as e:
        solve(OU, euler_maruyama, [0.0, 0.25, 0.35, 1.0], X, noise=path)
    assert named(e.value) == (2, 0.25, (5, 6, 7))
    assert isinstance(e.value, InvalidGridError)
    assert solve(OU, euler_maruyama, TIMES, X, noise=path).x.isfinite().all()


def test_a_step_that_the_path_does_not_have_is_told():
    path = GridPath([0.0, 0.25, 0.75, 1.0], 0)
    with pytest.raises(MissingNoiseError, match=r"step 2 from t = 0\.25 has no noise") as e:
        solve(OU, euler_maruyama, TIMES, X, noise=path)
    assert named(e.value) == (2, 0.25, (0, 1, 2))
    for function in (solve_adjoint, solve_reversible):
        with pytest.raises(MissingNoiseError, match=r"from t = 0\.25 has no noise"):
            function(OU, TIMES, X, noise=path)
    with pytest.raises(MissingNoiseError, match=r"step 3 from t = 0\.5 has no noise"):
        undo(OU, reversible_heun, TIMES, (X, X, X, X), noise=path)


def test_as_many_samples_as_ids():
    for source in (CellNoise(0, [5, 6]), GridPath(TIMES, 0, [5, 6])):
        with pytest.raises(ShapeError, match="2 sample ids were given for a batch of 3"):
            solve(OU, euler_maruyama, TIMES, X, noise=source)
    with pytest.raises(ShapeError, match="2 sample ids were given for a batch of 3"):
        solve_adaptive(OU, heun, DyadicPath(0.0, 1.0, 0, [5, 6]), X)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_that_is_not_finite_is_refused_before_the_first_step(bad: float):
    start = X.clone()
    start[2, 0] = bad
    source = CellNoise(0, [5, 6, 7])
    for call in (
        lambda: solve(OU, euler_maruyama, TIMES, start, noise=source),
        lambda: solve_adjoint(OU, TIMES, start, noise=source),
        lambda: solve_adaptive(OU, heun, DyadicPath(0.0, 1.0, 0, [5, 6, 7]), start),
    ):
        with pytest.raises(NonFiniteError, match="the start is not finite in sample 7") as e:
            call()
        assert named(e.value) == (None, None, (7,))


# -- steps of each sample's own size --------------------------------------------------------------


@pytest.mark.parametrize("who", ["drift", "diffusion"])
def test_an_adaptive_solve_tells_what_is_not_finite_from_what_is_too_steep(who: str):
    def spoiled(t: float, x: Tensor) -> Tensor:
        return torch.where(x > 1.0, math.nan, 0 * x + 0.3) if t > 0.6 else 0 * x + 0.3

    parts = (spoiled, lambda *_: 0.1) if who == "drift" else (lambda _, x: 0 * x, spoiled)
    sde = SDE(*parts, noise="additive")
    path = DyadicPath(0.0, 1.0, 0, sample_ids=[4, 8])
    x = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match=f"the {who} is not finite") as e:
        solve_adaptive(sde, sra1, path, x, depth=16)
    assert e.value.sample_ids == (8,)
    assert e.value.t == pytest.approx(0.6, abs=1e-4)


def test_an_adaptive_solve_tells_a_negative_diffusion():
    sde = SDE(lambda _, x: 0 * x, lambda t, x: torch.where(x > 1.0, 0.5 - t, 1.0 + 0 * x))
    still = SDE(lambda _, x: 0 * x, lambda t, x: sde.diffusion(t, x * 0 + X), noise="additive")
    x = X.clone()
    with pytest.raises(NegativeDiffusionError, match="declare signed=True") as e:
        solve_adaptive(still, sra1, DyadicPath(0.0, 1.0, 0, [5, 6, 7]), x)
    assert e.value.sample_ids == (6, 7)
    assert e.value.t is not None
    assert e.value.t > 0.5


def test_a_tolerance_below_rounding_ends_in_an_underflow():
    path = DyadicPath(0.0, 1.0, 0, sample_ids=[4, 8, 9])
    with pytest.raises(StepUnderflowError, match=r"halved 20 times .* now 0 and 1e-30") as e:
        solve_adaptive(OU, heun, path, X, rtol=0.0, atol=1e-30, depth=20)
    assert e.value.sample_ids == (4, 8, 9)
    assert e.value.t == 0.0


def test_a_cell_without_a_number_inside_ends_in_an_underflow():
    path = DyadicPath(1e6, 1e6 + 0.01, 0, sample_ids=[4, 8, 9])
    with pytest.raises(StepUnderflowError, match="has no number inside") as e:
        solve_adaptive(OU, heun, path, X, rtol=0.0, atol=1e-30, depth=48)
    assert e.value.sample_ids == (4, 8, 9)
    assert e.value.t == 1e6


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
@pytest.mark.parametrize("method", [euler_maruyama, log_ode, reversible_heun])
def test_a_diffusion_of_another_dtype_is_refused_as_a_drift_is(method: Method, dtype: torch.dtype):
    """Some steps would cast it, others would go on in float64 from there."""
    sde = SDE(lambda _, x: -x, lambda _, x: torch.ones_like(x, dtype=dtype), noise="additive")
    with pytest.raises(ShapeError, match=r"diffusion must have the dtype .* torch.float32, got"):
        solve(sde, method, [0.0, 1.0], torch.ones(2, 3), noise=0)
    scalar = SDE(lambda _, x: -x, lambda *_: torch.tensor(0.5, dtype=torch.float64), "additive")
    assert solve(scalar, method, [0.0, 1.0], torch.ones(2, 3), noise=0).x.dtype == torch.float32


@pytest.mark.parametrize("value", [None, 1j, "0.5"])
def test_a_diffusion_that_is_no_number_is_refused(value: object):
    sde = SDE(lambda _, x: -x, lambda *_: value, noise="additive")
    with pytest.raises(ShapeError, match="must be a tensor or a real number, got"):
        solve(sde, euler_maruyama, [0.0, 1.0], torch.ones(2, 3), noise=0)


@pytest.mark.parametrize("noise", [1.5, None, "3"])
def test_what_is_neither_a_seed_nor_a_source_is_refused(noise: object):
    sde = SDE(lambda _, x: -x, lambda *_: 0.5, noise="additive")
    with pytest.raises(InvalidPlanError, match="a seed must be a whole number, got"):
        solve(sde, euler_maruyama, [0.0, 1.0], torch.ones(2, 3), noise=noise)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [1.5, "1", None])
def test_a_step_between_steps_is_not_saved_in_silence(step: object):
    sde = SDE(lambda _, x: -x, lambda *_: 0.5, noise="additive")
    with pytest.raises(InvalidGridError, match=r"there is no step .* to save; steps are 0 to 2"):
        solve(sde, euler_maruyama, [0.0, 0.5, 1.0], torch.ones(2, 3), noise=0, save_at=[step])  # type: ignore[list-item]


def test_a_number_of_noises_that_is_not_whole_is_refused():
    with pytest.raises(InvalidEquationError, match=r"positive number of noises, got 1\.5"):
        SDE(lambda _, x: x, lambda _, x: x, "general", noises=1.5)  # type: ignore[arg-type]
