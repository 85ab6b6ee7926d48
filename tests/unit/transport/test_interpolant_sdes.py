"""The SDEs of an interpolant: one law for every epsilon, both ways; and what steps make of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from fokker.analysis.affine_law import affine_law
from fokker.analysis.distances import gaussian_w2
from fokker.solvers.errors import FokkerError
from fokker.solvers.noise import CellNoise
from fokker.solvers.sde.basic import euler_maruyama
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import shark, sra1
from fokker.solvers.sde.solve import solve
from fokker.solvers.transport.interpolant import linear, smooth
from fokker.solvers.transport.interpolant_sde import (
    backward_sde,
    bump,
    constant,
    forward_sde,
)
from interpolant_cases import F64, mixtures, skew_gaussians

METHODS = {m.name: m for m in (euler_maruyama, sra1, shark)}
WAYS = {"forward": forward_sde, "backward": backward_sde}
PROFILES = {
    "none": constant(0.0), "constant": constant(0.7), "large": constant(20.0),
    "bump": bump(2.0), "square": bump(2.0, 2.0),
}  # fmt: skip


@cache
def _found(way: str, profile: str, method: str, steps: int, name: str) -> float:
    path = skew_gaussians({"linear": linear, "smooth": smooth}[name]())
    first, last = (path.law(u) for u in ((0.0, 1.0) if way == "forward" else (1.0, 0.0)))
    epsilon = PROFILES[profile] if profile in PROFILES else constant(float(profile))
    sde = WAYS[way](path.velocity, path.score, epsilon)
    law = affine_law(
        sde, METHODS[method], np.linspace(0, 1, steps + 1).tolist(), first.means[0], first.covs[0]
    )
    return float(gaussian_w2(*law, last.means[0], last.covs[0]))


def found(way: str, profile: str, method: Method, steps: int, name: str = "linear") -> float:
    """Exact W2 between the law of a method and the law at the end."""
    return _found(way, profile, method.name, steps, name)


def arrival(sde: SDE, mean: torch.Tensor, cov: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Moments at the last time of an equation with affine drift: an ODE, solved to 1e-10."""
    eye = torch.eye(2, dtype=F64)

    def rate(u: float, flat: np.ndarray) -> np.ndarray:
        u = min(max(u, 0.0), 1.0)
        m, c = torch.as_tensor(flat[:2]), torch.as_tensor(flat[2:]).reshape(2, 2)
        out = sde.f(u, torch.cat([eye, 0 * eye[:1]]))
        slope = (out[:2] - out[2]).mT
        noise = float(sde.g(u, eye)) ** 2 * eye
        parts = slope @ m + out[2], (slope @ c + c @ slope.mT + noise).flatten()
        return torch.cat(parts).numpy()

    start = torch.cat([mean, cov.flatten()]).numpy()
    done = solve_ivp(rate, (0, 1), start, method="LSODA", rtol=1e-10, atol=1e-12)
    end = torch.from_numpy(done.y[:, -1])
    return end[:2], end[2:].reshape(2, 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_law_arrives_for_every_epsilon_and_both_ways(way: str, profile: str):
    path = skew_gaussians(linear())
    first, last = (path.law(u) for u in ((0.0, 1.0) if way == "forward" else (1.0, 0.0)))
    sde = WAYS[way](path.velocity, path.score, PROFILES[profile])
    mean, cov = arrival(sde, first.means[0], first.covs[0])
    torch.testing.assert_close(mean, last.means[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(cov, last.covs[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("profile", ["none", "constant", "square"])
def test_laws_converge_with_order_one_and_two(way: str, profile: str):
    for method, order in ((euler_maruyama, 1), (sra1, 2), (shark, 2)):
        slope = math.log2(found(way, profile, method, 32) / found(way, profile, method, 64))
        assert slope == pytest.approx(order, abs=0.15), method.name
    assert found(way, profile, sra1, 64) < 0.05 * found(way, profile, euler_maruyama, 64)


@pytest.mark.parametrize("method", [sra1, shark], ids=lambda m: m.name)
def test_a_profile_whose_root_has_no_derivative_costs_a_logarithm(method: Method):
    """``W2 ~ h^2 log(1/h)``: between 64 and 128 steps a slope of about 1.8."""
    slopes = {
        profile: math.log2(found("forward", profile, method, 64) /
                           found("forward", profile, method, 128))
        for profile in ("bump", "square")
    }  # fmt: skip
    assert 1.6 < slopes["bump"] < 1.92
    assert slopes["square"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["linear", "smooth"])
@pytest.mark.parametrize("way", WAYS)
def test_the_best_epsilon_is_neither_none_nor_large(way: str, name: str):
    sizes = ["0", "0.1", "0.5", "2", "8"]
    errors = [found(way, size, euler_maruyama, 32, name) for size in sizes]
    best = int(np.argmin(errors))
    assert 0 < best < len(sizes) - 1
    assert errors[0] > 1.2 * errors[best]
    assert errors[-1] > 3 * errors[best]


def test_the_drifts_of_a_known_interpolant_are_those_of_the_equations():
    path, x = mixtures(linear()), torch.ones(2, 2, dtype=F64)
    there = forward_sde(path.velocity, path.score, 0.7).f(0.3, x)
    back = backward_sde(path.velocity, path.score, 0.7).f(0.7, x)
    torch.testing.assert_close(there, path.drift(x, 0.3, 0.7))
    torch.testing.assert_close(back, -path.drift(x, 0.3, 0.7, backward=True))


def test_mixtures_arrive_at_their_law():
    """Moments within five standard errors of 1500 samples; with half the score they do not."""
    path, n = mixtures(linear()), 1500
    for way, (u, v) in {"forward": (0.0, 1.0), "backward": (1.0, 0.0)}.items():
        x, last = path.law(u).sample(n, seed=1), path.law(v)
        wanted = last.sample(200_000, seed=2)

        def far(part: float, way: str = way, x=x, wanted=wanted) -> float:
            sde = WAYS[way](path.velocity, lambda y, w: part * path.score(y, w), bump(1.5))
            out = solve(sde, shark, np.linspace(0, 1, 25).tolist(), x, noise=CellNoise(4)).x
            gaps = [
                (g(out).mean(0) - g(wanted).mean(0)).abs() / (g(out).std(0) / math.sqrt(n))
                for g in (lambda y: y, torch.square, lambda y: torch.cos(2 * y))
            ]
            return float(torch.stack(gaps).max())

        assert far(1.0) < 5.5
        assert far(0.3) > 7


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: constant(-1.0), "epsilon must be finite and not negative, got -1"),
        (lambda: bump(math.inf), "got inf"),
        (lambda: bump(1.0, 0.0), "power of a profile must be positive"),
        (lambda: flat(lambda u: 0.5 - u).f(0.8, torch.ones(1, 1)), r"epsilon\(0.8\) must be"),
        (lambda: flat(1.0).g(1.2, torch.ones(1, 1)), r"lives on \[0, 1\], got the time 1.2"),
    ],
)
def test_bad_profiles_and_times_are_refused(make: Callable[[], object], sentence: str):
    with pytest.raises(FokkerError, match=sentence):
        make()


def flat(epsilon) -> SDE:
    return forward_sde(lambda x, _u: 0 * x, lambda x, _u: -x, epsilon)


def test_exact_laws_refuse_what_is_not_affine():
    mean, cov = torch.zeros(1, dtype=F64), torch.eye(1, dtype=F64)
    bent = SDE(lambda _t, x: torch.sin(x), lambda _t, _x: 1.0, noise="additive")
    with pytest.raises(FokkerError, match="not affine"):
        affine_law(bent, euler_maruyama, [0.0, 1.0], mean, cov)
    with pytest.raises(FokkerError, match="additive noise, got diagonal"):
        affine_law(SDE(bent.drift, bent.drift), euler_maruyama, [0.0, 1.0], mean, cov)
    with pytest.raises(FokkerError, match="carries"):
        affine_law(flat(0.5), reversible_heun, [0.0, 1.0], mean, cov)


def test_an_exact_law_is_that_of_the_scheme_by_hand():
    """``dX = -2 X dt + 3 dW``, Euler: ``V' = (1 - 2h)^2 V + 9 h``."""
    sde = SDE(lambda _t, x: -2 * x, lambda _t, _x: 3.0, noise="additive")
    mean, cov = affine_law(sde, euler_maruyama, [0.0, 0.1, 0.4], torch.ones(1), 0.5 * torch.eye(1))
    v = 0.8**2 * 0.5 + 0.9
    assert cov.item() == pytest.approx(0.4**2 * v + 2.7, rel=1e-12)
    assert mean.item() == pytest.approx(0.8 * 0.4, rel=1e-12)
