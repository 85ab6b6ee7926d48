"""FID and KID of the library itself, with a tiny network for the features: closed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fokker.analysis.evaluation.digits import frechet_distance
from fokker.analysis.evaluation.inception import inception_distances

pytest.importorskip("torchmetrics")
pytestmark = pytest.mark.filterwarnings("ignore")


class Channels(nn.Module):
    """Mean of each channel, between 0 and 1."""

    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().mean((2, 3)) / 255


def features(images: torch.Tensor) -> np.ndarray:
    levels = ((images.double() + 1) * 127.5).round().clamp(0, 255)
    return Channels()(levels).expand(-1, 3).numpy()


def test_the_library_gives_the_frechet_distance_and_the_unbiased_cubic_mmd_of_features():
    """One channel counts three times; a subset that is all images leaves no scatter of subsets."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 4, 4, generator=generator) * 1.6 - 1
    reference = torch.rand(20, 1, 4, 4, generator=generator) * 2 - 1
    found = inception_distances(images, reference, extractor=Channels())
    x, y = features(images), features(reference)
    assert found.fid == pytest.approx(frechet_distance(x, y), rel=1e-4, abs=1e-7)

    def mean(a: np.ndarray, b: np.ndarray, own: bool) -> float:
        k = (a @ b.T / 3 + 1) ** 3
        return float((k.sum() - np.trace(k) * own) / (len(a) * (len(b) - own)))

    square = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert found.kid == pytest.approx(square, rel=1e-3, abs=1e-6)
    assert found.kid_deviation == pytest.approx(0.0, abs=1e-6)
    assert found.kid > 0
