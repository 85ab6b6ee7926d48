r"""Bridge matching: Schrodinger bridges learned from samples of their two ends.

A pair (x_0, x_1) and Brownian motion ``sigma W`` pinned to it give states

    x_u = (1 - u) x_0 + u x_1 + sigma (u (1 - u))^{1/2} z

and the pinned motion has the drift ``(x_1 - x_u)/(1 - u)``. Least squares on that target gives
``(E[x_1 | x_u] - x_u)/(1 - u)``: the drift of the Markov process with the marginals of the mixture
of pinned motions. So all that is learned is the predictor ``E[x_1 | x_u]``, whose target has
bounded variance; sigma = 0 is flow matching.

Run from fresh samples of the first end, that process makes new pairs. Seen backwards, pinned
Brownian motion is pinned Brownian motion: the next half-step is the same with the ends exchanged,
and starts from samples of the second end. Repeated, this is DSBM: from independent pairs it is
iterative Markovian fitting (IMF), from the reference's own pairs ``(x_0, x_0 + sigma z)``
iterative proportional fitting (IPF), the iteration of DSB and of Sinkhorn; the exact iterates
between Gaussians are those of :mod:`.gaussian_iterations`.

Peluchetti 2023, arXiv:2304.00917; Shi, De Bortoli, Campbell & Doucet 2023, arXiv:2303.16852;
De Bortoli et al. 2021, arXiv:2106.01357.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import InvalidLawError, ShapeError

Predictor = Callable[[Tensor, float], Tensor]
"""``(x, u) -> E[x_1 | x_u = x]`` for x of shape (B, d), u in [0, 1)."""
Source = Callable[[int, torch.Generator], Tensor]
"""``(n, generator) -> n`` samples of an end, (n, d) float64."""


class Learner(Protocol):
    """Anything that regresses the end of pairs on their bridges' states."""

    def __call__(
        self, x0: Tensor, x1: Tensor, sigma: float, generator: torch.Generator
    ) -> Predictor:
        """A predictor of x_1, from pairs (n, d) each."""
        ...


class Half(NamedTuple):
    """One half-step of DSBM.

    Attributes
    ----------
    x0, x1 : Tensor
        Pairs of the two ends, (n, d) each, always in this order.
    forward : bool or None
        Whether they were made from the first end (None: the pairs at the very start).
    predictor : callable or None
        What was learned on the pairs before, of the end that the motion runs to, in its own time.
    """

    x0: Tensor
    x1: Tensor
    forward: bool | None
    predictor: Predictor | None

    def cross(self) -> Tensor:
        """``Cov(X_0, X_1)`` of the pairs, (d, d)."""
        a, b = self.x0 - self.x0.mean(0), self.x1 - self.x1.mean(0)
        return a.mT @ b / len(a)


def bridge_state(x0: Tensor, x1: Tensor, u: Tensor | float, sigma: float, z: Tensor) -> Tensor:
    """``(1 - u) x_0 + u x_1 + sigma (u (1 - u))^{1/2} z``; u a number or (B, 1), the rest (B, d).

    Raises
    ------
    ShapeError
        If x0, x1 and z have not one shape (B, d).
    """
    if not x0.shape == x1.shape == z.shape or x0.ndim != 2:
        shapes = ", ".join(str(tuple(v.shape)) for v in (x0, x1, z))
        msg = f"x0, x1 and z must have one shape (B, d), got {shapes}"
        raise ShapeError(msg)
    time = torch.as_tensor(u, dtype=x0.dtype)
    return (1 - time) * x0 + time * x1 + sigma * (time * (1 - time)).sqrt() * z


def matching_loss(predictor: Predictor, x0: Tensor, x1: Tensor, u: float, sigma: float, z: Tensor):
    """Mean of ``|drift - (x_1 - x_u)/(1 - u)|^2 / d`` at one u < 1: the bridge-matching objective.

    At its minimum over all predictors it is not 0 but the mean variance of the target.
    """
    x = bridge_state(x0, x1, u, sigma, z)
    return ((predictor(x, u) - x1) / (1 - u)).square().mean()


@dataclass(frozen=True)
class LinearLearner:
    """Least squares with a predictor that is affine in x, apart at each of ``steps`` times.

    Exact between Gaussians up to sampling: there ``E[x_1 | x_u]`` is affine. Each time k/steps,
    k = 0, ..., steps - 1, draws noise of its own for all pairs.
    """

    steps: int = 50

    def __call__(
        self, x0: Tensor, x1: Tensor, sigma: float, generator: torch.Generator
    ) -> Predictor:
        """The predictor: piecewise constant in u between the times of its fits."""
        fits = []
        for k in range(self.steps):
            z = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
            x = bridge_state(x0, x1, k / self.steps, sigma, z)
            mean, end = x.mean(0), x1.mean(0)
            slope = torch.linalg.lstsq(x - mean, x1 - end, driver="gels").solution
            fits.append((mean, slope, end))

        def predict(x: Tensor, u: float) -> Tensor:
            mean, slope, end = fits[min(int(u * self.steps + 1e-9), self.steps - 1)]
            return end + (x - mean) @ slope

        return predict


def motion(
    predictor: Predictor, x: Tensor, sigma: float, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """The states of the learned motion after 0, 1, ..., ``steps`` steps of Euler and Maruyama.

    The last step goes to the prediction itself, and adds ``sigma steps^{-1/2} z``.
    """
    h = 1.0 / steps
    yield x
    for k in range(steps):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        pull = (predictor(x, k * h) - x) / (1.0 - k * h)
        x = x + h * pull + sigma * math.sqrt(h) * z
        yield x


def transported(
    predictor: Predictor, x: Tensor, sigma: float, steps: int, generator: torch.Generator
) -> Tensor:
    """Where the learned motion takes points (n, d) in unit time: the last of :func:`motion`."""
    *_, end = motion(predictor, x, sigma, steps, generator)
    return end


def dsbm(
    first: Source,
    last: Source,
    sigma: float,
    learner: Learner,
    *,
    samples: int = 10_000,
    steps: int = 50,
    start: str = "independent",
    seed: int = 0,
) -> Iterator[Half]:
    """The pairs of the start, and half-steps of diffusion Schrodinger bridge matching. Endless.

    Independent pairs are followed by a half-step run forward. The reference's own pairs are run
    forward already, so the first learned half-step runs backward: only then is the iteration that
    of IPF from the beginning.

    Parameters
    ----------
    first, last : callable
        Draw samples of the two ends; called anew in every half-step.
    sigma : float
        Strength of the Brownian reference, positive.
    learner : Learner
        For instance :class:`LinearLearner`; a network elsewhere.
    samples, steps : int
        Pairs of a half-step, and steps of Euler and Maruyama, whose bias is of order 1/steps.
    start : {"independent", "reference"}
        IMF or IPF.
    seed : int
        Of everything drawn.

    Raises
    ------
    InvalidLawError
        If sigma is not positive, a count is not, or the start is unknown.
    """
    if not 0.0 < sigma < math.inf or min(samples, steps) < 2:
        msg = f"sigma must be positive, samples and steps at least 2, got {sigma, samples, steps}"
        raise InvalidLawError(msg)
    if start not in ("independent", "reference"):
        msg = f"unknown start {start!r}; accepted: independent, reference"
        raise InvalidLawError(msg)
    return _halves(first, last, sigma, learner, samples, steps, start == "reference", seed)


def _halves(
    first: Source,
    last: Source,
    sigma: float,
    learner: Learner,
    samples: int,
    steps: int,
    reference: bool,
    seed: int,
) -> Iterator[Half]:
    gen = torch.Generator().manual_seed(seed)
    x0 = first(samples, gen)
    if reference:
        x1 = x0 + sigma * torch.randn(x0.shape, generator=gen, dtype=x0.dtype)
    else:
        x1 = last(samples, gen)
    yield Half(x0, x1, None, None)
    forward = not reference
    while True:
        if forward:
            predictor = learner(x0, x1, sigma, gen)
            x0 = first(samples, gen)
            x1 = transported(predictor, x0, sigma, steps, gen)
        else:
            predictor = learner(x1, x0, sigma, gen)
            x1 = last(samples, gen)
            x0 = transported(predictor, x1, sigma, steps, gen)
        yield Half(x0, x1, forward, predictor)
        forward = not forward
