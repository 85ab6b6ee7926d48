"""Rows of residuals of a network, level by level, over samples of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...solvers.grids import uniform_lam
from ...solvers.networks.network import Network
from ...solvers.registry import get
from ...solvers.run import run
from ...toy_models.draws import normals
from .collocation import FEWEST, mean
from .errors import TooFewSamplesError
from .network import check_level, in_double, network_residual

STEPS = 20
"""Steps of the sampler that draws the points."""


def network_rows(
    network: Network,
    *,
    lams: Sequence[float],
    samples: int = 64,
    label: int | None = None,
    probes: int | None = None,
    certainty: float = 0.999,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Residual and curl of a network, level by level, over samples of its own.

    Points are drawn by its probability-flow ODE from the noise to each level (DPM-Solver++(2M) of
    20 steps), fresh for each: a residual is weighted by where the network's samples are.

    Parameters
    ----------
    network, label, probes, seed
        As :func:`network_residual`; modules of ours are asked in float64.
    lams : sequence of float
        Levels, inside the range of the network.
    samples : int
        Points at each level, at least 32.
    certainty : float
        Probability of each bar.

    Returns
    -------
    list of dict
        ``lam, t``; ``mean ± bar`` of ``|r|^2/d`` and what arithmetic leaves, ``rounding``;
        ``share`` of it in the terms that should cancel (0 for a score, about 1 for a field that
        has nothing to do with the equation); ``curl``, the root of ``E|J - J^T|^2/E|J|^2``, and
        ``curl_bar``.

    Raises
    ------
    FokkerError
        As :func:`network_residual`, and for too few samples.

    Examples
    --------
    >>> from fokker.toy_models.networks import named_network
    >>> (row,) = network_rows(named_network("gaussian"), lams=[0.0], samples=32)
    >>> row["share"] < 1e-12
    True
    """
    if samples < FEWEST:
        msg = f"{samples} samples give no error bar; {FEWEST} would be enough to have one"
        raise TooFewSamplesError(msg, needed=FEWEST)
    for lam in lams:
        check_level(network, lam)
    double = in_double(network)
    return [
        _row(double, lam, own_points(double, lam, samples, label=label, seed=seed + k),
             label, probes, certainty, seed + k)
        for k, lam in enumerate(lams)
    ]  # fmt: skip


def own_points(
    network: Network, lam: float, n: int, *, label: int | None = None, seed: int = 0
) -> Tensor:
    """``u = x/alpha`` of the network's own ODE at a level, (n, *shape) float64."""
    low, _ = network.lam_range
    dim = torch.Size(network.shape).numel()
    start = network.process.node_at_lam(low)
    noise = torch.from_numpy(normals(n, dim, seed=seed, label="network")).to(torch.float64)
    x = start.sigma * noise.reshape(n, *network.shape)  # as networks are sampled
    if lam <= low:
        return x / start.alpha
    labels = None if label is None else [label] * n
    model = network.model(labels, prediction="data")
    plan = get("dpmpp_2m")(network.process, uniform_lam(network.process, low, lam).grid(STEPS))
    return run(plan, model, x).x / network.process.node_at_lam(lam).alpha


def _row(
    network: Network, lam: float, u: Tensor, label: int | None, probes: int | None,
    certainty: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    found = network_residual(network, u, lam, label=label, probes=probes, seed=seed)
    square = mean(found.square, certainty=certainty)
    terms, size = float(found.terms.mean()), float(found.size.mean())
    bent = mean(found.curl, certainty=certainty)
    curl = (max(bent.value, 0.0) / size) ** 0.5 if size else 0.0
    return {
        "lam": lam, "t": network.process.node_at_lam(lam).t,
        "mean": square.value, "bar": square.bar, "rounding": float(found.rounding.mean()),
        "share": square.value / terms if terms else 0.0,
        "curl": curl, "curl_bar": 0.5 * bent.bar / (size * curl) if curl else 0.0,
    }  # fmt: skip
