"""The mixture of a network's classes; who is refused, who is lost; threads of the command."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from fokker.analysis.recommend import Recommendation, Settings, recommend
from fokker.analysis.recommend.candidates import candidates
from fokker.analysis.recommend.mixture import RANK, class_mixture
from fokker.analysis.recommend.race import Runner, _stay, advance
from fokker.analysis.recommend.reference import reference
from fokker.analysis.recommend.report import record, text
from fokker.analysis.recommend.starts import Starts
from fokker.cli.recommend import SMALL, _few_threads
from fokker.solvers.errors import AnalysisError
from fokker.solvers.networks.network import Network
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.lowrank import LowRankMixture
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.problems import problem

NAMES = ("ddim", "dpmpp_2m", "unipc_2", "exp_rk2_data", "ghvb_3", "exp_ab4_noise", "edm_heun")


def classed(n: int, d: int) -> tuple[torch.Tensor, list[int]]:
    """Ends of three classes that go round, with one covariance."""
    rng = np.random.default_rng(2)
    labels = [2 * (i % 3) for i in range(n)]
    ends = rng.standard_normal((n, d)) * np.geomspace(2, 0.1, d) + 3.0 * np.array(labels)[:, None]
    return torch.from_numpy(ends), labels


def test_the_mixture_has_the_means_of_the_classes_and_the_shrunk_covariance_about_them():
    ends, labels = classed(30, 5)
    law = class_mixture(ends, labels)
    assert isinstance(law, LowRankMixture)
    rows, which = ends.numpy(), np.array(labels) // 2
    means = np.stack([rows[which == k].mean(0) for k in range(3)])
    assert law.means.numpy() == pytest.approx(means, abs=1e-12)
    about = rows - means[which]
    s, shrink = about.T @ about / 27, ledoit_wolf_shrinkage(about, assume_centered=True)
    wanted = (1 - shrink) * s + shrink * np.trace(s) / 5 * np.eye(5)
    for factor in law.factors.numpy():
        found = factor @ factor.T + law.noise**2 * np.eye(5)
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_beyond_the_rank_the_variance_is_spread_evenly():
    ends, labels = classed(60, 40)
    law = class_mixture(ends, labels)
    assert isinstance(law, LowRankMixture)
    assert law.factors.shape == (3, 40, RANK)
    about = ends - torch.stack([ends[k::3].mean(0) for k in range(3)])[torch.arange(60) % 3]
    total = float(law.factors[0].square().sum()) + 40 * law.noise**2
    assert total == pytest.approx(float(about.square().sum()) / 57, rel=1e-9)
    assert law.noise > 0


@pytest.mark.parametrize(("n", "labels"), [(8, [1] * 8), (6, [0, 1, 2, 0, 1, 2])])
def test_one_class_or_few_starts_have_no_mixture_and_say_so(n: int, labels: list[int]):
    assert "a mixture needs two classes" in str(class_mixture(torch.randn(n, 3), labels))


@lru_cache
def digits() -> Recommendation:
    asked = Settings(nfe=8, starts=32, names=NAMES, reference_steps=64)
    return recommend(named_network("digits-mixture"), asked)


def test_all_who_ran_on_the_network_run_on_the_mixture_and_rank_alike():
    """The network is a mixture of Gaussians: its fit orders the samplers as it does itself."""
    found = digits()
    ran = {r.candidate.name for r in found.ranked}
    ran |= {r.candidate.name for r, _ in found.dropped if not r.failure}
    assert set(found.mixture.errors) == ran
    assert found.mixture.components == 10
    data = record(found)
    assert data["mixture"]["rank_correlation"] > 0.9
    assert "exact mixture of 10 classes" in text(data)


def test_the_gaussian_is_affine_and_the_mixture_is_not():
    """Its errors are no copy of the closed form: modes part on the way."""
    errors = digits().mixture.errors
    exact = {r.candidate.name: r.surrogate for r in digits().ranked}
    gaps = [abs(math.log(errors[k] / s.paired)) for k, s in exact.items() if s and s.paired]
    assert max(gaps) > 0.5


def test_a_network_without_classes_has_none_and_says_why():
    found = recommend(named_network("gaussian"), Settings(nfe=6, starts=8, names=["ddim"],
                      spacings=["lam"], reference_steps=32))  # fmt: skip
    assert found.mixture.errors == {}
    assert "needs classes" in record(found)["mixture"]["why_not"]
    assert "exact mixture" not in text(record(found))


def test_samplers_with_noise_alone_are_refused_in_one_sentence():
    asked = Settings(nfe=6, starts=8, names=["euler_maruyama"], stochastic=True, spacings=["lam"])
    with pytest.raises(AnalysisError, match=r"euler_maruyama.* draws noise; name a deterministic"):
        recommend(named_network("gaussian"), asked)


def test_classes_in_turn_do_not_make_two_equal_laws_look_closer_than_equal():
    """Two far classes: where i may meet i of the other side MMD^2 is -0.06 for any sampler."""
    p = problem("gaussian")
    far = [
        Gaussian(torch.full((1,), m).double(), torch.full((1, 1), 0.01).double())
        for m in (-3.0, 3.0)
    ]
    both = GaussianMixture(
        torch.tensor([0.5, 0.5]).double(),
        torch.stack([g.mean for g in far]), torch.stack([g.cov for g in far]),
    )  # fmt: skip
    network = exact_network("far", both, p.process, (-4.0, 4.0), by_class=far)
    asked = Settings(nfe=24, starts=16, names=["dpmpp_2m", "sde_dpmpp_2m"], spacings=["lam"],
                     stochastic=True, reference_steps=64)  # fmt: skip
    found = recommend(network, asked)
    assert found.mixture.components == 2  # also on the line, where nothing is beyond the rank
    squares = [r.mmd.square for r in found.laws if r.mmd]
    assert len(squares) == 2
    assert max(abs(v) for v in squares) < 0.02


def test_equal_samplers_hardly_ever_go_before_the_last_round():
    """25 fields of 12 equal ones after 8 starts: 2 of 300 go, of a leader named beforehand 20."""
    rng = np.random.default_rng(4)
    gone = 0
    for _ in range(25):
        table = rng.standard_normal((8, 12))
        order = table.mean(0).argsort()
        runners = [Runner(None, np.exp(table[:, k])) for k in order]  # type: ignore[arg-type]
        gone += _stay(runners, "typical", 0.0).count(False)
    assert gone <= 8
    behind = [Runner(None, np.exp(0.1 * table[:, k] + 2.0 * (k > 3))) for k in range(12)]  # type: ignore[arg-type]
    assert _stay(behind, "typical", 0.0) == [True] * 4 + [False] * 8
    assert all(_stay(behind, "typical", 3.3))  # what the fine solution cannot tell apart stays


def test_an_end_too_large_for_an_error_is_a_candidate_that_diverged():
    network = named_network("gaussian")
    starts = Starts(network, 4)
    truth = reference(starts, steps=32)
    found = candidates(network, 4, names=["ddim"], spacings=["lam"])[0][0]
    far = replace(truth, ends=truth.ends * 1e300)
    runner = Runner(found, np.empty(0))
    advance(runner, starts, far, 0, 4)
    assert "not finite" in runner.failure
    assert not len(runner.errors)


def test_who_diverges_from_the_other_starts_is_told_and_not_ranked():
    p = problem("gaussian")
    model, bad = p.model("data"), {}

    def call(x, t, labels):
        """Breaks at a level of one grid, at the second time that it is asked there."""
        if abs(t - bad["t"]) < 1e-9:
            bad["seen"] += 1
        return model(x, t) / (0.0 if bad["seen"] > bad["most"] else 1.0)

    network = Network("breaks", call, p.process, "data", (4,), (p.lam_start, p.lam_end))
    asked = Settings(nfe=6, starts=8, names=["ddim", "dpmpp_2m"], spacings=["lam"], confirm=True)
    grid = network.grid(6)
    bad.update(t=grid[3].t, seen=0, most=2)  # both candidates once; then again, from other starts
    with pytest.raises(AnalysisError, match="all 2 candidates diverged from other starts"):
        recommend(network, asked)
    bad.update(seen=0, most=3)
    found = recommend(network, replace(asked, reference_steps=64))
    assert len(found.ranked) == 1
    assert [r.failure != "" for r, _ in found.dropped] == [True]


def test_a_small_state_takes_one_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with _few_threads((8, 8), Settings(starts=4)):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with _few_threads((SMALL,), Settings(starts=4)):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
