"""Train the network "digits": ``python -m fokker.toy_models.train_digits --out FOLDER``.

A small U-shaped network learns the direction ``eps - x_0`` of straight mixtures of noise and
digits, with the class, by the quadratic objective; its minimiser is ``E[eps - x_0 | z, class]``
(Liu et al. 2022, arXiv:2209.03003; dropped classes: Ho & Salimans 2022, arXiv:2207.12598). Some
minutes on one core. The weights that come with this package are what this script wrote; another
processor rounds otherwise and makes other weights, of the same quality.
"""

from __future__ import annotations

import argparse
import copy
import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..solvers.networks.asking import module_network
from ..solvers.networks.folder import save_network
from ..solvers.networks.network import Network
from ..solvers.networks.unet import SmallUNet
from ..solvers.schedules import VPLinear
from .digits import GREY, digits_images, digits_labels, digits_split

CLASSES = 10
LAM_RANGE = (-4.0, 4.0)
"""Levels at which the network is used, those of the problem ``digits-mixture``."""

Row = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes
    ----------
    steps, batch : int
        Steps of AdamW, and images in each.
    width : int
        Width of the network.
    rate : float
        The learning rate: rises over 200 steps, then falls to 0 as a cosine.
    decay : float
        Weight decay.
    drop : float
        Share of the labels that are replaced by "no class".
    average : float
        Decay of the exponential average of the weights, which is what is kept.
    seed : int
        Of the weights and of all draws.
    """

    steps: int = 4000
    batch: int = 128
    width: int = 16
    rate: float = 3e-3
    decay: float = 0.01
    drop: float = 0.1
    average: float = 0.999
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """Data and noise (B, 1, 8, 8), levels and labels (B,)."""

    data: Tensor
    eps: Tensor
    u: Tensor
    labels: Tensor

    def loss(self, net: SmallUNet) -> Tensor:
        """Mean of ``|v(z, u) - (eps - x_0)|^2`` over samples and pixels."""
        u = self.u[:, None, None, None]
        z = (1.0 - u) * self.data + u * self.eps
        return (net(z, self.u, self.labels) - (self.eps - self.data)).square().mean()


def drawn(rows: Tensor, drop: float, generator: torch.Generator) -> Batch:
    """A batch of the images at ``rows``, freshly dequantised; one u in each B-th of [0, 1]."""
    count = len(rows)
    data = digits_images()[rows].float().reshape(count, 1, 8, 8)
    data = data + GREY * (torch.rand(data.shape, generator=generator) - 0.5)
    eps = torch.randn(data.shape, generator=generator)
    places = torch.randperm(count, generator=generator)
    u = (places + torch.rand(count, generator=generator)) / count
    dropped = torch.rand(count, generator=generator) < drop
    return Batch(data, eps, u, torch.where(dropped, CLASSES, digits_labels()[rows]))


def rate_at(step: int, steps: int, warm: int = 200) -> float:
    """Share of the largest rate at a step: up in a line, down as a cosine."""
    return min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


@torch.no_grad()
def losses(net: SmallUNet) -> Row:
    """The objective on the images of the training and on those held out, all with their class."""
    rows, held = digits_split()
    found = {"train": rows, "held_out": held.repeat(5)}
    return {
        name: round(float(drawn(part, 0.0, torch.Generator().manual_seed(1)).loss(net)), 4)
        for name, part in found.items()
    }


def train(
    recipe: Recipe, tell: Callable[[Row], object] = lambda _: None, *, rows: int = 8
) -> tuple[SmallUNet, list[Row]]:
    """The averaged network and its log: ``rows`` rows of step and losses, each told as it comes.

    A function of the recipe on one machine; the global generator is neither used nor changed.
    """
    images, _ = digits_split()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = SmallUNet(1, 8, recipe.width, classes=CLASSES)
    generator = torch.Generator().manual_seed(recipe.seed)
    kept = copy.deepcopy(net).requires_grad_(requires_grad=False)
    adam = torch.optim.AdamW(
        net.parameters(), lr=recipe.rate, weight_decay=recipe.decay, fused=True
    )
    rates = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: rate_at(k, recipe.steps))
    log: list[Row] = []
    for step in range(1, recipe.steps + 1):
        chosen = images[torch.randint(len(images), (recipe.batch,), generator=generator)]
        value = drawn(chosen, recipe.drop, generator).loss(net)
        adam.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        rates.step()
        average(kept, net, min(recipe.average, (1 + step) / (10 + step)))
        if step % -(-recipe.steps // rows) == 0 or step == recipe.steps:
            log.append({"step": step, **losses(kept)})
            tell(log[-1])
    return kept.eval(), log


@torch.no_grad()
def average(kept: SmallUNet, net: SmallUNet, decay: float) -> None:
    """``kept = decay kept + (1 - decay) net``, in place."""
    for old, new in zip(kept.parameters(), net.parameters(), strict=True):
        old.lerp_(new, 1.0 - decay)


def digits_network(net: SmallUNet, recipe: Recipe, log: list[Row]) -> Network:
    """The network with all that sampling must know, and where it comes from."""
    about = {
        "data": "1500 of scikit-learn's 1797 handwritten digits, dequantised, 297 held out",
        "objective": "mean of |v - (eps - x_0)|^2, levels uniform in sigma/(alpha + sigma)",
        "recipe": asdict(recipe),
        "log": log,
        "made_with": f"torch {torch.__version__} on {platform.machine()}",
    }
    return module_network(
        "digits", net, VPLinear(), prediction="flow", shape=(1, 8, 8), lam_range=LAM_RANGE,
        asked="straight", classes=CLASSES, about=about,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="train the network of the digits")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="of training")
    parser.add_argument("--overwrite", action="store_true", help="replace a network there")
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps)
    net, log = train(recipe, lambda row: print(row, flush=True))
    network = digits_network(net, recipe, log)
    where = save_network(options.out, network, dtype=torch.float16, overwrite=options.overwrite)
    print(f"saved in {where}")


if __name__ == "__main__":
    main()
