"""The same question on a Gaussian with the network's data statistics: exact, no Monte Carlo.

Mean and covariance of the fine solution's ends (shrunk as Ledoit & Wolf 2004, since the ends are
few) make a Gaussian law; on it the model is affine and the error of every plan is known in closed
form (:mod:`fokker.analysis.law`). It ranks by what the spectrum of the data demands of a sampler;
what a network adds by being nonlinear it cannot see. Where the two rankings agree, the spectrum
was what mattered.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ...solvers.errors import AnalysisError, FokkerError
from ...solvers.networks.network import Network
from ...solvers.process import Array
from ..distances import diagonal_w2
from ..gaussian_path import Affine, Normal, normal, prediction_of, transition
from ..law import response
from .candidates import Candidate


class SurrogateError(NamedTuple):
    """Exact errors on the Gaussian: paired RMS (None of a stochastic plan), and W2 per root d."""

    paired: float | None
    w2: float


def statistics(ends: Tensor) -> Normal:
    """Gaussian of the ends, (n, *D), in its own eigenbasis: ``(1 - s) S + s tr(S)/d``.

    Only the n x n Gram matrix is decomposed, so d may be large.

    Raises
    ------
    AnalysisError
        For fewer than four ends, or ends that are all equal.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    rows = ends.detach().cpu().double().flatten(1).numpy()
    n, d = rows.shape
    if n < 4:
        msg = f"data statistics need at least 4 ends, got {n}"
        raise AnalysisError(msg)
    mean = rows.mean(0)
    centred = rows - mean
    spread = float((centred**2).sum() / n / d)
    if not (math.isfinite(spread) and spread > 0):
        msg = f"the ends have the variance {spread}; a Gaussian needs a positive one"
        raise AnalysisError(msg)
    shrink = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
    _, values, basis = np.linalg.svd(centred, full_matrices=False)
    r = len(values)
    var = np.full(d, shrink * spread)
    var[:r] += (1 - shrink) * values**2 / n
    coordinates = np.zeros(d)
    coordinates[:r] = basis @ mean
    if r < d:  # what is left of the mean, along one direction of the equal rest
        coordinates[r] = float(np.linalg.norm(mean - basis.T @ coordinates[:r]))
    return normal(coordinates, var)


def surrogate_error(
    candidate: Candidate, network: Network, data: Normal, *, to_zero: bool = True
) -> SurrogateError | None:
    """Exact error of a candidate on the Gaussian, against the same truth as on the network.

    The start is ``N(0, sigma^2)`` at the noisiest level; the truth is the exact flow to the
    cleanest level, and with ``to_zero`` the data prediction there. Both are affine in the start:
    ``x = a z + c``, so the paired RMS is that of ``(a - a') z + c - c'``. None if the plan has no
    exact law (weights that are arrays).
    """
    start, truth = _exact(network, data, to_zero)
    try:
        found = response(candidate.plan, data, sigma_data=network.sigma_data)
    except FokkerError:
        return None
    law, true_law = found.law(start), truth.law(start)
    w2 = diagonal_w2(law.mean, law.var, true_law.mean, true_law.var)
    paired = None
    if not len(found.cells):
        gain, shift = found.start - truth.gain, found.constant - truth.shift
        square = gain**2 * start.var + (gain * start.mean + shift) ** 2
        paired = math.sqrt(float(np.mean(square)))
    return SurrogateError(paired, w2 / math.sqrt(len(data.var)))


def _exact(network: Network, data: Normal, to_zero: bool) -> tuple[Normal, Affine]:
    """The law of the start, and the exact map from there to the end."""
    first, last = (network.process.node_at_lam(lam) for lam in network.lam_range)
    start = normal(np.zeros_like(data.mean), first.sigma**2)
    flow = transition(data, first, last)
    if not to_zero:
        return start, flow
    answer = prediction_of(data, last, "data")
    return start, Affine(
        answer.gain * flow.gain, answer.gain * flow.shift + answer.shift, np.zeros_like(flow.var)
    )


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rank correlation of two lists of errors; NaN below three."""
    if len(first) < 3:
        return math.nan
    from scipy.stats import spearmanr

    found: Any = spearmanr(first, second)
    return float(found.statistic)
