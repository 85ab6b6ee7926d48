r"""The score Fokker-Planck equation and the curl of a network, which has no density.

In the clock ``lam = log(alpha/sigma)`` and the variable ``u = x/alpha`` all forward processes
are one, ``u = x_0 + rho eps`` with ``rho = e^-lam``, and the noise ``e = -rho grad log p`` that a
network predicts obeys, if it is the score of any density that this process moves::

    r = e + d_lam e + rho^2 grad(div e) - rho grad|e|^2 = 0

r is a vector in units of the noise a unit of lam: rho times the score-level residual that
``residual.py`` has for the dynamics in this clock, up to its sign. Zero says that ODE and SDE of
the network make one law, not that it is the law of the data (Lai et al. 2022, arXiv:2210.04296;
Deveney et al. 2023, arXiv:2311.15996). It is asked together with the curl, ``J - J^T`` of e: a
field that is no gradient is no score, though it may sample exactly (Horvat & Pfister 2024,
arXiv:2402.03845).

The divergence is a sum over all coordinates, or Hutchinson's, over random signs. Signs make an
error in r, and its square would be added to ``|r|^2``; so two independent sets of them give r
twice, and ``|r|^2`` is their product: unbiased, and covered by the bar over the samples. The
derivative in lam is a difference of order four of five levels inside the network's range, taken
twice, with half the step the second time: what that changes is ``rounding``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...solvers.likelihood.divergence import Hutchinson
from ...solvers.networks.asking import ModuleCall
from ...solvers.networks.network import Network
from .errors import NotDifferentiableError, TimeRangeError, TooFewSamplesError

EXACT = 16
"""Up to this dimension the divergence is summed over the coordinates, unless asked otherwise."""
PROBES = 4
"""Signs of each of the two estimates beyond that dimension."""
STEP = 0.04
"""Step of the differences in lam."""
CHUNK = 64
AGREE = 0.05

Noise = Callable[[Tensor, float], Tensor]
"""``e(u, lam)``, (B, *shape) in both."""


@dataclass(frozen=True)
class NetworkResidual:
    """Residuals at points, a row each.

    Attributes
    ----------
    square : Tensor
        ``|r|^2/d``, (B,); unbiased, so that single rows may be negative where signs are drawn.
    terms : Tensor
        ``(|e + d_lam e|^2 + |the rest|^2)/d``, (B,): what r is the small sum of.
    curl, size : Tensor
        ``|J - J^T|^2`` and ``|J|^2`` in Frobenius norms, (B,), of the Jacobian of e in ``u/rho``.
    rounding : Tensor
        What half the step in lam changes in ``square``, (B,), not negative.
    """

    square: Tensor
    terms: Tensor
    curl: Tensor
    size: Tensor
    rounding: Tensor


def in_double(network: Network) -> Network:
    """The same network with a copy of its module in float64, where it is one of ours."""
    if not isinstance(network.call, ModuleCall) or network.module is None:
        return network
    module = copy.deepcopy(network.module).to(torch.float64).requires_grad_(False)
    return replace(network, call=replace(network.call, module=module), module=module)


def network_residual(
    network: Network,
    u: Tensor,
    lam: float,
    *,
    label: int | None = None,
    probes: int | None = None,
    seed: int = 0,
) -> NetworkResidual:
    """Residuals of a network at points ``u = x/alpha`` of one level.

    Parameters
    ----------
    network : Network
        Any; it is asked for its noise, in the dtype of u.
    u : Tensor
        Points (B, *shape).
    lam : float
        Half log signal-to-noise ratio, inside ``network.lam_range``.
    label : int, optional
        The class; the network without a class by default.
    probes : int, optional
        Signs of each of the two estimates of the divergence; 0 sums over all coordinates. By
        default 0 to dimension 16, and 4 beyond.
    seed : int
        Of the signs.

    Raises
    ------
    TimeRangeError
        For a level that the network does not know.
    NotDifferentiableError
        If its output has no derivative in x, or one that its own differences contradict.
    NetworkError
        As :meth:`Network.model`.
    """
    check_level(network, lam)
    count = divergence_probes(network, probes)
    parts = []
    for k, piece in enumerate(u.split(CHUNK)):
        labels = None if label is None else [label] * len(piece)
        model = network.model(labels, prediction="noise")
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            parts.append(_piece(network, model, piece, lam, count, seed + 7919 * k))
    return NetworkResidual(*(torch.cat(one) for one in zip(*parts, strict=True)))


def check_level(network: Network, lam: float) -> None:
    """Refuse a level outside the range of the network, and name the nearest that it knows."""
    low, high = network.lam_range
    if not low <= lam <= high:
        near = min(max(lam, low), high) if lam == lam else 0.5 * (low + high)
        t = network.process.node_at_lam(near).t
        msg = f"lam = {lam:g} is outside [{low:g}, {high:g}], the levels that {network.name!r} "
        raise TimeRangeError(msg + f"was trained on; lam = {near:g} (t = {t:.4g}) would be in it")


def divergence_probes(network: Network, probes: int | None) -> int:
    """Signs of each estimate, 0 for the sum over all coordinates."""
    if probes is None:
        return 0 if torch.Size(network.shape).numel() <= EXACT else PROBES
    if probes < 0:
        msg = f"probes must not be negative, got {probes}; 0 sums over all coordinates"
        raise TooFewSamplesError(msg)
    return probes


def _piece(
    network: Network, model: Any, u: Tensor, lam: float, count: int, seed: int
) -> tuple[Tensor, ...]:
    """All columns of :class:`NetworkResidual` for a few rows."""
    process, rho = network.process, float(np.exp(-lam))

    def e(points: Tensor, level: float) -> Tensor:
        node = process.node_at_lam(level)
        return model(node.alpha * points, node.t)

    rest, jacobians = _in_space(e, u.detach(), lam, rho, count, seed, network.name)
    with torch.no_grad():
        value = e(u, lam)
        change, finer = (value + _in_level(e, u, lam, h, network) for h in (STEP, 0.5 * STEP))
    dim = value[0].numel()
    one, two = ((finer + part).flatten(1) for part in rest)
    terms = finer.flatten(1).square().sum(1)
    terms = terms + (rest[0].flatten(1) * rest[1].flatten(1)).sum(1)
    moved = (change - finer).flatten(1)
    rounding = 2 * (one.square().sum(1) * moved.square().sum(1)).sqrt() + moved.square().sum(1)
    bent, size = jacobians
    return (one * two).sum(1) / dim, terms / dim, rho**2 * bent, rho**2 * size, rounding / dim


def _in_level(e: Noise, u: Tensor, lam: float, step: float, network: Network) -> Tensor:
    """``d_lam e`` at fixed u: the parabola's better, through five levels inside the range."""
    low, high = network.lam_range
    step = min(step, (high - low) / 4)
    centre = min(max(lam, low + 2 * step), high - 2 * step)
    levels = centre + step * np.arange(-2, 3)
    levels[0], levels[-1] = max(levels[0], low), min(levels[-1], high)
    powers = np.vander((levels - lam) / step, increasing=True).T
    weights = np.linalg.solve(powers, np.eye(5)[1]) / step
    parts = [w * e(u, float(level)) for w, level in zip(weights, levels, strict=True)]
    return torch.stack(parts).sum(0)


def _in_space(
    e: Noise, u: Tensor, lam: float, rho: float, count: int, seed: int, name: str
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """``rho^2 grad div e - rho grad|e|^2`` twice, and ``|J - J^T|^2``, ``|J|^2`` of e in u."""
    u = u.clone().requires_grad_()
    with torch.enable_grad():
        out = e(u, lam)
        if not out.requires_grad:
            msg = f"the network {name!r} has no derivative in x; write it in torch operations "
            raise NotDifferentiableError(msg + "without detach, no_grad or NumPy")
        (pull,) = torch.autograd.grad(out, u, out.detach(), retain_graph=True)
        ways = _ways(u, count, seed)
        share = 1.0 if not count else 1.0 / count
        grads = [torch.zeros_like(u), torch.zeros_like(u)]
        bent, size = u.new_zeros(len(u)), u.new_zeros(len(u))
        for k, way in enumerate(ways):
            slope, forth, back = _along(out, u, way)
            if k == 0:
                _check(e, u.detach(), lam, way, forth, name)
            grads[0 if not count else k // count] += share * slope
            part = 0.5 * share if count else 1.0
            bent += part * (forth - back).flatten(1).square().sum(1)
            size += part * back.flatten(1).square().sum(1)
    grads[1] = grads[1] if count else grads[0]
    both = [(rho**2 * g - 2 * rho * pull).detach() for g in grads]
    return (both[0], both[1]), (bent.detach(), size.detach())


def _ways(u: Tensor, count: int, seed: int) -> Tensor:
    """Unit vectors of all coordinates, or signs, (K, B, *shape)."""
    dim = u[0].numel()
    if count:
        signs = Hutchinson(seed, 2 * count).vectors(len(u), dim)
        return signs.to(u).reshape(-1, *u.shape)
    return (
        torch.eye(dim, dtype=u.dtype, device=u.device)[:, None]
        .expand(dim, len(u), dim)
        .reshape(-1, *u.shape)
    )


def _along(out: Tensor, u: Tensor, way: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``grad(v.J v)``, ``J v`` and ``J^T v`` by the derivative of a derivative."""
    v = way.clone().requires_grad_()
    (back,) = torch.autograd.grad(out, u, v, create_graph=True)
    found = torch.autograd.grad((back * way).sum(), (u, v), retain_graph=True, allow_unused=True)
    slope, forth = (torch.zeros_like(u) if g is None else g for g in found)
    return slope, forth, back.detach()


def _check(e: Noise, u: Tensor, lam: float, way: Tensor, forth: Tensor, name: str) -> None:
    """Refuse a derivative that differences contradict: something inside is cut off or rounded."""
    step = 1e-3 * float(u.square().mean().sqrt() or 1.0)
    with torch.no_grad():
        ahead, behind = e(u + step * way, lam), e(u - step * way, lam)
    seen = (ahead - behind) / (2 * step)
    gap, most = float((seen - forth).abs().max()), float(seen.abs().max())
    floor = 1e3 * torch.finfo(torch.float32).eps * float(ahead.abs().max()) / step
    if gap > AGREE * most + floor:
        msg = f"the network {name!r} has the automatic derivative {float(forth.abs().max()):.3g} "
        msg += f"where its differences give {most:.3g}; write it in torch operations without "
        raise NotDifferentiableError(msg + "detach, no_grad or NumPy")
