"""Exact conditions: a mixture restricted to some of its components, and guidance toward them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, ShapeError
from .checks import Coefficient
from .law import Denoiser
from .mixture import GaussianMixture


def restricted(law: GaussianMixture, components: Sequence[int]) -> GaussianMixture:
    """The law given that its component is one of ``components``: their weights, made to sum to 1.

    The exact conditional model of a class that is made of these components.

    Raises
    ------
    InvalidLawError
        For no component, one that does not exist, or one named twice.
    """
    chosen, count = list(components), len(law.weights)
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= k < count for k in chosen):
        msg = f"need distinct components out of 0 .. {count - 1}, at least one, got {chosen}"
        raise InvalidLawError(msg)
    index = torch.tensor(chosen, device=law.device)
    weights = law.weights[index]
    return GaussianMixture(weights / weights.sum(), law.means[index], law.covs[index])


@dataclass(frozen=True, eq=False)
class Guided:
    """``D = D_u + w (D_c - D_u)``, and the same of the score: an exact guided model.

    It is the denoiser of no law (its score is that of ``p_u^{1-w} p_c^w`` at each level, and these
    are not diffusions of one law), so it has a reference flow and no samples.
    """

    conditional: Denoiser
    unconditional: Denoiser
    weight: float

    name: ClassVar[str] = "guided"

    def __post_init__(self) -> None:
        a, b = self.conditional.dim, self.unconditional.dim
        if a != b:
            msg = f"conditional and unconditional law have dimensions {a} and {b}"
            raise ShapeError(msg)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.conditional.dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the laws."""
        return self.conditional.dtype

    @property
    def device(self) -> torch.device:
        """Device of the laws."""
        return self.conditional.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same model on another device or in another dtype."""
        conditional = self.conditional.to(device, dtype)
        return type(self)(conditional, self.unconditional.to(device, dtype), self.weight)

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``D_u + w (D_c - D_u)``, (B, d)."""
        without = self.unconditional.denoiser(x, alpha, sigma)
        return without + self.weight * (self.conditional.denoiser(x, alpha, sigma) - without)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``s_u + w (s_c - s_u)``, (B, d)."""
        without = self.unconditional.score(x, alpha, sigma)
        return without + self.weight * (self.conditional.score(x, alpha, sigma) - without)
