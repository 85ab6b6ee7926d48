"""A small U-shaped network for small images, with classes; trained in minutes on a processor.

It gives the direction ``v = eps - x_0`` of a straight mixture ``z = (1 - u) x_0 + u eps``, the
prediction ``"flow"``, and so serves every process ``x = alpha x_0 + sigma eps`` by two numbers::

    z = x/(alpha + sigma),   u = sigma/(alpha + sigma) = 1/(1 + e^lam)

A direction is the same whatever x is scaled by: the answer needs no factor.

Two resolutions, residual blocks, one attention at the coarse one, and the level of noise and the
class as a scale and a shift of every block. The shape is that of Ho et al. 2020, arXiv:2006.11239,
and of Dhariwal & Nichol 2021, arXiv:2105.05233, made small.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .architectures import architecture
from .errors import NetworkError

GROUPS = 4
"""Groups of every group normalisation."""
SLOWEST, FASTEST = 0.125, 4.0
"""Frequencies of the embedding, radians a unit of lam."""
EDGE = 1e-3
"""Levels nearer than this to u = 0 or 1 are embedded as if there."""


def embedded(u: Tensor, size: int) -> Tensor:
    """``sin(w lam), cos(w lam)`` of ``lam = log((1 - u)/u)`` at size/2 frequencies w, (B, size).

    The frequencies are slow on purpose. The usual embedding, as fast as 1000 radians over all
    levels, lets a network learn ripples in the level: no error to speak of in a picture, but a
    sampler of order p has order 1 until its steps resolve them.
    """
    u = u.clamp(EDGE, 1.0 - EDGE)
    half = size // 2
    places = torch.arange(half, device=u.device, dtype=u.dtype) / max(half - 1, 1)
    angles = -torch.logit(u)[:, None] * (SLOWEST * (FASTEST / SLOWEST) ** places)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Residual(nn.Module):
    """Two convolutions around a shift and scale that the embedding chooses, added to the input."""

    def __init__(self, inner: int, outer: int, embedding: int) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(GROUPS, inner)
        self.first = nn.Conv2d(inner, outer, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outer)
        self.last_norm = nn.GroupNorm(GROUPS, outer)
        self.last = nn.Conv2d(outer, outer, 3, padding=1)
        self.skip = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()
        nn.init.zeros_(self.last.weight)  # at first every block is its skip
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """From x (B, inner, H, W) and embedding (B, E) to (B, outer, H, W)."""
        hidden = self.first(functional.silu(self.first_norm(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.last_norm(hidden) * (1.0 + scale) + shift
        return self.skip(x) + self.last(functional.silu(hidden))


class SelfAttention(nn.Module):
    """One head of attention among the pixels, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """From x (B, C, H, W) to the same shape."""
        query, key, value = self.project(self.norm(x)).flatten(2).mT.chunk(3, dim=2)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.mT.reshape(x.shape))


@architecture("small-unet", asked="straight")
class SmallUNet(nn.Module):
    """The direction ``v(z, u, labels)``.

    Parameters
    ----------
    channels : int
        Channels C of an image.
    image : int
        Its side, even.
    width : int
        Channels at the fine resolution, a multiple of 4; three times as many at the coarse one.
    classes : int
        Number of classes; one more label, ``classes``, stands for none.
    embedding : int
        Size of the embedding of level and class, even.

    Raises
    ------
    NetworkError
        For sizes that do not fit.
    """

    def __init__(
        self, channels: int, image: int, width: int, classes: int = 0, embedding: int = 64
    ) -> None:
        super().__init__()
        if min(channels, image, width, embedding) < 1 or classes < 0:
            msg = (
                "channels, image, width and embedding must be positive and classes at least 0, "
                f"got {channels}, {image}, {width}, {embedding} and {classes}"
            )
            raise NetworkError(msg)
        if image % 2 or width % GROUPS or embedding % 2:
            msg = (
                f"image and embedding must be even and width a multiple of {GROUPS}, "
                f"got {image}, {embedding} and {width}"
            )
            raise NetworkError(msg)
        self.config = {
            "channels": channels, "image": image, "width": width, "classes": classes,
            "embedding": embedding,
        }  # fmt: skip
        fine, coarse = width, 3 * width
        self.level = nn.Sequential(
            nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label = nn.Embedding(classes + 1, embedding)
        self.stem = nn.Conv2d(channels, fine, 3, padding=1)
        self.down = nn.ModuleList([Residual(fine, fine, embedding)])
        self.shrink = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.middle = nn.ModuleList(Residual(coarse, coarse, embedding) for _ in range(2))
        self.attention = SelfAttention(coarse)
        self.grow = nn.Conv2d(coarse, fine, 1)
        self.up = nn.ModuleList(
            Residual(a, b, embedding) for a, b in pairwise((2 * fine, fine, fine))
        )
        self.head = nn.Sequential(
            nn.GroupNorm(GROUPS, fine), nn.SiLU(), nn.Conv2d(fine, channels, 3, padding=1)
        )

    def forward(self, z: Tensor, u: Tensor, labels: Tensor | None = None) -> Tensor:
        """The direction at z (B, C, image, image), u (B,) and labels (B,); no labels: no class."""
        if labels is None:
            labels = torch.full((len(z),), self.config["classes"], device=z.device)
        embedding = self.level(embedded(u, self.config["embedding"]).to(z.dtype))
        embedding = functional.silu(embedding + self.label(labels))
        fine = self.stem(z)
        for block in self.down:
            fine = block(fine, embedding)
        first, last = self.middle
        coarse = last(self.attention(first(self.shrink(fine), embedding)), embedding)
        x = torch.cat([functional.interpolate(self.grow(coarse), scale_factor=2.0), fine], dim=1)
        for block in self.up:
            x = block(x, embedding)
        return self.head(x)
