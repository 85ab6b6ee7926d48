"""EVODiff: its formulas by hand, its orders as they are, and what few steps show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.paired import FlowProblem, observed_order, rms, sample
from fokker.solvers.errors import InvalidGridError, NonFiniteError
from fokker.solvers.grids import Grid, grid_from_times, uniform_lam, wavy_lam
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.solvers.wrappers.evodiff import evodiff, evodiff_published, evodiff_theory
from fokker.toy_models.problems import problem

ALL = [evodiff, evodiff_theory, evodiff_published]
P = problem("product")


def by_hand(model, grid: Grid, x: np.ndarray, *, published: bool) -> np.ndarray:
    """The public code's loop for one sample of one channel, in NumPy, kappa = sigma/alpha."""

    def ask(x: np.ndarray, t: float) -> np.ndarray:
        return model(torch.from_numpy(x[None]), t)[0].numpy()

    def squash(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    def onto(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.clip(a @ b / (b @ b), -2, 2))

    times = [n.t for n in grid.nodes]
    sig = [n.sigma for n in grid.nodes]
    kappa = [n.sigma / n.alpha for n in grid.nodes]
    steps = len(grid)
    d = [ask(x, times[0])]
    x = sig[1] / sig[0] * x + sig[1] * (1 / kappa[1] - 1 / kappa[0]) * d[0]
    d.append(ask(x, times[1]))
    for i in range(2, steps + 1):
        h = 1 / kappa[i] - 1 / kappa[i - 1]
        m1, m0 = d[-2], d[-1]
        rate, earlier = sig[i] / sig[i - 1], sig[i - 1] / sig[i - 2]
        r = math.log(kappa[i - 2] / kappa[i - 1]) / math.log(kappa[i - 1] / kappa[i])
        euler = rate * x + sig[i] * h * m0
        if i == steps:
            if not published:
                return euler + 0.5 * sig[i] * h / r * (m0 - m1)
            keep = 1 - 0.5 * math.sqrt(rate if rate < 0.5 else rate - 0.5)
            final = 1 - math.sqrt(sig[i] * sig[i - 1])
            return final * euler + 0.5 * sig[i] * h * (m0 - keep * m1)
        w = 0.5 * (1 - ((times[i] + times[-1]) / (times[0] + times[-1])) ** 2)
        base = math.sqrt(rate / earlier)
        b1 = (1 - w) * base + w * onto(m0, m1)
        g1 = m0 - b1 * m1
        ri = min(max(squash(0.25 * abs(b1)) * r, 0.25 * r), 1.5 * r)
        probe = euler + 0.5 * sig[i] * h / ri * g1
        mt = ask(probe, times[i])
        g2 = mt - ((1 - w) * base + w * onto(mt, m0)) * m0
        back, forth = g1 / (r * h), r * g2 / h
        eta = 0.5 * squash(abs(0.5 * onto(forth + back, forth - back)))
        b = -eta / r * g1 + r * (1 - eta) * g2
        p = probe - euler - 0.5 * sig[i] * h / ri * b
        zeta = abs(onto(p, g1) / (h * sig[i])) - 0.5
        if steps > 20:
            zeta = -zeta * squash(onto(m0, (m0 - m1) / h) * (2 - rate**2))
        x = euler + 0.5 * sig[i] * h / squash(zeta) * b
        d.append(mt)
    return x


@pytest.mark.parametrize("steps", [2, 3, 7, 24])
@pytest.mark.parametrize("build", [evodiff, evodiff_published])
@pytest.mark.parametrize(
    "process", [VPLinear(), EDM(), RectifiedFlow()], ids=["vp", "edm", "flow"]
)
def test_a_run_is_the_published_loop_written_by_hand(steps, build, process):
    grid = wavy_lam(process, -1.5, 1.5).grid(steps)
    model = FlowProblem("p", P.law, process, -1.5, 1.5).model("data")
    x = P.starts(3) * grid[0].sigma
    found = build(model, process, grid, x)
    assert (found.nfe, found.steps) == (steps, steps)
    for k in range(3):
        want = by_hand(model, grid, x[k].numpy(), published=build is evodiff_published)
        np.testing.assert_allclose(found.x[k].numpy(), want, rtol=1e-11, atol=1e-11)


def test_the_theory_is_a_mixture_of_slopes_with_weights_between_zero_and_one():
    """One step after the start, by hand: the mixed slope is the shortest between the two."""
    grid, x = wavy_lam(P.process, -1.0, 2.0).grid(3), P.starts(32)
    model = P.model("data")
    n = grid.nodes
    d0 = model(x, n[0].t)
    x1 = n[1].sigma * (x / n[0].sigma + (n[1].nu - n[0].nu) * d0)
    d1 = model(x1, n[1].t)
    back, h = (d1 - d0) / (n[1].nu - n[0].nu), n[2].nu - n[1].nu
    d2 = model(n[2].sigma * (x1 / n[1].sigma + h * d1 + h**2 / 2 * back), n[2].t)
    forth = (d2 - d1) / h
    best = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None, None]
    mixed = best * back + (1 - best) * forth
    eta = best[mixed.square().sum(2).argmin(0), :, 0]
    x2 = n[2].sigma * (x1 / n[1].sigma + h * d1 + h**2 / 2 * (eta * back + (1 - eta) * forth))
    h2 = n[3].nu - n[2].nu
    x3 = n[3].sigma * (x2 / n[2].sigma + h2 * d2 + h2**2 / 2 * (d2 - d1) / h)
    torch.testing.assert_close(
        evodiff_theory(model, P.process, grid, x).x, x3, rtol=1e-4, atol=1e-4
    )
    assert ((eta > 0) & (eta < 1)).any()


def test_the_code_is_of_order_one_and_its_last_step_of_none():
    where = FlowProblem("product", P.law, P.process, -1.5, 1.5, batch=8)
    grids = wavy_lam(P.process, -1.5, 1.5)
    seen = observed_order(get("evodiff"), where, grids, warm=False, claim=2.0)
    assert seen.verdict(2.0) == "not met"
    assert seen.verdict(1.0) == "met"
    last = observed_order(get("evodiff_published"), where, grids, warm=False, claim=1.0)
    assert last.verdict(1.0) == "not met"
    assert last.errors[-1] > 0.1
    theory = observed_order(get("evodiff_theory"), where, grids, warm=False, claim=2.0)
    assert theory.verdict(2.0) == "met"


def test_with_few_steps_the_code_beats_2m_on_the_mixture_and_with_many_it_loses():
    p = problem("mixture")
    x = p.starts(64)
    truth, grids = p.endpoint(x), uniform_lam(p.process, p.lam_start, p.lam_end)

    def error(name: str, steps: int) -> float:
        return rms(sample(get(name), p.model(), p.process, grids.grid(steps), x) - truth)

    for steps in (5, 8):
        assert error("evodiff", steps) < error("dpmpp_2m", steps)
    assert error("evodiff", 40) > 5 * error("dpmpp_2m", 40)


@pytest.mark.parametrize("build", ALL)
def test_constant_data_are_sampled_without_a_division_by_zero(build):
    grid = uniform_lam(P.process, -1.5, 3.0).grid(5, to_zero=True)
    c = torch.tensor([[0.5, -0.3, 0.2]], dtype=torch.float64).expand(4, 3)
    found = build(lambda *_: c, P.process, grid, P.starts(4))
    torch.testing.assert_close(found.x, c)
    assert found.nfe == 6
    zero = build(lambda x, _: 0 * x, P.process, grid.part(0, 5), P.starts(4))
    assert torch.isfinite(zero.x).all()


@pytest.mark.parametrize("build", ALL)
def test_products_are_taken_by_sample_and_channel(build):
    """Two channels are sampled as each of them would be alone."""
    grid, x = uniform_lam(P.process, -1.5, 1.5).grid(6), P.starts(4)
    model, scaled = P.model("data"), 1.3 * P.starts(8)[4:]

    def both(x: torch.Tensor, t: float) -> torch.Tensor:
        return torch.stack([model(x[:, 0], t), model(x[:, 1], t)], 1)

    found = build(both, P.process, grid, torch.stack([x, scaled], 1)).x
    for k, start in enumerate((x, scaled)):
        torch.testing.assert_close(found[:, k], build(model, P.process, grid, start).x)


@pytest.mark.parametrize("build", ALL)
def test_what_cannot_be_sampled_is_refused_in_one_sentence(build):
    flow = RectifiedFlow()
    with pytest.raises(InvalidGridError, match=r"finite lam .* \(alpha = 0\)"):
        build(P.model(), flow, grid_from_times(flow, [1.0, 0.5, 0.1]), P.starts(2))
    grid = uniform_lam(P.process, -1.5, 1.5).grid(3)
    with pytest.raises(NonFiniteError, match=r"not finite at t = .* samples \[1\]"):
        build(
            lambda x, _: x * torch.tensor([[1.0], [math.inf]], dtype=x.dtype),
            P.process, grid, P.starts(2),
        )  # fmt: skip
