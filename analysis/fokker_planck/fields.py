r"""Densities that move: drift, diffusion and score as functions of (x, t) that can be derived.

``x`` is (B, d), ``t`` is (B,): one time a row, in the clock of the process (0 is data). The
dynamics ``dx = b dt + G dW`` with ``a = G G^T`` move a density by::

    d_t p = -div(b p) + 1/2 sum_ij d_i d_j (a_ij p)

``backward`` dynamics run from noise to data: their dt is minus that of the process's clock, and
``drift`` and ``diffusion`` are rates in the time that they run in (``diffusion`` is never
negative). The three of every forward process ``dx = f x dt + g dW`` are made here:
:func:`forward_sde`, :func:`flow_ode`, and :func:`reverse_sde` for any eta = tau^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import PredictionError, ShapeError
from ...solvers.process import Process
from ...toy_models.law import Law
from .errors import DiffusionError, TimeRangeError

Field = Callable[[Tensor, Tensor], Tensor]
"""``field(x, t)`` with x (B, d) and t (B,): a vector (B, d), or a scalar (B,) where said so."""


@dataclass(frozen=True)
class Dynamics:
    """``dx = drift dt + G dW``, ``G G^T = diffusion``.

    Attributes
    ----------
    drift : callable
        b, (B, d).
    diffusion : callable or None
        a = G G^T as (B,) (times the identity), (B, d) (diagonal) or (B, d, d); None for an ODE,
        whose Fokker-Planck equation is the continuity equation. It is G G^T, not G, and not the
        D = a/2 of physics.
    backward : bool
        Whether it runs from noise to data.
    state_dependent : bool
        Whether the diffusion depends on x. Its derivatives are taken only then.
    parts : tuple of callables
        Fields whose sum is the drift, if it is a sum that cancels: near the noise the
        probability-flow drift is 1e-3 of its two parts, and rounding is a share of the parts.
    """

    drift: Field
    diffusion: Field | None = None
    backward: bool = False
    state_dependent: bool = True
    parts: tuple[Field, ...] = ()


class Clock(NamedTuple):
    """Coefficients of a process at the times of the rows, (B,): derivable once in t."""

    alpha: Tensor
    sigma: Tensor
    f: Tensor
    g2: Tensor


def clock(process: Process, t: Tensor) -> Clock:
    """``alpha, sigma`` with ``d alpha = f alpha dt``, ``d sigma = (f sigma + g^2/2 sigma) dt``.

    ``f`` and ``g^2`` are values only: the Fokker-Planck equation never differentiates them in
    time.
    """
    times = np.array(t.tolist(), dtype=np.float64)
    alpha, sigma, f, g2 = (
        torch.from_numpy(np.asarray(rate(times), dtype=np.float64)).to(t)
        for rate in (process.alpha, process.sigma, process.f, process.g2)
    )
    dt = t - torch.from_numpy(times).to(t)  # zero, with derivative one
    if not bool((sigma > 0).all()):
        msg = f"time {times.min():g} has sigma = 0: a density and its score need sigma > 0"
        raise TimeRangeError(msg)
    return Clock(alpha + alpha * f * dt, sigma + (f * sigma + 0.5 * g2 / sigma) * dt, f, g2)


def exact_score(law: Law, process: Process) -> Field:
    """``grad log p_t`` of a law seen through a process."""

    def score(x: Tensor, t: Tensor) -> Tensor:
        c = clock(process, t)
        return law.score(x, c.alpha, c.sigma)

    return score


def exact_log_density(law: Law, process: Process) -> Field:
    """``log p_t`` of a law seen through a process, (B,)."""

    def log_density(x: Tensor, t: Tensor) -> Tensor:
        c = clock(process, t)
        return law.log_density(x, c.alpha, c.sigma)

    return log_density


def score_of(model: Callable[[Tensor, Tensor], Tensor], process: Process, source: str) -> Field:
    """The score that a network's prediction stands for, derivable in x and t.

    ``model(x, t)`` takes t of shape (B,); ``source`` is ``"score"``, ``"noise"``, ``"data"``,
    ``"velocity"`` or ``"flow"`` (their meanings are tabled in ``solvers/model.py``). With
    ``P = p_D D + p_eps eps`` the noise is ``eps = (p_D x - alpha P)/(p_D sigma - p_eps alpha)``.
    """
    kinds: dict[str, Callable[[Clock], tuple[Any, Any]]] = {
        "data": lambda _: (1.0, 0.0),
        "noise": lambda _: (0.0, 1.0),
        "velocity": lambda c: (-c.sigma[:, None], c.alpha[:, None]),
        "flow": lambda _: (-1.0, 1.0),
    }
    if source == "score":
        return model
    if source not in kinds:
        msg = f"unknown prediction {source!r}; accepted: score, {', '.join(kinds)}"
        raise PredictionError(msg)

    def score(x: Tensor, t: Tensor) -> Tensor:
        c = clock(process, t)
        alpha, sigma = c.alpha[:, None], c.sigma[:, None]
        of_data, of_noise = kinds[source](c)
        noise = (of_data * x - alpha * model(x, t)) / (of_data * sigma - of_noise * alpha)
        return -noise / sigma

    return score


def within(field: Field, t_min: float, t_max: float) -> Field:
    """The field, refused outside the times for which it was trained.

    Raises
    ------
    TimeRangeError
        When called outside ``[t_min, t_max]``.
    """

    def guarded(x: Tensor, t: Tensor) -> Tensor:
        times = t.tolist()
        low, high = min(times), max(times)
        if low < t_min or high > t_max:
            bad = low if low < t_min else high
            msg = f"time {bad:g} is outside [{t_min:g}, {t_max:g}], where the network was trained"
            raise TimeRangeError(msg)
        return field(x, t)

    return guarded


def forward_sde(process: Process) -> Dynamics:
    """``dx = f x dt + g dW``, from data to noise."""
    return Dynamics(
        _linear(process, 1.0), lambda _, t: clock(process, t).g2, state_dependent=False
    )


def flow_ode(process: Process, score: Field) -> Dynamics:
    """Probability-flow ODE in the time of the process, ``dx/dt = f x - g^2 score/2``."""
    return _sum(_linear(process, 1.0), _pull(process, score, -0.5), None, backward=False)


def reverse_sde(process: Process, score: Field, eta: float = 1.0) -> Dynamics:
    """``dx = [-f x + (1+eta) g^2 score/2] ds + sqrt(eta) g dW``, ``ds = -dt``, from noise to data.

    eta = tau^2: 0 is the probability-flow ODE, 1 the reverse SDE. All share the marginals.

    Raises
    ------
    DiffusionError
        For a negative eta.
    """
    if not eta >= 0:
        msg = f"eta must not be negative, got {eta}: eta g^2 is a variance"
        raise DiffusionError(msg)
    pull = _pull(process, score, 0.5 * (1 + eta))
    noise = (lambda _, t: eta * clock(process, t).g2) if eta > 0 else None
    return _sum(_linear(process, -1.0), pull, noise, backward=True)


def _linear(process: Process, sign: float) -> Field:
    """``sign f x``."""
    return lambda x, t: (sign * clock(process, t).f)[:, None] * x


def _pull(process: Process, score: Field, factor: float) -> Field:
    """``factor g^2 score``."""
    return lambda x, t: (factor * clock(process, t).g2)[:, None] * score(x, t)


def _sum(one: Field, two: Field, noise: Field | None, *, backward: bool) -> Dynamics:
    return Dynamics(
        lambda x, t: one(x, t) + two(x, t), noise, backward, state_dependent=False,
        parts=(one, two),
    )  # fmt: skip


def diffusion_of(dynamics: Dynamics, x: Tensor, t: Tensor) -> Tensor:
    """``a`` at x, (B,), (B, d) or (B, d, d), refused where it is no covariance.

    Raises
    ------
    ShapeError
        For any other shape.
    DiffusionError
        If a rate, or an eigenvalue, is negative.
    """
    if dynamics.diffusion is None:
        return x.new_zeros(len(x))
    a = dynamics.diffusion(x, t)
    rows, dim = x.shape
    if a.shape not in ((rows,), (rows, dim), (rows, dim, dim)):
        msg = f"a diffusion is ({rows},), ({rows}, {dim}) or ({rows}, {dim}, {dim}), got "
        raise ShapeError(msg + f"{tuple(a.shape)}")
    return a


def check_diffusion(dynamics: Dynamics, x: Tensor, t: Tensor) -> None:
    """Refuse a diffusion that is negative somewhere."""
    a = diffusion_of(dynamics, x, t).detach()
    size = float(a.abs().max())
    if a.ndim == 3 and float((a - a.mT).abs().max()) > 1e-12 * size:
        msg = "the diffusion G G^T must be symmetric, and is not"
        raise DiffusionError(msg)
    least = float(torch.linalg.eigvalsh(a).min()) if a.ndim == 3 else float(a.min())
    if not least >= -1e-12 * size:
        msg = f"the diffusion G G^T must not be negative, got {least:g}: no density solves such "
        raise DiffusionError(msg + "an equation; it is a rate in the time that the dynamics run")
