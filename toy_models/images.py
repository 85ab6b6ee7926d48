"""Image-sized exact laws made of smooth random fields."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import idctn

from ..solvers.errors import InvalidLawError
from .draws import normals
from .lowrank import LowRankMixture


def smooth_fields(count: int, *, size: int, channels: int, seed: int, label: str) -> np.ndarray:
    """Random fields with power spectrum 1/f^2, (count, channels, size, size), mean square 1.

    Independent normal cosine coefficients divided by the frequency ``sqrt(1 + i^2 + j^2)``; the
    spectrum of natural images (Field 1987). The mean square is 1 in expectation.
    """
    z = normals(count, channels * size * size, seed=seed, label=label)
    i = np.arange(size, dtype=np.float64)
    power = 1.0 / (1.0 + i[:, None] ** 2 + i[None, :] ** 2)
    amplitude = np.sqrt(power / power.mean())
    coefficients = z.reshape(count, channels, size, size) * amplitude
    return np.asarray(idctn(coefficients, axes=(2, 3), norm="ortho"))


def image_mixture(
    *,
    size: int = 32,
    channels: int = 3,
    components: int = 16,
    rank: int = 8,
    spread: float = 0.5,
    noise: float = 0.05,
    seed: int = 0,
) -> LowRankMixture:
    """A mixture of smooth random "images": each component a mean image and ``rank`` modes.

    Parameters
    ----------
    size, channels : int
        The data have ``d = channels * size * size`` numbers, flattened as (channels, size, size).
    components, rank : int
        Number of components, all of equal weight, and modes of variation of each.
    spread : float
        Root-mean-square pixel of the mean images; the modes together have half of it.
    noise : float
        Standard deviation of the isotropic part.
    seed : int
        Seed of the fields.

    Raises
    ------
    InvalidLawError
        If a number is not positive, or the rank exceeds d.
    """
    if min(size, channels, components, rank) < 1:
        msg = (
            "size, channels, components and rank must be at least 1, "
            f"got {size}, {channels}, {components}, {rank}"
        )
        raise InvalidLawError(msg)
    dim = channels * size * size
    means = smooth_fields(components, size=size, channels=channels, seed=seed, label="means")
    modes = smooth_fields(
        components * rank, size=size, channels=channels, seed=seed, label="modes"
    )
    factors = modes.reshape(components, rank, dim).transpose(0, 2, 1) * (0.5 * spread / rank**0.5)
    weights = torch.full((components,), 1.0 / components, dtype=torch.float64)
    return LowRankMixture(
        weights,
        torch.from_numpy(means.reshape(components, dim) * spread),
        torch.from_numpy(factors),
        noise,
    )
