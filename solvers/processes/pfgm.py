"""Where PFGM++ starts from: noise of the multivariate Student law, at every augmented dimension.

The prior of PFGM++ (Xu et al. 2023, arXiv:2302.04265, sec. 3.2 and appendix B) has a uniform
direction and the radius ``R = r sqrt(B/(1 - B))``, ``B ~ Beta(N/2, D/2)``, at ``r = sigma_max
sqrt(D)``. Formed like that, 1 - B rounds to 0 for small D and B to 0 for large. But ``B/(1 - B)``
is a ratio of two gamma variables, the first of which is ``|z|^2/2`` of a normal vector z, and

    x = sigma z / sqrt(G),    z ~ N(0, I_N),    G ~ chi^2_D / D,

is the same law: the Student law with D degrees of freedom and scale sigma. G tends to 1 as D
grows, and at D = inf this is the Gaussian prior of EDM. The ODE and its samplers are EDM's. Churn
is not: the sum of two Student variables is no Student variable, so that a sampler that adds noise
leaves the marginals for finite D.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidProcessError
from ..normals import normal_field


def student_noise(
    shape: Sequence[int], augmented: float, *, scale: float = 1.0, seed: int = 0, first: int = 0
) -> Tensor:
    """Samples ``first .. first + B - 1`` of the Student law, float64, each of (seed, index) only.

    With ``scale = sigma_max`` it is the start of a sampler; ``alpha x_0 + scale noise`` perturbs
    data. All coordinates of a sample share one G.

    Parameters
    ----------
    shape : sequence of int
        (B, *D) as of the state; N is the product of the last ones.
    augmented : float
        D > 0, degrees of freedom; ``math.inf`` gives Gaussian noise, the same z.
    scale : float
        sigma, not the standard deviation; that is ``sigma sqrt(D/(D - 2))`` for D > 2.

    Raises
    ------
    InvalidProcessError
        If the augmented dimension is not positive, or the scale is not positive and finite.

    Examples
    --------
    >>> x = student_noise((4, 3), 2048.0, scale=80.0)
    >>> x.shape, bool(torch.equal(x[2:], student_noise((2, 3), 2048.0, scale=80.0, first=2)))
    (torch.Size([4, 3]), True)
    """
    if not augmented > 0:
        msg = f"the augmented dimension must be positive, got {augmented}"
        raise InvalidProcessError(msg)
    if not 0 < scale < math.inf:
        msg = f"the scale must be a positive finite number, got {scale}"
        raise InvalidProcessError(msg)
    count, numbers = shape[0], math.prod(shape[1:])
    ids = range(first, first + count)
    z = normal_field(f"{seed}|student".encode(), ids, numbers).astype(np.float64)
    if math.isfinite(augmented):
        gamma = np.array([_chi2(seed, i, augmented) for i in ids]) / augmented
        z = z / np.sqrt(gamma)[:, None]
    return torch.from_numpy(scale * z).reshape(tuple(shape))


def _chi2(seed: int, index: int, freedom: float) -> float:
    """A chi-squared number, a function of (seed, index, freedom)."""
    key = hashlib.blake2b(f"{seed}|chi2|{index}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    return float(generator.chisquare(freedom))
