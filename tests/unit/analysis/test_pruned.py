"""Pruned networks: closed on a linear one; what the first order foretells, and until where."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from fokker.analysis.distances import diagonal_w2, gaussian_w2
from fokker.analysis.gaussian_path import normal
from fokker.analysis.law import response
from fokker.analysis.pruned import (
    By,
    pruned,
    pruned_channels,
    pruned_network,
    variance_without,
)
from fokker.analysis.reach import Reach, reach, stops_at
from fokker.analysis.score_error import Line, evolve, exact_denoiser, noised
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.networks.diffusers_call import DiffusersCall
from fokker.solvers.networks.network import Network
from fokker.solvers.plan_algebra import to_prediction
from fokker.solvers.process import Array
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.linear_network import LinearDenoiser, linear_network
from fokker.toy_models.networks import named_network

F64 = torch.float64
SPAN = (-2.0, 2.5)
RHO = (math.exp(-SPAN[0]), math.exp(-SPAN[1]))
VAR = (2.0, 0.5, 0.1, 0.02)


@functools.cache
def law(last: int = 4) -> Gaussian:
    """A Gaussian in four dimensions with its ``last`` largest variances, the others 0."""
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    values = torch.tensor(VAR, dtype=F64) * (torch.arange(4) < last)
    mean = torch.from_numpy(rng.standard_normal(4))
    return Gaussian.from_eigen(mean, torch.from_numpy(basis), values)


def linear(process=VPLinear()) -> Network:  # noqa: B008
    return linear_network("linear", law(), process, SPAN)


# what is taken


def test_pruning_takes_the_smallest_and_counts_exactly():
    weights = torch.tensor([[3.0, -1.0, 0.5], [-0.5, 2.0, -4.0]])
    assert pruned(weights, 1 / 3).tolist() == [[3.0, -1.0, 0.0], [0.0, 2.0, -4.0]]
    assert pruned(weights, 1 / 6).tolist() == [[3.0, -1.0, 0.0], [-0.5, 2.0, -4.0]]
    assert torch.equal(pruned(weights, 0.0), weights)
    assert not pruned(weights, 1.0).any()


def test_channels_go_by_their_norm_and_one_stays():
    weights = torch.tensor([[0.0, 2.0], [1.5, 1.5], [1.0, -1.0]])  # norms 2, 2.12, 1.41
    assert pruned_channels(weights, 1 / 3).tolist() == [[0.0, 2.0], [1.5, 1.5], [0.0, 0.0]]
    for share in (2 / 3, 1.0):
        assert pruned_channels(weights[:, None], share)[:, 0].tolist() == [
            [0.0, 0.0], [1.5, 1.5], [0.0, 0.0],
        ]  # fmt: skip


def test_a_pruned_network_is_a_copy_without_the_weights_that_were_asked_for():
    network = linear()
    thin = pruned_network(network, 0.5, keep=("decode",))
    assert isinstance(network.module, LinearDenoiser)
    assert isinstance(thin.module, LinearDenoiser)
    assert int((thin.module.encode == 0).sum()) == 8
    assert torch.equal(thin.module.decode, network.module.decode)
    assert int((network.module.encode == 0).sum()) == 0


class Answers(nn.Module):
    """A module that is asked as those of diffusers are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 2.0], [3.0, 0.2]]))

    def forward(self, z: torch.Tensor, timestep: torch.Tensor, return_dict: bool) -> tuple:
        assert timestep.shape == z.shape[:1]
        assert not return_dict
        return (z @ self.weight,)


def test_a_network_of_diffusers_has_weights_too_and_another_way_of_asking_is_told():
    module = Answers()
    call = DiffusersCall(module, lambda t: (1.0, t), {}, channels=2)
    network = Network("theirs", call, VPLinear(), "data", (2,), SPAN, module=module)
    x = torch.ones(1, 2)
    with torch.no_grad():
        assert pruned_network(network, 0.5).model()(x, 0.5).tolist() == [[3.0, 2.0]]
        assert network.model()(x, 0.5)[0].tolist() == pytest.approx([3.1, 2.2])
    own = replace(network, call=lambda x, *_: x)
    with pytest.raises(AnalysisError, match="in a way of its own"):
        pruned_network(own, 0.5)


# closed: a linear network


@pytest.mark.parametrize("process", [VPLinear(), RectifiedFlow(), EDM()], ids=repr)
def test_without_its_least_channels_it_is_the_exact_model_of_a_law_without_them(process):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    for share, kept in ((0.0, 4), (0.25, 3), (0.75, 1)):
        thin = pruned_network(linear(process), share, by="channel", keep=("decode",))
        for lam in (-2.0, 0.1, 2.5):
            node = process.node_at_lam(lam)
            truth = law(kept).denoiser(x, node.alpha, node.sigma)
            with torch.no_grad():
                gap = thin.model()(x, node.t) - truth
            assert float(gap.abs().max()) < 1e-12


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_w2_of_the_law_without_channels_is_closed_for_every_eta(eta: float):
    """Two directions of four: integrated moments of the wrong score, and the formula."""
    made = evolve(exact_denoiser(law(2)), noised(law(), SPAN[0]), eta, SPAN)
    first = float(law().eigenvectors[:, 3] @ torch.from_numpy(made.cov) @ law().eigenvectors[:, 3])
    assert first == pytest.approx(float(variance_without(VAR[3], RHO, eta)), rel=1e-9)
    lost = diagonal_w2(
        np.zeros(2),
        variance_without(VAR[2:], RHO, eta),
        np.zeros(2),
        np.array(VAR[2:]) + RHO[1] ** 2,
    )
    assert gaussian_w2(*made, *noised(law(), SPAN[1])) == pytest.approx(lost, rel=1e-8)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_3"])
def test_the_paired_error_of_every_sample_is_that_of_the_exact_law_to_rounding(name: str):
    """Of a plan, in every direction: its closed response to the law that the network believes."""
    process = VPLinear()
    plan = get(name)(process, uniform_lam(process, *SPAN).grid(12))
    basis = law().eigenvectors
    mean = (basis.T @ law().mean).numpy()
    right, wrong = (response(plan, normal(mean, v)) for v in (VAR, (*VAR[:2], 0.0, 0.0)))
    node = process.node_at_lam(SPAN[0])
    x = node.alpha * law().sample(6, seed=1) + node.sigma * law().sample(6, seed=2)
    thin = pruned_network(linear(), 0.5, by="channel", keep=("decode",))
    gap = run(plan, thin.model(), x).x - run(plan, linear().model(), x).x
    at = (x @ basis).numpy()
    closed = (wrong.start - right.start) * at + wrong.constant - right.constant
    assert (gap @ basis).numpy() == pytest.approx(closed, rel=1e-10, abs=1e-12)
    end = process.node_at_lam(SPAN[1])  # what is left of a direction is what the start knew
    assert wrong.start[2:] == pytest.approx(end.sigma / node.sigma * np.ones(2), rel=1e-12)


def expansion(thin: Network, start: Array) -> Array:
    """``u`` of the wrong model less that of the right one, d_1 and d_2 of the ODE: (3, n, d)."""
    mean = law().mean.numpy()
    right, wrong = linear().module, thin.module
    assert isinstance(right, LinearDenoiser)
    assert isinstance(wrong, LinearDenoiser)

    def rate(lam: float, flat: Array) -> Array:
        u, w, one, two = flat.reshape(4, -1, 4)
        with torch.no_grad():
            a, b = (m.gain(math.exp(-lam)).numpy() - np.eye(4) for m in (right, wrong))
        e = b - a
        return np.stack([u @ a.T, w @ b.T, one @ a.T + u @ e.T, two @ a.T + one @ e.T]).ravel()

    begin = np.stack([start - mean, start - mean, 0 * start, 0 * start])
    found = solve_ivp(rate, SPAN, begin.ravel(), method="DOP853", rtol=1e-10, atol=1e-12)
    u, w, one, two = found.y[:, -1].reshape(4, -1, 4)
    return np.stack([w - u, one, two])


@pytest.mark.parametrize("by", ["weight", "channel"])
def test_both_orders_are_those_of_the_linear_equations(by: By):
    """A gain without symmetry: the terms and what they miss, by a fine plan and by integration."""
    process = VPLinear()
    thin = pruned_network(linear(), 0.25, by=by)
    plan = get("unipc_3")(process, uniform_lam(process, *SPAN).grid(120))
    first, last = (process.node_at_lam(lam) for lam in SPAN)
    x = first.alpha * law().sample(5, seed=1) + first.sigma * law().sample(5, seed=2)
    found = reach(plan, linear().model(), thin.model(), x)
    whole, one, two = expansion(thin, (x / first.alpha).numpy())

    def rms(v: Array) -> Array:
        return np.sqrt(np.square(v).mean(1))

    assert found.measured.numpy() == pytest.approx(last.alpha * rms(whole), rel=1e-5)
    assert found.first.numpy() == pytest.approx(last.alpha * rms(one), rel=1e-5)
    assert found.second.numpy() == pytest.approx(last.alpha * rms(one + two), rel=1e-5)
    assert found.off.numpy() == pytest.approx(rms(whole - one) / rms(one), rel=1e-4)
    assert found.expected.numpy() == pytest.approx(rms(two) / rms(one), rel=1e-4)
    assert found.off_second.numpy() == pytest.approx(rms(whole - one - two) / rms(one), rel=1e-3)


def test_single_weights_make_the_law_that_their_wrong_score_has():
    """The plan is a matrix: its covariance against the integrated moments, and W2 of both."""
    process, mean = VPLinear(), law().mean.numpy()
    thin = pruned_network(linear(), 0.25)
    assert isinstance(thin.module, LinearDenoiser)
    wrong: LinearDenoiser = thin.module

    def model(lam: float) -> Line:
        gain = wrong.gain(math.exp(-lam)).detach().numpy()
        return Line(gain, mean - gain @ mean)

    made = evolve(model, noised(law(), SPAN[0]), 0.0, SPAN)
    plan = get("unipc_3")(process, uniform_lam(process, *SPAN).grid(120))
    first, last = (process.node_at_lam(lam) for lam in SPAN)
    points = first.alpha * (law().mean + torch.cat([torch.zeros(1, 4, dtype=F64), torch.eye(4)]))
    ends = (run(plan, thin.model(), points).x / last.alpha).numpy()
    matrix = (ends[1:] - ends[0]).T
    cov = matrix @ noised(law(), SPAN[0]).cov @ matrix.T
    assert ends[0] == pytest.approx(made.mean, abs=1e-6)
    assert cov == pytest.approx(made.cov, abs=1e-6)
    assert gaussian_w2(ends[0], cov, *noised(law(), SPAN[1])) == pytest.approx(
        gaussian_w2(*made, *noised(law(), SPAN[1])), rel=1e-5
    )
    assert np.abs(matrix - matrix.T).max() > 1e-3  # a wrong score need be no gradient


def test_a_constant_error_of_an_affine_model_has_no_second_term():
    plan = to_prediction(
        get("dpmpp_2m")(VPLinear(), uniform_lam(VPLinear(), *SPAN).grid(8)), "data"
    )
    model = linear().model()
    x = law().sample(3, seed=0)
    found = reach(plan, model, lambda y, t: model(y, t) + 0.1, x)
    assert found.measured.numpy() == pytest.approx(found.first.numpy(), rel=1e-9)
    assert float(found.expected.max()) < 1e-5
    assert float(found.off.max()) < 1e-9


# a trained network


@functools.cache
def digits(share: float, by: By = "weight") -> Reach:
    network = named_network("digits").to(dtype=F64)
    labels = torch.arange(6)
    plan = to_prediction(get("dpmpp_2m")(network.process, network.grid(8)), "flow")
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    thin = pruned_network(network, share, by=by, keep=("label",))
    return reach(plan, network.model(labels), thin.model(labels), x)


def test_the_error_of_a_pruned_network_reaches_the_sample_as_predicted():
    """Share 0.05: all samples, as vectors, within 5 %; twice that: both orders within 2 %."""
    assert float(digits(0.05).off.max()) < 0.05
    assert digits(0.1).median("off") > 2 * digits(0.05).median("off")
    assert digits(0.1).median("off_second") < 0.02
    assert digits(0.1).median("second") == pytest.approx(digits(0.1).median(), rel=0.02)


def test_the_second_term_foretells_where_the_first_order_stops():
    shares = (0.05, 0.1, 0.2, 0.3)
    found, told = (
        stops_at(shares, [digits(s).median(kind) for s in shares]) for kind in ("off", "expected")
    )
    assert 0.1 < found < 0.3
    assert told == pytest.approx(found, rel=0.2)


def test_a_channel_costs_more_than_as_many_single_weights_and_stops_sooner():
    assert digits(0.05, "channel").median() > 5 * digits(0.05).median()
    assert digits(0.05, "channel").median("off") > 0.2


# where a prediction stops


def test_where_a_power_crosses_is_found_exactly():
    shares = [0.05, 0.1, 0.3]
    assert stops_at(shares, [(s / 0.2) ** 2 * 0.1 for s in shares]) == pytest.approx(0.2)
    assert stops_at(shares, [0.01, 0.02, 0.05]) == math.inf
    assert stops_at(shares, [0.2, 0.02, 0.5]) == 0.0
    assert stops_at(shares, [0.01, 0.2, 0.05]) < 0.1  # the first time


# what is refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pruned(torch.ones(3), 1.5), r"in \[0, 1\], got 1.5"),
        (lambda: pruned(torch.ones(3), math.nan), r"in \[0, 1\], got nan"),
        (lambda: pruned(torch.tensor([1.0, math.nan]), 0.5), "not finite"),
        (lambda: pruned_channels(torch.tensor(1.0), 0.5), "rows along the first axis"),
        (lambda: pruned_network(linear(), 0.5, by="filter"), "weight or channel, got 'filter'"),  # type: ignore[arg-type]
        (lambda: pruned_network(named_network("gaussian"), 0.5), "no weights to change"),
        (lambda: variance_without(-1.0, (2.0, 1.0)), "not negative"),
        (lambda: variance_without(1.0, (2.0, 1.0), -1.0), "not negative"),
        (lambda: variance_without(1.0, (1.0, 2.0)), "rho falls"),
        (lambda: stops_at([0.1, 0.1], [1.0, 2.0]), "increasing sizes"),
        (lambda: stops_at([0.1], [0.0]), "must be positive"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_an_expansion_needs_float64_a_size_and_two_models():
    plan = get("ddim")(VPLinear(), uniform_lam(VPLinear(), *SPAN).grid(2))
    model, x = linear().model(), torch.ones(1, 4, dtype=F64)
    with pytest.raises(AnalysisError, match="needs float64"):
        reach(plan, model, model, x.float())
    with pytest.raises(AnalysisError, match="do not differ"):
        reach(plan, model, model, x)
    with pytest.raises(AnalysisError, match=r"in \(0, 1\), got 0"):
        reach(plan, model, model, x, size=0.0)
