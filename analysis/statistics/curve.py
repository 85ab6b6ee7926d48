r"""A small network that learns a curve by likelihood: too little noise, too much, and between.

Data ``(z, sin(omega z))``, z ~ N(0, 1), lie on a curve. Noise of size s is put into both
coordinates, and ``N(y; f(z), w^2)`` is fitted by gradient descent, w always at its best value
(the mean square of what is left), so that the loss is ``1/2 log mean (y - f(z))^2``: unbounded
below where f can meet the points. The report is the curve ``(z, f(z))``, without noise.

*Too much noise* blurs z: the best f is ``E[sin(omega z) | z + s e]``, closed (:func:`curve_bias`).
*Too little* and the gradient, divided by the mean square, outgrows the step: with curvature L of
half the mean square, descent by h is stable only down to ``w^2 = h L/2`` (see ``singular``), and
what is left of w by then is an error of the curve. Errors are root mean squares over z, an upper
bound of W2 of the two laws.

Source: the trade-off of Chae, Kim, Kim & Lin 2021, arXiv:2105.04046, at the size of a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ...toy_models.draws import normals


def curve_bias(s: float, omega: float) -> float:
    """Error of the best f at noise s: ``E[sin(omega z)|z + s e] = c sin(omega z/(1 + s^2))``.

    ``c = exp(-omega^2 s^2/(2 (1 + s^2)))``; the mean over z is closed, by cosines of sums and
    differences.
    """
    keep, shrink = math.exp(-0.5 * omega**2 * s**2 / (1 + s**2)), 1 / (1 + s**2)
    a, b = omega * shrink, omega

    def product(p: float, q: float) -> float:  # E sin(p z) sin(q z)
        return 0.5 * (math.exp(-0.5 * (p - q) ** 2) - math.exp(-0.5 * (p + q) ** 2))

    return math.sqrt(max(keep**2 * product(a, a) - 2 * keep * product(a, b) + product(b, b), 0.0))


def curve_errors(
    sizes: Sequence[float],
    *,
    step: float = 0.01,
    count: int = 3000,
    samples: int = 256,
    omega: float = 2.0,
    width: int = 16,
    seed: int = 0,
) -> Array:
    """Root mean square error of the learned curve for each size of the noise.

    One hidden layer of tanh, full gradients, one start and one set of draws for all sizes; the
    mean of the last 200 steps, for too little noise never settles.

    Parameters
    ----------
    sizes : sequence of float
        Sizes s of the noise, positive.
    step, count : float, int
        Steps of descent.
    samples, omega, width, seed : int, float, int, int
        Points, the curve, hidden units, and the draws.

    Raises
    ------
    AnalysisError
        For noise that is not positive, or fewer than 200 steps.
    """
    s = torch.tensor(list(sizes), dtype=torch.float64)[:, None]
    if not len(s) or not bool((s > 0).all()) or not step > 0 or count < 200:
        msg = f"need positive sizes and step, and at least 200 steps, got {sizes}, {step}, {count}"
        raise AnalysisError(msg)
    z, *noise = torch.from_numpy(normals(samples, 3, seed=seed, label="data")).T
    seen, told = z + s * noise[0], torch.sin(omega * z) + s * noise[1]
    begin = torch.from_numpy(normals(width, 2, seed=seed, label="start")).T
    start = (1.5 * begin[0], begin[1], torch.zeros(width, dtype=torch.float64))
    net = [p.expand(len(s), width).clone().requires_grad_() for p in start]
    at = torch.linspace(-4.0, 4.0, 161, dtype=torch.float64)
    mass = torch.softmax(-0.5 * at.square(), 0)
    total = torch.zeros(len(s), dtype=torch.float64)
    kept = range(count - 200, count, 10)
    for k in range(count):
        left = (_curve(net, seen) - told).square().mean(1)
        slopes = torch.autograd.grad(0.5 * left.log().sum(), net)
        with torch.no_grad():
            for parameter, slope in zip(net, slopes, strict=True):
                parameter -= step * slope
            if k in kept:
                off = _curve(net, at.expand(len(s), -1)) - torch.sin(omega * at)
                total += off.square() @ mass / len(kept)
    return np.asarray(total.sqrt().numpy(), dtype=np.float64)


def _curve(net: list[Tensor], z: Tensor) -> Tensor:
    """Values of each network, (S, n)."""
    slope, shift, out = net
    hidden = torch.tanh(z[..., None] * slope[:, None] + shift[:, None])
    return (hidden @ out[..., None])[..., 0]
