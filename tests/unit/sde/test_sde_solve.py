"""Equations and solves refuse what makes no sense, in one sentence that says where."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import (
    CancelledError,
    FokkerError,
    InvalidGridError,
    NonFiniteError,
    NotInvertibleError,
    ShapeError,
)
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.sde.basic import euler_maruyama, heun, milstein
from fokker.solvers.sde.errors import (
    InvalidEquationError,
    NegativeDiffusionError,
    StepUnderflowError,
)
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import sra1
from fokker.solvers.sde.solve import solve, undo
from sde_problems import additive, coupled, diagonal, edges, gbm, general, scalar

X = torch.linspace(0.2, 1.7, 8, dtype=torch.float64).reshape(4, 2)


# -- equations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"noise": "colored"}, "accepted: additive, diagonal, scalar, general"),
        ({"calculus": "backward"}, "accepted: ito, stratonovich"),
        ({"noise": "general"}, "needs a positive number of noises, got None"),
        ({"noise": "general", "noises": 0}, "needs a positive number of noises, got 0"),
        ({"noise": "diagonal", "noises": 2}, "diagonal noise has no number of noises, got 2"),
    ],
)
def test_an_equation_that_contradicts_itself_is_refused(options: dict, word: str):
    with pytest.raises(InvalidEquationError, match=word):
        SDE(lambda _, x: x, lambda _, x: x, **options)


def test_wrong_shapes_are_refused():
    bad_drift = SDE(lambda _, x: x[:, :1], lambda _, x: x)
    with pytest.raises(ShapeError, match=r"shape of the state \(4, 2\), got \(4, 1\)"):
        solve(bad_drift, euler_maruyama, [0, 1], X, noise=0)
    bad_diffusion = SDE(lambda _, x: x, lambda _, x: x[:, :1].expand(4, 3))
    with pytest.raises(ShapeError, match=r"must have the shape \(4, 2\), got \(4, 3\)"):
        solve(bad_diffusion, euler_maruyama, [0, 1], X, noise=0)
    bad_matrix = SDE(lambda _, x: x, lambda _, x: x, "general", noises=3)
    with pytest.raises(ShapeError, match=r"must have the shape \(4, 2, 3\), got \(4, 2\)"):
        solve(bad_matrix, euler_maruyama, [0, 1], X, noise=0)
    promoting = SDE(lambda _, x: x.double(), lambda _, x: x)
    with pytest.raises(ShapeError, match=r"torch.float32, got torch.float64"):
        solve(promoting, euler_maruyama, [0, 1], X.float(), noise=0)
    for start in (X[0], X[:0], X.half(), X.long()):
        with pytest.raises(ShapeError, match="the start must be a batch"):
            solve(gbm(), euler_maruyama, [0, 1], start, noise=0)


def test_a_negative_diffusion_is_told_with_step_time_and_samples():
    sde = SDE(lambda _, x: x, lambda t, x: torch.where(x > 1.4, 1.0 - 2 * t, 0.1 * x / x))
    still = SDE(lambda _, x: 0 * x, lambda t, _: sde.raw_g(t, X), noise="additive")
    with pytest.raises(NegativeDiffusionError, match=r"step 3, sample 13: .* at t = 0\.75") as e:
        solve(still, euler_maruyama, [0, 0.25, 0.75, 1], X, noise=CellNoise(0, [7, 9, 11, 13]))
    assert (e.value.step, e.value.t, e.value.sample_ids) == (3, 0.75, (13,))
    assert isinstance(e.value, FokkerError)


def test_a_diffusion_that_is_negative_before_the_first_step_or_on_the_way_back_is_told_too():
    sde = SDE(lambda _, x: 0 * x, lambda _, x: x, calculus="stratonovich")
    x, noise = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), CellNoise(0, [7, 8])
    for ask in (
        lambda: solve(sde, reversible_heun, [0.0, 1.0], x, noise=noise),
        lambda: solve(sde, heun, [0.0, 1.0], x, noise=noise),
        lambda: undo(sde, reversible_heun, [0.0, 1.0], (x, x, 0 * x, x), noise=noise),
    ):
        with pytest.raises(NegativeDiffusionError, match=r"^step 1, sample 8: the diff") as e:
            ask()
        assert (e.value.sample_ids, e.value.step) == ((8,), 1)
        assert "sample 1" not in str(e.value)  # its row


@pytest.mark.parametrize("method", [heun, sra1, reversible_heun])
def test_no_step_looks_beyond_the_last_time(method: Method):
    """``-0.3 + (0.1 + 0.3)`` is above 0.1 in float64, and there this equation has ended."""
    seen = []
    sde = SDE(lambda t, x: seen.append(t) or -x, lambda t, _: math.sqrt(0.1 - t), "additive")
    solve(sde, method, [-0.3, 0.1], X, noise=0)
    assert max(seen) <= 0.1


def test_a_signed_diffusion_may_be_negative():
    out = solve(gbm(), euler_maruyama, [0, 1], -X, noise=0).x
    torch.testing.assert_close(out, -solve(gbm(), euler_maruyama, [0, 1], X, noise=0).x)


@pytest.mark.parametrize("who", ["drift", "diffusion", "state"])
def test_what_is_not_finite_is_told_with_step_time_and_samples(who: str):
    def spoiled(t: float, x: Tensor) -> Tensor:
        bad = torch.zeros_like(x)
        bad[2] = math.nan if t > 0.4 else 0.0
        return bad

    good = spoiled if who == "drift" else lambda _, x: 0 * x + (1.7e308 if who == "state" else 1.0)
    g = spoiled if who == "diffusion" else lambda _, x: 0 * x
    sde = SDE(good, g, signed=True)
    with pytest.raises(NonFiniteError) as e:
        solve(sde, euler_maruyama, [0, 0.25, 0.5, 2], X, noise=0)
    words = {"drift": "drift is not", "diffusion": "diffusion is not", "state": "overflowed"}
    assert words[who] in str(e.value)
    ids = (0, 1, 2, 3) if who == "state" else (2,)
    assert (e.value.step, e.value.sample_ids) == (3, ids)


def test_finite_numbers_whose_sum_overflows_are_no_error():
    x = torch.full((2, 8), 3e38)
    sde = SDE(lambda _, x: 0 * x, lambda *_: 0.0, noise="additive")
    assert torch.equal(solve(sde, euler_maruyama, [0, 1], x, noise=0).x, x)


def test_the_correction_is_the_derivative_along_every_column():
    """Against differences of g, coordinate by coordinate."""
    for sde in (gbm(), diagonal(), scalar(), general()):
        e, expected = 1e-6, torch.zeros_like(X)
        g = sde.raw_g(0.3, X)
        columns = g if sde.noises else g[..., None]
        for k in range(columns.shape[-1]):
            up, down = X + e * columns[..., k], X - e * columns[..., k]
            slope = (sde.raw_g(0.3, up) - sde.raw_g(0.3, down)) / (2 * e)
            expected += slope[..., k] if sde.noises else slope
        torch.testing.assert_close(sde.correction(0.3, X), expected, rtol=1e-7, atol=1e-8)


def test_converting_there_and_back_is_nothing():
    for sde in (diagonal(), scalar(), general(), additive()):
        there = sde.converted("stratonovich")
        assert there.calculus == "stratonovich"
        back = there.converted("ito")
        torch.testing.assert_close(back.f(0.2, X), sde.f(0.2, X), rtol=1e-14, atol=1e-14)


def test_both_calculi_lead_to_one_path():
    """Milstein on the Ito form, and on the Stratonovich form converted to it by hand."""
    x = X.repeat(50, 1)
    path = GridPath(edges(256), seed=2)
    ito = solve(diagonal("ito"), milstein, edges(256), x, noise=path).x
    other = diagonal("ito").converted("stratonovich")
    strat = solve(other, heun, edges(256), x, noise=path).x
    wrong = solve(diagonal("stratonovich"), heun, edges(256), x, noise=path).x
    assert float((ito - strat).square().mean().sqrt()) < 4e-3
    assert float((ito - wrong).square().mean().sqrt()) > 4e-2  # the control


def test_a_diffusion_that_couples_coordinates_is_not_diagonal():
    diagonal().check_noise(0.3, X)
    gbm().check_noise(0.0, X)
    mixed = SDE(coupled, lambda _, x: 1 + 0.1 * x.sum(-1, keepdim=True) + 0 * x)
    with pytest.raises(InvalidEquationError, match="depends on other coordinates"):
        mixed.check_noise(0.0, X)


@pytest.mark.parametrize("entry", [(0, 1), (1, 0)])
def test_one_coupling_of_two_coordinates_is_seen_in_a_batch_of_one(entry: tuple[int, int]):
    """Directions of signs would agree on it by chance in half of all cases."""
    matrix = torch.eye(2, dtype=torch.float64)
    matrix[entry] = 0.3
    for n in range(1, 4):
        coupling = SDE(coupled, lambda _, x: 1 + x @ matrix.mT)
        with pytest.raises(InvalidEquationError, match="not diagonal; declare it general"):
            coupling.check_noise(0.0, X[:n])


def test_additive_noise_that_reads_the_state_is_found_out():
    additive().check_noise(0.3, X)
    for diffusion in (lambda _, x: 0.1 * x, lambda t, x: 1 + t * x[:, :1]):
        lying = SDE(coupled, diffusion, noise="additive")
        with pytest.raises(InvalidEquationError, match=r"depends on the state .* not additive"):
            lying.check_noise(0.5, X)
    general().check_noise(0.0, X)  # promises nothing
    scalar().check_noise(0.0, X)


# -- solves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ([0.0, 0.5, 0.5, 1.0], "step 2 goes from 0.5 to 0.5 (repeated)"),
        ([1.0, 0.5, 0.0], "step 1 goes from 1.0 to 0.5 (reversed)"),
        ([0.0, math.nan], "at least two finite times"),
        ([0.0], "at least two finite times"),
    ],
)
def test_times_that_do_not_increase_are_refused(times: list[float], word: str):
    with pytest.raises(InvalidGridError) as e:
        solve(gbm(), euler_maruyama, times, X, noise=0)
    assert word in str(e.value)


def test_a_step_with_no_number_inside_is_an_underflow():
    with pytest.raises(StepUnderflowError, match=r"step 2 from t = 1\.0 has no number") as e:
        solve(gbm(), euler_maruyama, [0.0, 1.0, math.nextafter(1.0, 2.0)], X, noise=0)
    assert e.value.step == 2


def test_states_are_saved_at_steps_and_told_to_the_callback():
    seen = []
    times = edges(4)
    out = solve(
        additive(), sra1, times, X, noise=1, save_at=(0, 2, 4), callback=lambda *e: seen.append(e)
    )
    assert list(out.saved) == [0, 2, 4]
    assert torch.equal(out.saved[0], X)
    assert torch.equal(out.saved[4], out.x)
    assert [(n, t) for n, t, _ in seen] == list(zip(range(1, 5), times[1:], strict=True))
    assert torch.equal(seen[1][2], out.saved[2])
    with pytest.raises(InvalidGridError, match="no step 5 to save; steps are 0 to 4"):
        solve(additive(), sra1, times, X, noise=1, save_at=(5,))


def test_a_callback_may_stop_the_solve():
    def stop(n: int, *_: object) -> None:
        if n == 2:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        solve(additive(), sra1, edges(4), X, noise=1, callback=stop)


def test_the_start_is_not_changed_and_the_result_does_not_depend_on_the_batch():
    for sde, method in ((additive(), sra1), (diagonal(), milstein), (gbm(), euler_maruyama)):
        x = X.clone()
        whole = solve(sde, method, edges(8), x, noise=3).x
        assert torch.equal(x, X)
        part = solve(sde, method, edges(8), X[2:], noise=CellNoise(3, [2, 3])).x
        torch.testing.assert_close(part, whole[2:], rtol=1e-13, atol=1e-13)


def test_one_noise_is_shared_by_the_coordinates_and_several_are_not():
    still = torch.zeros(5, 3, 2, dtype=torch.float64)
    one = SDE(lambda _, x: 0 * x, lambda _, x: x * 0 + 1, noise="scalar")
    out = solve(one, euler_maruyama, [0, 1], still, noise=0).x
    assert torch.equal(out, out[:, :1, :1].expand(out.shape))
    own = SDE(lambda _, x: 0 * x, lambda _, x: x * 0 + 1)
    assert len(solve(own, euler_maruyama, [0, 1], still, noise=0).x.unique()) == 30


def test_general_noise_with_a_diagonal_matrix_is_diagonal_noise():
    def matrix(t: float, x: Tensor) -> Tensor:
        return torch.diag_embed(diagonal().raw_g(t, x))

    sde = SDE(coupled, matrix, "general", noises=2)
    for method in (euler_maruyama, heun):
        calculus = "ito" if method is euler_maruyama else "stratonovich"
        a = solve(sde.converted(calculus), method, edges(8), X, noise=4).x
        b = solve(diagonal().converted(calculus), method, edges(8), X, noise=4).x
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_float32_stays_float32():
    mild = SDE(lambda t, x: t - x, lambda t, _: 1 + t, noise="additive")
    for sde, method in ((mild, sra1), (gbm(), milstein)):
        assert solve(sde, method, edges(4), X.float() * 0 + 1, noise=0).x.dtype == torch.float32


# -- back to the start ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["diagonal", "additive", "scalar", "general"])
def test_reversible_heun_comes_back_to_its_start(name: str):
    make = {"diagonal": diagonal, "scalar": scalar, "general": general}.get(name)
    sde = make("stratonovich") if make else additive()
    out = solve(sde, reversible_heun, edges(64), X, noise=6)
    back = undo(sde, reversible_heun, edges(64), out.state, noise=6)
    assert float((back[0] - X).abs().max()) < 2e-13
    other = undo(sde, reversible_heun, edges(64), out.state, noise=7)  # another path: the control
    assert float((other[0] - X).abs().max()) > 1e-2


def test_a_way_back_that_explodes_is_told_with_step_time_and_samples():
    """The drift that pulls the state in on the way forward throws it out on the way back."""
    cubic = SDE(lambda _, x: -(x**3), lambda *_: 0.1, "additive")
    x = torch.tensor([[0.0], [5.0]], dtype=torch.float64)
    state = reversible_heun.start(cubic, 4.0, x)
    with pytest.raises(NonFiniteError, match=r"step \d+ from t = .* in sample 8: .* not fin") as e:
        undo(cubic, reversible_heun, edges(40), state, noise=CellNoise(0, [7, 8]))
    assert e.value.sample_ids == (8,)
    with pytest.raises(InvalidEquationError, match="solves stratonovich equations"):
        undo(diagonal(), reversible_heun, edges(4), (X,), noise=0)


def test_a_method_without_inverse_says_so():
    with pytest.raises(NotInvertibleError, match="stochastic Heun cannot be undone"):
        undo(diagonal("stratonovich"), heun, edges(4), (X,), noise=0)
