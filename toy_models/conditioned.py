"""Laws given a linear measurement: exact posteriors of Gaussians and of mixtures."""

from __future__ import annotations

import math
from typing import Any, overload

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import parameter
from .gaussian import Gaussian
from .mixture import GaussianMixture


@overload
def conditioned(law: Gaussian, matrix: Any, y: Any, noise: float = 0.0) -> Gaussian: ...
@overload
def conditioned(
    law: GaussianMixture, matrix: Any, y: Any, noise: float = 0.0
) -> GaussianMixture: ...
def conditioned(law: Any, matrix: Any, y: Any, noise: float = 0.0) -> Any:
    """The law of x_0 given ``y = A x_0 + s e``, one measurement.

    On each Gaussian ``N(m, C)`` with ``G = C A^T (A C A^T + s^2 I)^{-1}``: mean ``m + G (y - A
    m)``, covariance ``(I - G A) C (I - G A)^T + s^2 G G^T`` (Joseph's form, which stays a
    covariance); on a mixture the weights are multiplied by the evidence ``N(y; A m, A C A^T + s^2
    I)``. The model of the posterior is the exact conditional score at every level. For many
    observations of one Gaussian, and their flow, see :class:`~.super_resolution.SuperResolution`.

    Parameters
    ----------
    law : Gaussian or GaussianMixture
        Law of the data.
    matrix : Tensor
        A, (k, d).
    y : Tensor
        The measurement, (k,).
    noise : float
        s >= 0. With 0 the posterior of a Gaussian is singular, which is a law at ``sigma > 0``; a
        mixture needs noise, for its components must be positive definite.

    Raises
    ------
    InvalidLawError
        If shapes do not fit, the noise is negative, or ``A C A^T + s^2 I`` is singular.

    Examples
    --------
    >>> law = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    >>> conditioned(law, [[1.0, 0.0]], [2.0]).mean
    tensor([2., 1.])
    """
    if not isinstance(law, (Gaussian, GaussianMixture)):
        msg = f"need a Gaussian or a GaussianMixture to condition, got {type(law).__name__}"
        raise InvalidLawError(msg)
    a = parameter(matrix, "matrix", (None, law.dim)).to(law.mean)
    seen = parameter(y, "y", (len(a),)).to(law.mean)
    if not 0 <= noise < math.inf or (noise == 0 and isinstance(law, GaussianMixture)):
        least = "positive" if isinstance(law, GaussianMixture) else "at least 0"
        msg = f"the noise of a measurement must be finite and {least} here, got {noise}"
        raise InvalidLawError(msg)
    if isinstance(law, Gaussian):
        mean, cov, _ = _posterior(law.mean, law.cov, a, seen, noise)
        return Gaussian(mean, cov)
    covs = law.covs if law.covs.ndim == 3 else torch.diag_embed(law.covs)
    parts = [_posterior(m, c, a, seen, noise) for m, c in zip(law.means, covs, strict=True)]
    logs = law.weights.log() + torch.stack([p[2] for p in parts])
    return GaussianMixture(
        logs.softmax(0), torch.stack([p[0] for p in parts]), torch.stack([p[1] for p in parts])
    )


def _posterior(
    mean: Tensor, cov: Tensor, a: Tensor, y: Tensor, noise: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, covariance and log evidence (up to a constant) of one Gaussian."""
    eye = torch.eye(len(a), dtype=cov.dtype, device=cov.device)
    lower, info = torch.linalg.cholesky_ex(a @ cov @ a.mT + noise**2 * eye)
    if int(info):
        msg = f"A C A^T + {noise}^2 I must be positive definite, but it is singular"
        raise InvalidLawError(msg)
    gain = torch.cholesky_solve(a @ cov, lower).mT
    gap = y - a @ mean
    rest = torch.eye(len(mean), dtype=cov.dtype, device=cov.device) - gain @ a
    kept = rest @ cov @ rest.mT + noise**2 * gain @ gain.mT
    white = torch.linalg.solve_triangular(lower, gap[:, None], upper=False)
    evidence = -0.5 * white.square().sum() - lower.diagonal().log().sum()
    return mean + gain @ gap, 0.5 * (kept + kept.mT), evidence
