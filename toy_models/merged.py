"""A coarse copy of a mixture: fewer components, the same mean and covariance.

It stands for a small network beside a big one. Where there is much noise nobody sees single
components, and two laws of equal mean and covariance have denoisers that differ by their third
cumulants only: ``D_small - D_big = O(alpha^2/sigma^2)`` for ``x ~ sigma``.
"""

from __future__ import annotations

import torch

from ..solvers.errors import InvalidLawError
from .mixture import GaussianMixture


def merged(law: GaussianMixture, count: int) -> GaussianMixture:
    """The mixture with its components merged, two at a time, until ``count`` are left.

    Merged are the two for which ``w_i w_j/(w_i + w_j) |mu_i - mu_j|^2`` is least (Ward 1963); the
    new component has their common weight, mean and covariance, so mean and covariance of the law
    are unchanged.

    Raises
    ------
    InvalidLawError
        If ``count`` is not between 1 and the number of components.
    """
    have = len(law.weights)
    if not 1 <= count <= have:
        msg = f"a mixture of {have} components can be merged to 1 .. {have} of them, got {count}"
        raise InvalidLawError(msg)
    w, mu = law.weights, law.means
    cov = torch.diag_embed(law.covs) if law.covs.ndim == 2 else law.covs
    while len(w) > count:
        gap = (w[:, None] * w / (w[:, None] + w)) * torch.cdist(mu, mu).square()
        gap.fill_diagonal_(torch.inf)
        i, j = sorted(divmod(int(gap.argmin()), len(w)))
        pair, share = torch.tensor([i, j]), w[[i, j]] / w[[i, j]].sum()
        mean = share @ mu[pair]
        shift = mu[pair] - mean
        spread = (share[:, None, None] * (cov[pair] + shift[:, :, None] * shift[:, None])).sum(0)
        rest = torch.tensor([k for k in range(len(w)) if k not in (i, j)], dtype=torch.long)
        mu, cov = torch.cat([mu[rest], mean[None]]), torch.cat([cov[rest], spread[None]])
        w = torch.cat([w[rest], w[pair].sum()[None]])
    return GaussianMixture(w, mu, cov)
