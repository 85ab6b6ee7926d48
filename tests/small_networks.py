"""A network whose samples are known in closed form, small enough to be sampled many times.

One Gaussian for each class: ``N(m_k, s^2 I)`` with ``m_k = (k - 1)/2`` in every pixel. The flow
keeps ``(x - alpha m)/sqrt(alpha^2 s^2 + sigma^2)``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fokker.solvers.networks.network import Network
from fokker.solvers.process import DATA, Node
from fokker.solvers.schedules import VPLinear

PROCESS = VPLinear()
WIDTH = 0.25


def means(labels: Tensor | None, x: Tensor) -> Tensor:
    """Mean of the class of each row; 0 without classes."""
    if labels is None:
        return torch.zeros_like(x)
    return ((labels.to(x) - 1) / 2).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)


def denoise(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
    node = PROCESS.node(t)
    a, s2, m = node.alpha, node.sigma**2, means(labels, x)
    return (a * WIDTH**2 * x + s2 * m) / (a * a * WIDTH**2 + s2)


def flow(x: Tensor, start: Node, labels: Tensor | None, end: Node = DATA) -> Tensor:
    """Where the exact flow takes a state."""
    m = means(labels, x)
    before, after = (math.hypot(n.alpha * WIDTH, n.sigma) for n in (start, end))
    return end.alpha * m + after / before * (x - start.alpha * m)


def gaussians(
    shape: tuple[int, ...] = (1, 4, 4), classes: int = 3, call: Any = denoise, **more: Any
) -> Network:
    """The network; ``call`` may be another one that uses it."""
    return Network("gaussians", call, PROCESS, "data", shape, (-4.0, 4.0), classes, **more)


def plain() -> Network:
    """For ``file.py:function``."""
    return gaussians()
