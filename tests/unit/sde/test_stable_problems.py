"""The claims of the three stable classes, on networks whose constants are proven."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import AnalysisError, InvalidLawError, NonFiniteError
from fokker.solvers.noise import CellNoise
from fokker.solvers.sde.basic import (
    euler_heun,
    euler_maruyama,
    heun,
    milstein,
    milstein_free,
)
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import srk1, srk15
from fokker.solvers.sde.solve import solve
from fokker.solvers.sde.stable import langevin, shift_bound
from fokker.toy_models.neural_sdes import SIGMA, neural_problem

F64 = torch.float64
CONTROL = torch.tensor([0.4, -0.7], dtype=F64)
MOVED = CONTROL + torch.tensor([0.3, 0.4], dtype=F64)  # at distance 0.5, 0.4 in the largest
TIMES = [0.02 * k for k in range(151)]
Z = torch.randn(120, 2, generator=torch.Generator().manual_seed(4), dtype=F64)


def pair(name: str, method: Method, shift: bool, apart: float) -> list[tuple[float, Tensor]]:
    """Times and differences of two solves on one path."""
    made = neural_problem(name)
    runs = []
    for u, z in ((CONTROL, Z), (MOVED if shift else CONTROL, Z + apart / math.sqrt(2))):
        saved = solve(made.sde(u), method, TIMES, z, noise=3, save_at=range(151)).saved
        runs.append(saved)
    return [(TIMES[n], runs[0][n] - runs[1][n]) for n in range(151)]


# -- a shift of the data --------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "apart"), [(True, 0.0), (False, 0.7), (True, 0.7)])
def test_a_langevin_type_equation_forgets_its_start_and_bounds_a_shift_on_every_path(
    shift: bool, apart: float
):
    """Euler's steps obey the bound, too: (1 - m h)^n is below e^{-m t}."""
    made = neural_problem("langevin")
    assert made.contraction > 0.3
    for t, gap in pair("langevin", euler_maruyama, shift, apart):
        bound = shift_bound(
            t,
            apart,
            0.5 * shift,
            contraction=made.contraction,
            lipschitz=made.lipschitz,
        )
        assert float(gap.norm(dim=1).max()) <= bound + 1e-12, t
    assert float(gap.norm(dim=1).max()) > (0.02 * bound if shift else 0.0)


def test_with_linear_noise_the_bound_holds_in_mean_square():
    made = neural_problem("linear-noise")
    assert made.contraction > 0.1
    for t, gap in pair("linear-noise", milstein, True, 0.7):
        bound = shift_bound(t, 0.7, 0.5, contraction=made.contraction, lipschitz=made.lipschitz)
        assert float(gap.square().sum(1).mean().sqrt()) <= bound + 1e-12, t
    assert float(gap.norm(dim=1).max()) > 0.02 * bound


def test_the_bound_is_attained_by_a_linear_drift():
    """``dz = (-m z + L u) dt + sigma dW``: the noise cancels and the gap is the bound itself."""
    m, lipschitz, h = 0.8, 1.3, 1 / 256
    times, ends = [h * k for k in range(257)], []
    for u, z in ((0.0, 0.5), (0.2, 0.8)):

        def drift(z: Tensor, u: float = u) -> Tensor:
            return lipschitz * u - m * z

        start = torch.full((3, 1), z, dtype=F64)
        sde = langevin(drift, lambda _: 0.7)
        ends.append(solve(sde, euler_maruyama, times, start, noise=1).x)
    bound = shift_bound(1.0, 0.3, 0.2, contraction=m, lipschitz=lipschitz)
    torch.testing.assert_close(
        ends[1] - ends[0], torch.full((3, 1), bound, dtype=F64), rtol=2e-3, atol=0
    )
    assert float((ends[0] - ends[0][0]).abs().max()) > 0.1  # there was noise


def test_a_geometric_equation_bounds_the_logarithm_of_a_ratio_on_every_path():
    made = neural_problem("geometric")
    start = Z.abs() + 0.1
    logs = []
    for u in (CONTROL, MOVED):
        out = solve(made.sde(u), milstein, TIMES, start, noise=3, save_at=range(151)).saved
        logs.append({n: z.log() for n, z in out.items()})
    for n, t in enumerate(TIMES):
        bound = shift_bound(t, 0.0, 0.4, contraction=0.0, lipschitz=made.lipschitz)
        assert float((logs[0][n] - logs[1][n]).abs().max()) <= 1.05 * bound + 1e-12, t
    assert bound == pytest.approx(0.4 * 3.0 * made.lipschitz)


def test_a_naive_equation_has_no_such_bound():
    made = neural_problem("naive")
    assert made.contraction == -math.inf
    with pytest.raises(NonFiniteError) as e:
        solve(made.sde(CONTROL), euler_maruyama, TIMES, Z, noise=CellNoise(3))
    assert e.value.t is not None
    assert 0 < e.value.t < 3.0
    assert len(e.value.sample_ids) >= 1


# -- existence ------------------------------------------------------------------------------------


def test_solutions_exist_for_long_times_and_langevin_moments_stay_below_their_bound():
    times = [0.05 * k for k in range(401)]
    for name in ("langevin", "linear-noise", "geometric"):
        made = neural_problem(name)
        out = solve(made.sde(CONTROL), milstein, times, Z, noise=2, save_at=range(0, 401, 20))
        assert all(bool(z.isfinite().all()) for z in out.saved.values())
        if name == "langevin":
            sizes = [float(z.square().sum(1).mean().sqrt()) for z in out.saved.values()]
            assert max(sizes[2:]) < made.moment_bound
            assert min(sizes[2:]) > 0.1 * SIGMA


STEPS = (
    euler_maruyama,
    heun,
    euler_heun,
    milstein,
    milstein_free,
    srk1,
    srk15,
    reversible_heun,
)


@pytest.mark.parametrize("method", STEPS, ids=lambda m: m.name)
def test_zero_is_absorbing_for_a_geometric_equation_in_every_step(method: Method):
    start = torch.stack([torch.zeros(3, dtype=F64), torch.tensor([0.5, -1.0, 2.0], dtype=F64)], 1)
    calculus = "stratonovich" if method.calculus == "stratonovich" else "ito"
    sde = neural_problem("geometric").sde(CONTROL).converted(calculus)
    out = solve(sde, method, TIMES[:40], start, noise=5).x
    assert not bool(out[:, 0].any())
    assert bool((out[:, 1] != 0).all())
    # the control: additive noise leaves zero at once
    other = neural_problem("langevin").sde(CONTROL)
    if "additive" in method.strong:
        assert bool((solve(other, method, TIMES[:3], start, noise=5).x[:, 0] != 0).all())


# -- the bound itself -----------------------------------------------------------------------------


def test_the_bound_solves_its_differential_equation():
    for k in (0.7, 0.0, -0.4):
        e = 1e-5
        at = [shift_bound(0.9 + d, 0.3, 0.2, contraction=k, lipschitz=1.5) for d in (-e, 0.0, e)]
        assert (at[2] - at[0]) / (2 * e) == pytest.approx(-k * at[1] + 1.5 * 0.2, rel=1e-8)
        assert shift_bound(0.0, 0.3, 0.2, contraction=k) == 0.3


def test_what_makes_no_sense_is_refused():
    for bad in ((-1.0, 0.0, 0.0), (1.0, math.nan, 0.0), (1.0, 0.0, math.inf)):
        with pytest.raises(AnalysisError, match="must be finite and >= 0"):
            shift_bound(*bad, contraction=1.0)
    with pytest.raises(AnalysisError, match="the contraction finite"):
        shift_bound(1.0, 1.0, 1.0, contraction=math.nan)
    with pytest.raises(InvalidLawError, match="accepted: langevin, linear-noise, geometric"):
        neural_problem("stable")


def test_a_bound_beyond_all_numbers_is_infinite_and_nothing_stays_nothing():
    assert shift_bound(1e3, 1.0, 0.0, contraction=-1.0) == math.inf
    assert shift_bound(1e3, 0.0, 0.0, contraction=-1.0) == 0.0
