"""Real data: scikit-learn's handwritten digits as exact laws.

1797 images of 8 x 8 pixels with 17 grey levels, 0 to 16. Some pixels never change, and all are
integers, so a fitted covariance would be singular. As in likelihood models of images, the grey
levels are dequantised (Theis, van den Oord, Bethge 2016, 1511.01844): uniform noise of one grey
level is added, and [0, 17] is mapped to [-1, 1]. The noise is independent of the data, so it adds
exactly ``(2/17)^2/12 = 0.00115`` to each variance. The fits below use that expectation, not a
draw: no seed enters, and the smallest eigenvalue is at least this number.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from .draws import uniforms
from .empirical import Empirical
from .gaussian import Gaussian
from .mixture import GaussianMixture

GREY = 2.0 / 17.0
"""One grey level in units of the data, which live on [-1, 1]."""
DEQUANTISATION = GREY**2 / 12.0
"""Variance of the dequantisation noise: the ridge of every covariance here."""
SHRINKAGE = 0.1
"""Share of the pooled covariance in each class's covariance."""

TRAINING = 1500
"""Images of :func:`digits_split` to train on; the other 297 are held out."""


@functools.cache
def _images() -> tuple[np.ndarray, np.ndarray]:
    """Expected dequantised images, (1797, 64), and their classes, (1797,)."""
    from sklearn.datasets import load_digits

    levels, classes = load_digits(return_X_y=True)
    return (levels + 0.5) * GREY - 1.0, classes


def digits_labels() -> Tensor:
    """Class of each image, 0 to 9, (1797,)."""
    return torch.from_numpy(_images()[1].copy())


def digits_images() -> Tensor:
    """The images as the mean of their dequantisation, (1797, 64), in (-1, 1)."""
    return torch.from_numpy(_images()[0].copy())


def digits_split() -> tuple[Tensor, Tensor]:
    """Indices of the images to train on, (1500,), and of those held out, (297,)."""
    order = torch.from_numpy(np.argsort(uniforms(1797, 1, seed=0, label="split")[:, 0]))
    return order[:TRAINING].sort().values, order[TRAINING:].sort().values


def digits_points(seed: int = 0) -> Tensor:
    """The images dequantised, (1797, 64), in (-1, 1); the noise is a function of (seed, image)."""
    images, _ = _images()
    noise = uniforms(*images.shape, seed=seed, label="dequantisation") - 0.5
    return torch.from_numpy(images + GREY * noise)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (divided by n, not n - 1) without the dequantisation noise."""
    mean = images.mean(0)
    return mean, (images - mean).T @ (images - mean) / len(images)


@functools.cache
def digits_gaussian() -> Gaussian:
    """The Gaussian with the mean and covariance of the dequantised digits, d = 64.

    Its covariance is that of the grey levels plus ``DEQUANTISATION`` times the identity.
    """
    mean, cov = _moments(_images()[0])
    return Gaussian(torch.from_numpy(mean), torch.from_numpy(cov + DEQUANTISATION * np.eye(64)))


@functools.cache
def digits_mixture() -> GaussianMixture:
    """One Gaussian for each class, d = 64: weights are the class frequencies.

    ``C_k = 0.9 S_k + 0.1 S + DEQUANTISATION`` with S_k the covariance of class k and S their
    average weighted by frequency. The mixture keeps the mean and the covariance of
    :func:`digits_gaussian` exactly: shrinking towards S does not change the average.
    """
    images, classes = _images()
    counts = np.bincount(classes, minlength=10)
    fits = [_moments(images[classes == k]) for k in range(10)]
    means = np.stack([mean for mean, _ in fits])
    covs = np.stack([cov for _, cov in fits])
    weights = counts / counts.sum()
    pooled = np.einsum("k,kij->ij", weights, covs)
    covs = (1 - SHRINKAGE) * covs + SHRINKAGE * pooled + DEQUANTISATION * np.eye(64)
    return GaussianMixture(*(torch.from_numpy(a) for a in (weights, means, covs)))


@functools.cache
def digits_empirical() -> Empirical:
    """The dequantised digits themselves: the ideal denoiser of this data set."""
    return Empirical(digits_points())
