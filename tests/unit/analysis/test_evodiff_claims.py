"""What EVODiff's theory says of entropy, predictions and variance, on laws where all is exact.

Li, Chen & Zeng 2025, arXiv:2509.26096: (1) denoising reduces the conditional entropy of reverse
transitions; (2) the data prediction outperforms the noise prediction; (3) the choice that makes
the conditional variance least makes the errors of a step least, too, and needs no reference.
On a Gaussian each direction of standard deviation c has one number, ``z = alpha c/sigma``.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import Normal, marginal, normal, transition
from fokker.solvers.grids import grid_from_lams, grid_from_sigmas, uniform_lam
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import Law, exact_model
from fokker.toy_models.product import ProductMixture

F64 = torch.float64
VP = VPLinear()
WIDTHS = (0.1, 1.0, 3.0)


# -- (1) entropies, exact transitions of the reverse SDE ------------------------------------------


def step_entropies(process, c: float) -> list[float]:
    """``H(x_t | x_s)`` less its constant, on equal steps in lam from noise to data."""
    grid, data = uniform_lam(process, -4.0, 4.0).grid(16), normal([0.2], c * c)
    return [0.5 * math.log(float(transition(data, s, t, 1.0).var[0])) for s, t in grid.steps()]


@pytest.mark.parametrize("c", WIDTHS)
@pytest.mark.parametrize("process", [VP, EDM()], ids=["vp", "edm"])
def test_what_a_state_leaves_open_of_the_data_falls_on_the_way(process, c):
    """``H(x_0 | x_t) = log(c^2/(1 + z^2))/2``: this part holds for every law and process."""
    left = []
    for node in uniform_lam(process, -4.0, 4.0).grid(16).nodes:
        data = Normal(np.zeros(1), np.array([c * c]))
        spread = marginal(data, node).var[0]
        left.append(0.5 * math.log(c * c * node.sigma**2 / spread))
        z = node.alpha * c / node.sigma
        assert left[-1] == pytest.approx(0.5 * math.log(c * c / (1 + z * z)), abs=1e-9)
    assert all(b < a for a, b in pairwise(left))


@pytest.mark.parametrize("c", WIDTHS)
def test_the_entropy_of_a_transition_falls_where_alpha_is_constant(c):
    assert all(b < a for a, b in pairwise(step_entropies(EDM(), c)))


def test_on_a_variance_preserving_process_the_entropy_of_a_transition_of_wide_data_grows_first():
    """At high noise ``d Var/d alpha^2 ~ c^2 (1 - e^{-2h}) - 1``: the claim needs narrow data."""
    for c in (0.1, 1.0):
        assert all(b < a for a, b in pairwise(step_entropies(VP, c)))
    wide = step_entropies(VP, 3.0)
    assert max(wide) > wide[0] + 0.15


# -- (2) data against noise prediction ------------------------------------------------------------


def local_error(name: str, z: float, h: float) -> float:
    """Of one step of two-node exponential Adams with exact history, c = 1, alpha = 1."""
    process, lam = EDM(), math.log(z)
    history = process.node_at_lam(lam - h)
    grid = grid_from_lams(process, [lam, lam + h])
    law = Gaussian(torch.zeros(1, dtype=F64), torch.ones(1, 1, dtype=F64))
    entry = get(name)
    model = exact_model(law, process, entry.prediction)
    start = torch.ones(1, 1, dtype=F64)

    def at(node: Node) -> torch.Tensor:
        return law.flow(start, (1.0, grid[0].sigma), (1.0, node.sigma))

    plan = entry(process, grid, history=[history])
    found = run(plan, model, start, history={"m-1": model(at(history), history.t)}).x
    return abs(float(found - at(grid[1])))


def ratio(z: float, h: float = 1e-3) -> float:
    return local_error("exp_ab2_data", z, h) / local_error("exp_ab2_noise", z, h)


@pytest.mark.parametrize("z", [0.05, 0.3, 0.9, 1.1, 3.0, 20.0])
def test_the_data_prediction_is_the_better_one_below_a_signal_to_noise_of_one_and_only_there(z):
    """Ratio of local errors of second order: ``|1 - 2 z^2|/|2 - z^2|``.

    ``D ~ z/(1+z^2)^{1/2}`` and ``eps ~ 1/(1+z^2)^{1/2}`` on the flow; second derivatives in lam.
    What is won below z = 1 is lost above it: z to 1/z turns the ratio upside down.
    """
    assert ratio(z) == pytest.approx(abs(1 - 2 * z * z) / abs(2 - z * z), rel=0.03)
    assert ratio(z) * ratio(1 / z) == pytest.approx(1.0, rel=0.03)
    assert (ratio(z) < 1) == (z < 1)


def test_of_an_error_of_the_network_the_same_holds():
    """An output wrong by delta, as data or as noise: x_0 is wrong by delta, or sigma/alpha delta.

    So at first order, where the two predictions give one step, only their errors tell them apart.
    """
    delta, x = 0.1, torch.tensor([[0.7]], dtype=F64)
    for lam in (-2.0, 0.5, 2.0):
        node = VP.node_at_lam(lam)
        data = 0.3
        eps = (x - node.alpha * data) / node.sigma
        from_noise = (x - node.sigma * (eps + delta)) / node.alpha
        assert float((from_noise - data).abs()) == pytest.approx(math.exp(-lam) * delta)
        assert (float((from_noise - data).abs()) > delta) == (lam < 0)


# -- (3) the least variance and the least error ---------------------------------------------------


def mixed_errors(law: Law, nu: float, h: float, etas: np.ndarray) -> tuple[np.ndarray, float]:
    """Errors in x/sigma of a step in nu by the mix of slopes for each eta, and of the theory's."""
    process = EDM()
    nus = [nu - h, nu, nu + h]
    grid = grid_from_sigmas(process, [1.0 / v for v in nus])
    model = exact_model(law, process)
    first = torch.full((1, 1), 0.4 * grid[0].sigma, dtype=F64)
    n = grid.nodes

    def ask(y: float, node: Node) -> float:
        return float(model(torch.full((1, 1), y * node.sigma, dtype=F64), node.t))

    def exact(node: Node) -> float:
        return float(law.flow(first, (1.0, n[0].sigma), (1.0, node.sigma))) / node.sigma

    y, older, newest = exact(n[1]), ask(exact(n[0]), n[0]), ask(exact(n[1]), n[1])
    back = (newest - older) / h
    new = ask(y + h * newest + h * h / 2 * back, n[2])
    forth = (new - newest) / h
    slopes = etas * back + (1 - etas) * forth
    errors = np.abs(y + h * newest + h * h / 2 * slopes - exact(n[2]))
    eta = float(np.clip(0.5 + 0.5 * (forth + back) / (forth - back), 0, 1))  # least |slope|
    assert abs(eta * back + (1 - eta) * forth) <= np.abs(slopes).min() + 1e-15
    theory = abs(y + h * newest + h * h / 2 * (eta * back + (1 - eta) * forth) - exact(n[2]))
    return errors, theory


ETAS = np.array([0.0, 1 / 6, 1.0])


@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
def test_on_a_gaussian_the_mixture_of_least_variance_is_good_and_not_that_of_least_error(c):
    """On equal steps in nu the error is ``(eta/2 - 1/12) h^3 D''``: least at eta = 1/6.

    The shortest slope is an end, the forward one where D flattens, as it does on Gaussians: the
    trapezoid, with a fifth of the error of the backward difference.
    """
    law = Gaussian(torch.zeros(1, dtype=F64), torch.full((1, 1), c * c, dtype=F64))
    errors, theory = mixed_errors(law, 1.0, 1e-2, ETAS)
    assert theory == errors[0]
    assert errors[2] / errors[0] == pytest.approx(5.0, rel=0.1)
    assert errors[1] < 0.1 * theory
    finer, _ = mixed_errors(law, 1.0, 5e-3, ETAS)
    assert math.log2(errors[0] / finer[0]) == pytest.approx(3.0, abs=0.1)
    assert math.log2(errors[1] / finer[1]) > 3.7  # an order more


def test_where_a_mode_is_being_chosen_the_mixture_of_least_variance_is_the_worst():
    """Between two modes D steepens: the shortest slope is the old one, five times as wrong."""
    rows = ([0.5, 0.5], [-1.0, 1.0], [0.2, 0.2])
    law = ProductMixture(*(torch.tensor([row], dtype=F64) for row in rows))
    errors, theory = mixed_errors(law, 1.0, 1e-2, ETAS)
    assert theory == errors.max() == errors[2]
    assert errors[2] / errors[0] == pytest.approx(5.0, rel=0.2)
