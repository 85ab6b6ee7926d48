"""A weighted cloud of points: checked, with its moments and the plane in which it is best seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from .cost import weights_of

LARGEST = 1e150  # coordinates whose squared distances float64 holds


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points x (n, d) with positive weights (n,) that sum to one; equal ones if not given.

    Raises
    ------
    InvalidLawError
        If the points are not (n, d), not finite, above 1e150, or the weights are not as said; the
        sentence begins with ``name``.
    """

    points: Any
    weights: Any = None
    name: str = "cloud"

    def __post_init__(self) -> None:
        x = torch.as_tensor(self.points, dtype=torch.float64)
        if x.ndim != 2 or not x.numel():
            hint = "; points on a line are (n, 1)" if x.ndim == 1 and x.numel() else ""
            msg = f"{self.name} must hold points (n, d), at least one, got {tuple(x.shape)}{hint}"
            raise InvalidLawError(msg)
        bad = (~torch.isfinite(x)).any(1).nonzero().flatten().tolist()
        if bad:
            msg = (
                f"{self.name} has {len(bad)} of {len(x)} points that are not finite, the first is "
                f"row {bad[0]}"
            )
            raise InvalidLawError(msg)
        if float(x.abs().max()) > LARGEST:
            msg = (
                f"{self.name} has a coordinate of {float(x.abs().max()):.3g}, above {LARGEST:g}: "
                "its square is beyond float64, choose a larger unit"
            )
            raise InvalidLawError(msg)
        try:
            w = weights_of(self.weights, len(x), x.device)
        except InvalidLawError as error:
            msg = f"{self.name}: {error}"
            raise InvalidLawError(msg) from error
        self.__dict__.update(points=x, weights=w)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.points.shape[1]

    @property
    def mean(self) -> Tensor:
        """``sum w x``, (d,)."""
        return self.weights @ self.points

    @property
    def cov(self) -> Tensor:
        """``sum w (x - mean)(x - mean)^T``, (d, d): of the cloud itself, not an estimate for more.

        With equal weights the sum is divided by n, not by n - 1.
        """
        away = self.points - self.mean
        return (away.mT * self.weights) @ away


def one_dimension(a: Cloud, b: Cloud) -> int:
    """The dimension that both clouds have.

    Raises
    ------
    InvalidLawError
        If there is none.
    """
    if a.dim != b.dim:
        msg = (
            f"both clouds must have one dimension, got {a.dim} coordinates in {a.name} and "
            f"{b.dim} in {b.name}"
        )
        raise InvalidLawError(msg)
    return a.dim


def mean_squared_distance(a: Cloud, b: Cloud) -> float:
    """``sum w_i w_j |x_i - y_j|^2 = tr Cov_a + tr Cov_b + |m_a - m_b|^2``: the unit of epsilon.

    Raises
    ------
    InvalidLawError
        If it is 0: all points are one, and a fraction of it is none.
    """
    spread = torch.trace(a.cov) + torch.trace(b.cov)
    distance = float(spread + (a.mean - b.mean).square().sum())
    if not distance > 0:
        msg = (
            f"all points of {a.name} and {b.name} are one and the same, or closer than 1e-154, so "
            "epsilon has no unit: transport them by another method, or bridge them with a sigma"
        )
        raise InvalidLawError(msg)
    return distance


def principal_plane(a: Cloud, b: Cloud) -> tuple[Tensor, float]:
    """The two principal directions of both clouds together, (d, 2), and their share of variance.

    Each cloud counts half. The largest entry of each direction is positive.

    Raises
    ------
    InvalidLawError
        If the dimensions differ or are below 2.
    """
    if one_dimension(a, b) < 2:
        msg = f"a plane needs points of at least 2 coordinates, got {a.dim}"
        raise InvalidLawError(msg)
    apart = a.mean - b.mean
    cov = 0.5 * (a.cov + b.cov) + 0.25 * apart[:, None] * apart
    values, vectors = torch.linalg.eigh(cov)
    top = vectors[:, -2:].flip(1)
    signs = torch.gather(top, 0, top.abs().argmax(0, keepdim=True)).sign()
    total = float(values.sum())
    return top * signs, float(values[-2:].sum()) / total if total > 0 else 1.0
