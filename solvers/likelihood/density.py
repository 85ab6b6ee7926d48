"""Log-densities of given points, and of samples while they are made.

:func:`log_density` carries points from the data end of a grid to its noise end by any registered
sampler of the probability-flow ODE on the mirrored process, with the change of the log-density as
one more coordinate (:mod:`.augmented`)::

    log p_end(x) = log p_start(z) + d log(S_start/S_end) + l/S_start,   S^2 = alpha^2 + sigma^2

*Which density.* ``p_end``: that of ``alpha x_0 + sigma eps`` at the level where the grid ends, not
the density of the data. And of the *model*: the one that the ODE makes out of the law at the noise
end. If that is taken to be N(0, prior_std^2 I), as samplers do, the answer differs from the true
``log p_end`` by exactly ``log N(z) - log p_start(z)`` even for a perfect model; ``start_density``
puts another law there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import check_finite, check_state, shown
from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError, ShapeError
from ..grids import Grid
from ..model import Model, as_prediction
from ..process import Node, Process
from ..processes.mirrored import MIRRORED, Mirrored, mirrored_grid, mirrored_model
from ..registry import Sampler, get
from ..run import run
from .augmented import Augmented
from .divergence import Divergence, ExactDivergence, Hutchinson

LogDensity = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Likelihood:
    """Log-densities of a batch, natural logarithms, float64.

    Attributes
    ----------
    log_density : Tensor
        ``log p_end`` at the points x, (B,).
    x, latent : Tensor
        The points at the data end, and where the ODE has them at the noise end, (B, *D).
    log_start : Tensor
        ``log p_start`` of the latents, (B,); the rest of ``log_density`` is the change on the way.
    start, end : Node
        Levels of the two ends of the grid.
    nfe : int
        Evaluations of the model, of the sample that needed most; each has ``products``
        vector-Jacobian products on top (d for an exact divergence; None if unknown).
    """

    log_density: Tensor
    x: Tensor
    latent: Tensor
    log_start: Tensor
    start: Node
    end: Node
    nfe: int
    products: int | None


def log_density(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    prediction: str = "data",
    start_density: LogDensity | None = None,
    divergence: Divergence | None = None,
    sampler: str | Sampler = "exp_rk4_data",
    **options: Any,
) -> Likelihood:
    """Log-density at points x of the law that the probability-flow ODE makes.

    Parameters
    ----------
    model : callable
        ``model(x, t)``, differentiable in x by autograd, unless ``divergence`` knows better.
    grid : Grid
        In sampling order, from the noise to the level of x; both ends finite in lam.
    x : Tensor
        Points at the level of ``grid[-1]``, (B, *D), float32 or float64; the model is asked in
        this dtype, all else is float64.
    prediction : str
        What the model predicts.
    start_density : callable, optional
        Log-density at ``grid[0]``, (B, *D) to (B,); by default that of N(0, prior_std^2 I).
    divergence : Divergence, optional
        :class:`~.divergence.ExactDivergence` by default, or :class:`~.divergence.Hutchinson`.
    sampler : str or Sampler
        A registered deterministic sampler; its options follow, ``tol`` for an adaptive one.

    Raises
    ------
    InvalidGridError
        For a grid that ends at ``sigma = 0`` or begins at ``alpha = 0``.
    InvalidPlanError
        For a sampler that draws noise.
    ShapeError, NonFiniteError, PredictionError
        For points that are no batch of finite states, a start density of the wrong shape, outputs
        that are not finite, and a model without a Jacobian.

    Notes
    -----
    Song et al. 2021, arXiv:2011.13456, eq. 39. The published recipe integrates in time with RK45
    and one probe; here the integrator is a parameter, its order is that of the sampler, and the
    trivial part of the integral is exact. Samplers that change the model's output by its values
    (thresholding, shifted times) change the last coordinate too: theirs is no density.

    Examples
    --------
    >>> from fokker.solvers.grids import uniform_lam
    >>> from fokker.toy_models.problems import problem
    >>> p = problem("gaussian")
    >>> grid = uniform_lam(p.process, -5.0, 3.0).grid(40)
    >>> x = p.law.sample(2, seed=0)
    >>> found = log_density(p.model(), p.process, grid, x)
    >>> truth = p.law.log_density(x, p.end.alpha, p.end.sigma)
    >>> bool((found.log_density - truth).abs().max() < 0.1)
    True
    """
    job = _Job(model, process, grid, x, prediction, divergence, sampler, options)
    z, nfe = job.carried(up=False)
    latent, gained = z[:, :-1].reshape(x.shape), z[:, -1]
    start = _started(start_density, process, latent)
    low, high = (math.hypot(n.alpha, n.sigma) for n in (grid[0], grid[-1]))
    total = start + x[0].numel() * math.log(low / high) + gained / low
    return Likelihood(
        total, x.to(torch.float64), latent, start, grid[0], grid[-1], nfe, job.products
    )


def sample_with_density(
    model: Model,
    process: Process,
    grid: Grid,
    latent: Tensor,
    *,
    prediction: str = "data",
    start_density: LogDensity | None = None,
    divergence: Divergence | None = None,
    sampler: str | Sampler = "exp_rk4_data",
    **options: Any,
) -> Likelihood:
    """Samples from given latents, with their log-densities, in one run of the sampler.

    Arguments and errors are those of :func:`log_density`, but for ``latent``, states at
    ``grid[0]``. ``log p_end(x) = log p_start(latent) - d log(S_end/S_start) - l/S_end``.
    """
    job = _Job(model, process, grid, latent, prediction, divergence, sampler, options)
    z, nfe = job.carried(up=True)
    start = _started(start_density, process, latent.to(torch.float64))
    low, high = (math.hypot(n.alpha, n.sigma) for n in (grid[0], grid[-1]))
    total = start + latent[0].numel() * math.log(low / high) - z[:, -1] / high
    x = z[:, :-1].reshape(latent.shape)
    return Likelihood(
        total, x, latent.to(torch.float64), start, grid[0], grid[-1], nfe, job.products
    )


@dataclass
class _Job:
    """The parts of a solve, checked."""

    model: Model
    process: Process
    grid: Grid
    x: Tensor
    prediction: str
    divergence: Divergence | None
    sampler: str | Sampler
    options: dict[str, Any]

    def __post_init__(self) -> None:
        check_state(self.x, "x")
        self.entry = get(self.sampler) if isinstance(self.sampler, str) else self.sampler
        if self.entry.stochastic:
            msg = f"{self.entry.name} draws noise; a log-density needs a sampler of the ODE"
            raise InvalidPlanError(msg)
        if self.grid.to_zero or not math.isfinite(self.grid[0].lam):
            end = "ends at sigma = 0" if self.grid.to_zero else "begins at alpha = 0"
            msg = f"a grid of a log-density has finite lam at both ends, but this one {end}"
            raise InvalidGridError(msg)
        self.divergence = ExactDivergence() if self.divergence is None else self.divergence
        count = getattr(self.divergence, "products", None)
        self.products = count(self.x[0].numel()) if count else None

    def carried(self, *, up: bool) -> tuple[Tensor, int]:
        """The state (x, l), flat, at the other end; and the evaluations of the model."""
        start = self.x.flatten(1).to(torch.float64)
        z = torch.cat([start, start.new_zeros(len(start), 1)], 1)
        if self.entry.kind == "plan" or not isinstance(self.divergence, Hutchinson):
            return self._solved(z, self.divergence, up)
        # such samplers may ask for parts of the batch, but a probe belongs to its sample
        ids = self.divergence.sample_ids
        rows = [
            self._solved(row, replace(self.divergence, sample_ids=[i], _drawn={}), up)
            for row, i in zip(z.split(1), range(len(z)) if ids is None else ids, strict=True)
        ]
        return torch.cat([row for row, _ in rows]), max(n for _, n in rows)

    def _solved(self, z: Tensor, divergence: Any, up: bool) -> tuple[Tensor, int]:
        wanted = self.entry.prediction
        near = wanted if wanted in MIRRORED else "data"
        shape, dtype = tuple(self.x.shape[1:]), self.x.dtype
        target = near if up else MIRRORED[near]
        state = Augmented(
            self.model, self.process, self.prediction, target, divergence, shape, dtype
        )
        process, grid, model = self.process, self.grid, state
        if not up:
            grid, model = mirrored_grid(process, grid), mirrored_model(state, process)
            process = Mirrored(process)
        asked = as_prediction(model, process, source=near, target=wanted)
        if self.entry.kind == "plan":
            out = run(self.entry(process, grid, **self.options), asked, z).x
            nfe = state.count
        else:
            done = self.entry.build(asked, process, grid, z, **self.options)
            out, nfe = done.x, done.nfe
        check_finite(out, "the state at the end", range(len(out)))
        return out, nfe


def _started(start_density: LogDensity | None, process: Process, latent: Tensor) -> Tensor:
    """Log-density of the latents at the noise end, (B,)."""
    if start_density is None:
        std, flat = process.prior_std, latent.flatten(1)
        scale = math.log(2.0 * math.pi * std * std)
        return -0.5 * ((flat / std).square().sum(1) + flat.shape[1] * scale)
    found = start_density(latent)
    if not isinstance(found, Tensor) or found.shape != latent.shape[:1]:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        msg = f"start_density must give one number a sample, shape ({len(latent)},), got {got}"
        raise ShapeError(msg)
    if bool(found.isnan().any()):
        ids = found.isnan().nonzero().flatten().tolist()
        msg = f"start_density is NaN at the latents of samples {shown(ids)}"
        raise NonFiniteError(msg, sample_ids=ids)
    return found.to(torch.float64)
