"""The Schrodinger bridge as the best interpolant, and its probability-flow ODE as plans."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.transport.as_flow import transported, uniform_u
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.interpolant import Interpolant, linear, trigonometric
from fokker.solvers.transport.reference import LinearReference, brownian
from fokker.toy_models.interpolated import MixtureInterpolant

F64 = torch.float64
Q = 0.8
"""Strength of the Brownian reference."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


def tensor(value: list) -> Tensor:
    return torch.tensor(value, dtype=F64)


A, B = tensor([[0.5, 0.2], [0.2, 0.9]]), tensor([[1.2, -0.3], [-0.3, 0.4]])
M, N = tensor([0.0, 0.5]), tensor([1.0, -0.4])


def plan() -> EntropicGaussian:
    return EntropicGaussian(M, A, N, B, 2 * Q**2)


def work(path: MixtureInterpolant) -> float:
    """``E int |b + q^2 s/2|^2 du/(2 q^2)``: KL of its Markov process to the reference, given x_0.

    The drift is affine: its mean square in ``N(m, S)`` is that of its centre and of its slopes.
    """
    total = 0.0
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        u = float(0.5 * (1 + node))
        law = path.law(u)
        mean, cov = law.means[0], law.covs[0]
        rows = torch.cat([mean[None], mean + torch.linalg.cholesky(cov).mT])
        drift = path.drift(rows, u, 0.5 * Q**2)
        slopes = drift[1:] - drift[0]  # of the columns of the root of S
        total += 0.5 * weight * float(drift[0].square().sum() + slopes.square().sum())
    return total / (2 * Q**2)


def interpolant(shape: Interpolant, cross: Tensor) -> MixtureInterpolant:
    cov = torch.cat([torch.cat([A, cross], 1), torch.cat([cross.mT, B], 1)])
    return MixtureInterpolant(shape, torch.ones(1, dtype=F64), torch.cat([M, N])[None], cov[None])


def test_no_interpolant_costs_less_than_the_bridge_which_has_its_relative_entropy():
    """Over couplings, over the noise and over the schedule: each change costs, to second order."""
    cross = plan().joint()[1][:2, 2:]
    best = work(interpolant(linear(Q), cross))
    bridge = GaussianBridge(M, A, N, B, brownian(2, Q))
    assert best == pytest.approx(float(bridge.relative_entropy()), rel=1e-9)
    way = tensor([[0.05, 0.1], [-0.1, 0.05]])
    for step in (0.2, -0.2):
        costs = [work(interpolant(linear(Q), cross + c * step * way)) - best for c in (1.0, 0.5)]
        assert costs[0] > 1e-6
        assert costs[0] / costs[1] == pytest.approx(4, rel=0.3)
    for other in (linear(0.9 * Q), linear(1.1 * Q), trigonometric(Q)):
        assert work(interpolant(other, cross)) > best + 1e-4


REFERENCES = {
    "brownian": brownian(2, Q),
    "turning": LinearReference(tensor([[-0.5, 1.0], [-1.0, -0.2]]), 0.8 * torch.eye(2, dtype=F64)),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("sampler", "order"), [("dpmpp_2m", 2), ("exp_rk4_data", 4)])
def test_plans_of_the_ode_carry_the_law_of_a_bridge(name: str, sampler: str, order: int):
    """The pushed covariance is that of the bridge, with the order of the plan."""
    bridge = GaussianBridge(M, A, N, B, REFERENCES[name])
    (mean, cov), (end, after) = bridge.law(0.05), bridge.law(0.95)
    root = torch.linalg.cholesky(cov)
    rows = torch.cat([mean[None], mean + root.mT])

    def error(steps: int) -> float:
        out = transported(bridge.velocity, rows, uniform_u(steps, 0.05, 0.95), sampler=sampler)
        pushed = (out[1:] - out[0]).mT
        gaps = (pushed @ pushed.mT - after).abs().max(), (out[0] - end).abs().max()
        return float(max(gaps))

    first, second = error(16), error(32)
    assert second < 1e-2
    assert math.log2(first / second) > order - 0.4
