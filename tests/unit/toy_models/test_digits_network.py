"""The trained network makes digits: of the class that is asked, as varied as real ones, no copies.

300 samples of each guidance, DPM-Solver++(2M), 20 steps. What real images of the held-out part
score is the scale of every number; all have a negative control.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import Tensor

from fokker.analysis.two_samples import sliced_w2
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models.digits import digits_labels, digits_points, digits_split
from fokker.toy_models.networks import WEIGHTS, named_network

LABELS = torch.arange(300) % 10


class Split(NamedTuple):
    """Images (n, 64) and classes (n,) of one part of the data."""

    images: Tensor
    labels: Tensor


@pytest.fixture(scope="module")
def parts() -> tuple[Split, Split]:
    images, labels = digits_points().float(), digits_labels()
    training, held = (Split(images[rows], labels[rows]) for rows in digits_split())
    return training, held


@pytest.fixture(scope="module")
def judge(parts: tuple[Split, Split]) -> SVC:
    return SVC(C=10.0).fit(*parts[0])


def generated(guidance: float) -> Tensor:
    network, sampler = named_network("digits"), get("dpmpp_2m")
    plan = sampler(network.process, network.grid(20))
    x = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    model = network.model(LABELS, prediction=sampler.prediction, guidance=guidance)
    return run(plan, model, x).x.flatten(1)


@pytest.fixture(scope="module")
def plain() -> Tensor:
    return generated(1.0)


@pytest.fixture(scope="module")
def guided() -> Tensor:
    return generated(1.5)


def nearest(x: Tensor, to: Tensor) -> Tensor:
    return torch.cdist(x, to).min(1).values


def gaps(x: Tensor, training: Tensor) -> np.ndarray:
    """Sliced W2 of 297 points to five draws of as many training images."""
    generator = torch.Generator().manual_seed(0)
    drawn = [training[torch.randperm(1500, generator=generator)[:297]] for _ in range(5)]
    found = [sliced_w2(x[:297].double(), y.double(), seed=k) for k, y in enumerate(drawn)]
    return np.array([float(v) for v in found])


def test_a_classifier_sees_the_class_that_was_asked_for(
    judge: SVC, parts: tuple[Split, Split], plain: Tensor, guided: Tensor
):
    """0.99 of the samples, with guidance and without; it has 0.98 on real images."""
    assert judge.score(*parts[1]) >= 0.98
    assert judge.score(guided, LABELS) >= 0.99
    assert judge.score(plain, LABELS) >= 0.99
    assert judge.score(plain, LABELS.roll(1)) < 0.05


def test_samples_are_as_near_to_the_data_as_held_out_images(
    parts: tuple[Split, Split], plain: Tensor, guided: Tensor
):
    """Sliced W2 at equal numbers, no worse than the held-out images and their two deviations."""
    training, held = parts
    real = gaps(held.images, training.images)
    bound = real.mean() + 2 * real.std()
    assert gaps(plain, training.images).mean() <= bound
    assert gaps(guided, training.images).mean() <= bound
    assert gaps(0.9 * plain, training.images).mean() > bound  # a loss of contrast is seen
    assert gaps(guided[LABELS < 8].repeat(2, 1), training.images).mean() > bound


def test_samples_are_no_copies(parts: tuple[Split, Split], plain: Tensor, guided: Tensor):
    """The nearest training image is not nearer than 0.85 of what it is for held-out images."""
    training, held = parts
    real = nearest(held.images, training.images)
    for made in (plain, guided):
        found = nearest(made, training.images)
        assert float(found.min()) > 0.85 * float(real.min())
        assert float(found.median()) > 0.85 * float(real.median())
        apart = torch.pdist(made)  # nor of each other
        assert float(apart.min()) > 0.6 * float(real.min())
    noisy = training.images + 0.05 * torch.randn(1500, 64, generator=torch.Generator())
    assert float(nearest(noisy, training.images).median()) < 0.4 * float(real.median())


def test_the_weights_are_small_and_say_where_they_come_from():
    network = named_network("digits")
    assert network.module is not None
    assert sum(p.numel() for p in network.module.parameters()) == 145_825
    assert sum(file.stat().st_size for file in Path(WEIGHTS / "digits").iterdir()) < 400_000
    log = network.about["log"]
    assert log[-1]["step"] == network.about["recipe"]["steps"]
    assert log[-1]["held_out"] < 0.37
    assert log[-1]["held_out"] < 1.15 * log[-1]["train"]
