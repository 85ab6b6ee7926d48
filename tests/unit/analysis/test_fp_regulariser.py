"""The penalty is the residual, trains, and closes the gap that the residual measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fokker.analysis.fokker_planck import (
    NotDifferentiableError,
    denoising_loss,
    exact_log_density,
    exact_score,
    forward_residual,
    forward_sde,
    log_residual,
    penalty,
    points,
)
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models import problem


@pytest.mark.parametrize("process", [VPLinear(), RectifiedFlow()])
def test_the_penalty_is_made_of_the_residual(process):
    """The fast form against the general one, on a wrong potential and on the exact one."""
    law = problem("mixture").law
    x, t = points(law, process, [0.3, 0.7], 8, seed=0)
    exact = exact_log_density(law, process)
    wrong = lambda y, s: exact(y, s) + (y**3).sum(1) * s  # noqa: E731
    slow = log_residual(forward_sde(process), wrong, x, t)
    fast = forward_residual(wrong, process, x, t).detach()
    assert float((fast - slow.value).abs().max()) < 1e-12 * float(slow.scale.max())
    assert float(fast.abs().max()) > 0.1
    none = forward_residual(exact, process, x, t).detach()
    assert bool((none.abs() < 1e-12 * slow.scale).all())
    node = [process.node(float(s)) for s in t]
    ratio = torch.tensor([n.sigma**2 / float(process.g2(n.t)) for n in node], dtype=t.dtype)
    expected = (ratio * slow.value).square().mean()
    torch.testing.assert_close(penalty(wrong, process, x, t).detach(), expected)


def test_the_denoising_loss_is_least_at_the_score_of_the_data():
    """Its value there is ``1 - E|sigma s|^2/d``, and any other score is worse by its distance."""
    process, law = VPLinear(), problem("gaussian").law
    generator = torch.Generator().manual_seed(0)
    data = law.sample(4000, seed=0)
    eps = torch.randn(4000, 4, dtype=torch.float64, generator=generator)
    t = 0.1 + 0.8 * torch.rand(4000, dtype=torch.float64, generator=generator)
    exact = exact_log_density(law, process)
    best, x = denoising_loss(exact, process, data, eps, t)
    worse, _ = denoising_loss(lambda y, s: 1.2 * exact(y, s), process, data, eps, t)
    sigma = torch.from_numpy(process.sigma(t.numpy()))[:, None]
    size = (sigma * exact_score(law, process)(x, t)).square().mean()
    assert best.item() == pytest.approx(1 - float(size), abs=0.03)
    assert (worse - best).item() == pytest.approx(0.04 * float(size), abs=0.03)


def test_a_potential_that_cannot_be_differentiated_is_refused_and_one_without_time_is_not():
    process, x = VPLinear(), torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
    t = torch.full((8,), 0.5, dtype=torch.float64)
    round_ = lambda y, _: -y.square().sum(1)  # noqa: E731
    assert float(penalty(round_, process, x, t).detach()) > 0.1
    for loss in (
        lambda phi: penalty(phi, process, x, t),
        lambda phi: denoising_loss(phi, process, x, x, t),
    ):
        with pytest.raises(NotDifferentiableError, match="without detach"):
            loss(lambda y, s: round_(y, s).detach())
    with pytest.raises(NotDifferentiableError, match=r"at all 8 points.*softplus"):
        penalty(lambda y, _: -y.relu().sum(1) - (-y).relu().sum(1), process, x, t)


class _Precision(nn.Module):
    """``phi = -k(t) x^2/2 + c(t)`` with free values on a grid of times, linear between."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.k = nn.Parameter(start.clone())
        self.c = nn.Parameter(0.5 * start.log())

    def at(self, values: Tensor, t: Tensor) -> Tensor:
        place = (t - 0.1) / 0.9 * (len(values) - 1)
        low = place.detach().floor().clamp(0, len(values) - 2).long()
        share = place - low
        return (1 - share) * values[low] + share * values[low + 1]

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -0.5 * self.at(self.k, t) * x.square().sum(1) + self.at(self.c, t)


def _variance(t: np.ndarray) -> np.ndarray:
    """Of N(0, 0.2) seen through the process."""
    process = VPLinear()
    return 0.2 * process.alpha(t) ** 2 + process.sigma(t) ** 2


@pytest.mark.slow
def test_training_on_the_penalty_alone_makes_ode_and_sde_agree_without_being_right():
    """Start from 1.3 times the score of N(0, 0.2): the laws differ; after it they do not."""
    process, times = VPLinear(), np.linspace(0.1, 1.0, 25)
    net = _Precision(torch.from_numpy(1.3 / _variance(times)))

    def ends() -> list[float]:
        """Variances of ODE and SDE at t = 0.1 by variation of constants, from 1/k at t = 1."""
        s = np.linspace(1.0, 0.1, 2001)
        k = np.interp(s, times, net.k.detach().numpy())
        out = []
        for eta in (0.0, 1.0):
            pull = -process.f(s) - 0.5 * (1 + eta) * process.g2(s) * k
            grown = np.concatenate([[0.0], np.cumsum(0.5 * (pull[1:] + pull[:-1]) * -np.diff(s))])
            noise = eta * process.g2(s) * np.exp(2 * (grown[-1] - grown))
            added = float(np.sum(0.5 * (noise[1:] + noise[:-1]) * -np.diff(s)))
            out.append(float(np.exp(2 * grown[-1])) / k[0] + added)
        return out

    ode, sde = ends()
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(300):
        t = 0.1 + 0.9 * torch.rand(64, dtype=torch.float64, generator=generator)
        z = torch.randn(64, 1, dtype=torch.float64, generator=generator)
        x = torch.from_numpy(_variance(t.numpy())).sqrt()[:, None] * z
        adam.zero_grad()
        penalty(net, process, x, t).backward()
        adam.step()
    ode_after, sde_after = ends()
    assert abs(ode_after - sde_after) < 0.4 * abs(ode - sde)
    assert abs(ode_after - float(_variance(np.array(0.1)))) > 0.02
