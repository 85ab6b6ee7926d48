"""The variational lower bound of the reverse SDE: a statement about data without noise.

The reverse SDE (eta = 1) of a model makes another law than its probability-flow ODE, unless the
model is exact, and has no density in closed form. Kingma, Salimans, Poole & Ho 2021
(arXiv:2107.00630, eq. 11-18; also Song, Durkan, Murray & Ermon 2021, arXiv:2101.09258) bound it:

    log p(x_0) >= - KL(q(x_s | x_0) | N(0, prior_std^2 I))                              prior
                  - int e^{2 lam} E|x_0 - D(x_lam)|^2 dlam     from lam_s to lam_e      diffusion
                  - d/2 log(2 pi e rho_e^2)                                             rebuilt

The last term is the logarithm of ``N(x_0; x_e/alpha_e, rho_e^2 I)``, which replaces the step from
the last level to data. For Gaussian data, an exact model and on average the bound is lower than
``log p`` by ``sum_k log(1 + rho_e^2/c_k^2)/2 + KL(p_s | prior)``, and by no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import check_finite, check_like, check_state
from ..errors import InvalidGridError, InvalidPlanError
from ..model import Model, convert
from ..noise import CellNoise
from ..plan import Noise
from ..process import Process
from ..quadrature import panel_rule

_PANELS = 6.0  # panel_rule has one 20-point panel per 6 units of length: here one per unit of lam
_LARGEST = 300.0  # e^{2 lam} is a number of float64


@dataclass(frozen=True)
class LowerBound:
    """The bound and its three terms, natural logarithms, (B,); ``bound`` is their sum."""

    bound: Tensor
    prior: Tensor
    diffusion: Tensor
    rebuilt: float
    nfe: int


def lower_bound(
    model: Model,
    process: Process,
    x: Tensor,
    lam_start: float,
    lam_end: float,
    *,
    seed: int,
    sample_ids: Sequence[int] | None = None,
    draws: int = 1,
    prediction: str = "data",
) -> LowerBound:
    """An unbiased estimate of the bound at data ``x``, up to the error of a Gauss rule in lam.

    Parameters
    ----------
    model : callable
        ``model(x, t)``; no gradient is taken.
    x : Tensor
        Data, at no noise, (B, *D), float32 or float64.
    lam_start, lam_end : float
        The two ends, both finite: of size below 300.
    seed, sample_ids
        The noise of a sample is a function of (seed, sample id).
    draws : int
        Noises that are averaged at each level.
    prediction : str
        What the model predicts.

    Raises
    ------
    InvalidGridError
        For ends that are too far out or do not increase.
    InvalidPlanError
        For fewer draws than one.
    ShapeError, NonFiniteError
        For data that are no batch of finite states, and outputs that are not finite.
    """
    check_state(x, "x")
    if not -_LARGEST < lam_start < lam_end < _LARGEST:
        msg = f"need lam_start < lam_end, got {lam_start} and {lam_end}, within +-{_LARGEST}"
        raise InvalidGridError(msg)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        msg = f"draws must be a whole number >= 1, got {draws!r}"
        raise InvalidPlanError(msg)
    first, size = process.node_at_lam(lam_start), x[0].numel()
    prior2 = process.prior_std**2
    ratio = first.sigma**2 / prior2
    square = x.to(torch.float64).square().flatten(1).sum(1)
    prior = -0.5 * (first.alpha**2 * square / prior2 + size * (ratio - 1.0 - math.log(ratio)))
    rebuilt = -0.5 * size * (math.log(2.0 * math.pi * math.e) - 2.0 * lam_end)
    u, w = panel_rule(_PANELS * (lam_end - lam_start))
    source, total = CellNoise(seed, sample_ids), torch.zeros_like(square)
    lams = lam_start + (lam_end - lam_start) * u
    for lam, weight in zip(lams.tolist(), ((lam_end - lam_start) * w).tolist(), strict=True):
        for k in range(draws):
            noise = source.draw(Noise(f"elbo {k}", lam, lam_end, "W"), x)
            miss = _missed(model, process, x, noise, lam, prediction)
            total += weight * math.exp(2.0 * lam) * miss / draws
    return LowerBound(prior - total + rebuilt, prior, -total, rebuilt, len(u) * draws)


def _missed(
    model: Model, process: Process, x: Tensor, noise: Tensor, lam: float, prediction: str
) -> Any:
    """``|x_0 - D|^2``, (B,), float64."""
    node = process.node_at_lam(lam)
    state = node.alpha * x + node.sigma * noise
    with torch.no_grad():
        out = model(state, node.t)
    check_like(out, state, "the model's output", same_dtype=False)
    check_finite(out, f"the model's output at t = {node.t}", range(len(x)))
    guess = convert(out, state, node, source=prediction, target="data")
    return (x.to(torch.float64) - guess).square().flatten(1).sum(1)
