"""SADA: the two criteria by hand, decisions sample by sample, and what skipping costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.paired import rms
from fokker.solvers.caching.sada import PUBLISHED, Sada, sada
from fokker.solvers.caching.virtual import cached, newton
from fokker.solvers.errors import InvalidGridError, InvalidPlanError, NonFiniteError
from fokker.solvers.grids import grid_from_times, power_t, uniform_lam, wavy_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models import LowRankMixture, image_mixture
from fokker.toy_models.draws import normals
from fokker.toy_models.law import exact_model

PROCESS = VPLinear()


def images(seed: int) -> LowRankMixture:
    return image_mixture(size=8, channels=1, components=8, rank=4, seed=seed)


def start(seed: int = 0, batch: int = 8) -> Tensor:
    return torch.from_numpy(normals(batch, 64, seed=seed, label="sada"))


def model(seed: int = 0):
    return exact_model(images(seed), PROCESS, "data")


def test_without_skips_it_is_the_multistep_sampler():
    for grid in (g := wavy_lam(PROCESS, -3.0, 2.0).grid(12), g.with_zero()):
        want = run(get("dpmpp_2m")(PROCESS, grid), model(), start()).x
        found = sada(model(), PROCESS, grid, start(), most=0)
        torch.testing.assert_close(found.x, want, rtol=1e-12, atol=1e-12)
        assert (found.nfe, found.skipped) == (len(grid), 0.0)


def test_weights_of_the_criteria():
    grid = power_t(PROCESS, 1.0, 0.2).grid(8)  # equal steps in time
    exact = Sada(PROCESS, grid, "ab3")._weights(4, grid[4])
    h = grid[4].t - grid[3].t
    np.testing.assert_allclose(np.array(exact) / h, np.array([23, -16, 5]) / 12, rtol=1e-10)
    published = Sada(PROCESS, grid, "published")._weights(4, grid[4])
    np.testing.assert_allclose(np.array(published) / h, PUBLISHED)


@pytest.mark.parametrize(("criterion", "exact"), [("ab3", 2), ("published", 0)])
@pytest.mark.parametrize("waves", [0, 2])
def test_moments_of_the_criteria(criterion: str, exact: int, waves: int):
    """AB3 integrates parabolas of the time exactly on any grid; (5, 6, -3)/8 only constants."""
    make = wavy_lam(PROCESS, -2.0, 2.0).grid(8) if waves else power_t(PROCESS, 1.0, 0.2).grid(8)
    w = Sada(PROCESS, make, criterion)._weights(5, make[5])
    times, a, b = np.array([make[j].t for j in (4, 3, 2)]), make[4].t, make[5].t
    for k in range(4):
        integral = (b - a) ** (k + 1) / (k + 1)
        miss = float(np.dot(w, (times - a) ** k)) - integral
        assert (abs(miss) < 1e-12) == (k <= exact), (k, miss)
    if criterion == "published" and not waves:
        assert sum(PUBLISHED) == 1.0
        assert PUBLISHED[1] + 2 * PUBLISHED[2] == 0.0  # 1/2 is needed, with places 0, -1, -2


def by_hand(grid, x: Tensor, f, criterion: str, guess: str, most: int) -> tuple[Tensor, Tensor]:
    """One sample at a time, in plain loops."""
    ends, calls = [], []
    for row in x.split(1):
        real, ys, before, skip, count, asked = [], [], None, False, 0, []
        ahead = eps = row
        for i, (s, t) in enumerate(grid.steps()):
            asked.append(not skip)
            if skip and guess == "extrapolated":
                data = (ahead - s.sigma * eps) / s.alpha
            elif skip:
                data = sum(
                    d * math.prod((s.lam - b) / (a - b) for b, _ in real[:3] if b != a)
                    for a, d in real[:3]
                )
            else:
                data = f(row, s.t)
                real.insert(0, (s.lam, data))
            if not (skip and guess == "extrapolated"):  # else the noise prediction is the old one
                eps = (row - s.alpha * data) / s.sigma
            drift = float(PROCESS.f(s.t)) * row + float(PROCESS.g2(s.t)) / (2 * s.sigma) * eps
            ys.insert(0, drift)
            h, old = t.lam - s.lam, data
            mid = data
            if before is not None:
                r = (s.lam - grid[i - 1].lam) / h
                mid = data + (data - before) / (2 * r)
            new = t.sigma / s.sigma * row + t.alpha * -math.expm1(-h) * mid
            skip = False
            if 3 <= i + 1 < len(grid) - 1:
                w = Sada(PROCESS, grid, criterion)._weights(i + 1, t)
                ahead = row + sum(wj * y for wj, y in zip(w, ys[:3], strict=True))
                bend = ys[0] - 2 * ys[1] + ys[2]
                skip = float(((new - ahead) * bend).sum()) <= 0 and count < most
            count = count + 1 if skip else 0
            row, before = new, old
        ends.append(row)
        calls.append(asked)
    return torch.cat(ends), torch.tensor(calls).T


@pytest.mark.parametrize("criterion", ["ab3", "published"])
@pytest.mark.parametrize("guess", ["newton", "extrapolated"])
def test_the_whole_run_is_what_plain_loops_over_single_samples_give(criterion: str, guess: str):
    grid = wavy_lam(PROCESS, -3.0, 2.5).grid(20)
    want, calls = by_hand(grid, start(), model(), criterion, guess, 2)
    found = sada(model(), PROCESS, grid, start(), criterion=criterion, guess=guess)
    assert (found.asked == calls).all()
    assert 0 < found.skipped < 1
    torch.testing.assert_close(found.x, want, rtol=1e-10, atol=1e-10)
    if criterion == "ab3":
        assert (found.asked.any(1) & ~found.asked.all(1)).any()  # samples differ


def test_only_samples_that_ask_are_given_to_the_model():
    sizes, f = [], model()

    def counted(x: Tensor, t: float) -> Tensor:
        sizes.append(len(x))
        return f(x, t)

    found = sada(counted, PROCESS, wavy_lam(PROCESS, -3.0, 2.5).grid(20), start())
    assert sizes == [int(row.sum()) for row in found.asked if row.any()]
    assert found.nfe == int(found.asked.sum(0).max())


def test_slack_is_how_many_calls_are_skipped():
    grid = uniform_lam(PROCESS, -4.0, 3.0).grid(40)
    skipped = [
        sada(model(), PROCESS, grid, start(), slack=c, most=1).skipped
        for c in (-1.0, 0.0, 0.5, 1.0)
    ]
    assert skipped[0] < 0.02
    assert skipped == sorted(skipped)
    assert skipped[-1] == pytest.approx(18 / 40)  # every other of the nodes 3 .. 38


def periodic(grid, x: Tensor, f, skips: int) -> Tensor:
    """As many calls skipped, evenly, with the same guess."""
    first, last = 3, len(grid) - 1

    def keep(k: int) -> bool:
        return not first <= k < last or (k - first + 1) * skips // (last - first) == (
            k - first
        ) * skips // (last - first)

    return run(cached(get("dpmpp_2m")(PROCESS, grid), keep, newton(2)), f, x).x


def test_skipping_by_the_criterion_is_better_than_skipping_as_often_periodically():
    """Jiang et al. 2025, in small: five laws of images, 50 steps uniform in lam, exact AB3."""
    maps, wins = uniform_lam(PROCESS, -4.0, 3.0), 0
    for seed in range(5):
        x, f = start(seed), model(seed)
        truth = run(get("dpmpp_3m")(PROCESS, maps.grid(400)), f, x).x
        grid = maps.grid(50)
        plain = rms(run(get("dpmpp_2m")(PROCESS, grid), f, x).x - truth)
        found = sada(f, PROCESS, grid, x)
        skips = round(float((~found.asked).sum(0).double().mean()))
        assert 0.1 < found.skipped < 0.4
        assert rms(found.x - truth) < 1.5 * plain
        wins += rms(found.x - truth) < rms(periodic(grid, x, f, skips) - truth)
    assert wins >= 4


def test_the_published_weights_call_nearly_everything_stable():
    grid = uniform_lam(PROCESS, -4.0, 3.0).grid(40)
    for seed in range(3):
        found = sada(model(seed), PROCESS, grid, start(seed), criterion="published", most=4)
        assert found.skipped > 0.65  # four in five of the nodes 3 .. 38 are at most 0.7
        exact = sada(model(seed), PROCESS, grid, start(seed), criterion="ab3", most=4)
        assert exact.skipped < 0.5


def test_what_cannot_be_is_one_sentence():
    grid = uniform_lam(PROCESS, -2.0, 2.0).grid(6)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"criterion": "ab2"}, r"criterion must be in \('ab3', 'published'\)"),
        ({"guess": "none"}, "got ab3, none"),
        ({"most": -1}, "need first >= 1, last >= 1 and most >= 0, got 3, 1 and -1"),
        ({"slack": 2.0}, r"slack is a cosine and must lie in \[-1, 1\], got 2.0"),
    )
    for options, words in wrong:
        with pytest.raises(InvalidPlanError, match=words):
            sada(model(), PROCESS, grid, start(), **options)
    process = RectifiedFlow()
    with pytest.raises(InvalidGridError, match="finite lam to start from, got alpha = 0"):
        sada(model(), process, grid_from_times(process, [1.0, 0.5, 0.1]), start())

    def broken(x: Tensor, t: float) -> Tensor:
        return torch.where(torch.arange(len(x))[:, None] == 2, math.nan, x) if t < 0.3 else x

    with pytest.raises(NonFiniteError, match=r"not finite at t = .*, samples \[2\]"):
        sada(broken, PROCESS, grid, start(), most=0)
