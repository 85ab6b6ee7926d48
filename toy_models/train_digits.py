"""Trains the network that the name "digits" stands for: ``python -m fokker.toy_models.train_digits``.

A small U-shaped network learns the direction ``eps - x_0`` of straight mixtures of noise and
digits, with the class, by the quadratic objective; its minimiser is ``E[eps - x_0 | z, class]``.
Four minutes on one core. The committed weights are what this script wrote; on another machine
rounding makes others, of the same quality.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..solvers.networks.unet import SmallUNet
from .digits import GREY, digits_images, digits_labels, digits_split

Log = list[dict[str, float]]


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
    drop : float
        Share of the labels that are replaced by "no class".
    average : float
        Decay of the exponential average of the weights, which is what is kept.
    seed : int
        Of the weights and of all draws.
    """

    steps: int = 6000
    batch: int = 128
    width: int = 16
    rate: float = 3e-3
    drop: float = 0.1
    average: float = 0.999
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Data, noise, levels and labels of one batch."""

    data: Tensor
    eps: Tensor
    u: Tensor
    labels: Tensor

    def loss(self, net: SmallUNet) -> Tensor:
        """Mean of ``|v(z, u) - (eps - x_0)|^2`` over samples and pixels."""
        u = self.u[:, None, None, None]
        z = (1.0 - u) * self.data + u * self.eps
        return (net(z, self.u, self.labels) - (self.eps - self.data)).square().mean()


def draw(rows: Tensor, drop: float, generator: torch.Generator) -> Pairs:
    """A batch of the images at ``rows``, freshly dequantised, u stratified on [0, 1]."""
    count = len(rows)
    data = digits_images()[rows].float().reshape(count, 1, 8, 8)
    data = data + GREY * (torch.rand(data.shape, generator=generator) - 0.5)
    eps = torch.randn(data.shape, generator=generator)
    places = torch.randperm(count, generator=generator)
    u = (places + torch.rand(count, generator=generator)) / count
    labels = digits_labels()[rows]
    dropped = torch.rand(count, generator=generator) < drop
    return Pairs(data, eps, u, torch.where(dropped, 10, labels))


def rate_at(step: int, recipe: Recipe, warm: int = 200) -> float:
    """Share of the largest rate at a step."""
    cosine = torch.tensor(torch.pi * step / recipe.steps).cos()
    return min(1.0, (step + 1) / warm) * 0.5 * (1.0 + float(cosine))


def train(recipe: Recipe, tell: Callable[[dict[str, float]], None] = lambda _: None) -> tuple[
    SmallUNet, Log
]:
    """The averaged network and its losses; a function of the recipe on one machine.

    The global generator is neither used nor changed.
    """
    rows, held = digits_split()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = SmallUNet(1, 8, recipe.width, classes=10)
    generator = torch.Generator().manual_seed(recipe.seed)
    judged = [draw(part.repeat(n), 0.0, torch.Generator().manual_seed(1))
              for part, n in ((rows, 1), (held, 5))]  # fmt: skip
    kept = copy.deepcopy(net).requires_grad_(False)
    adam = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=0.01, fused=True)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: rate_at(k, recipe))
    log: Log = []
    for step in range(1, recipe.steps + 1):
        chosen = rows[torch.randint(len(rows), (recipe.batch,), generator=generator)]
        value = draw(chosen, recipe.drop, generator).loss(net)
        adam.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        falling.step()
        average(kept, net, min(recipe.average, (1 + step) / (10 + step)))
        if step % max(recipe.steps // 12, 1) == 0 or step == recipe.steps:
            seen, unseen = (float(pairs.loss(kept)) for pairs in judged)
            log.append({"step": step, "train": round(seen, 4), "held_out": round(unseen, 4)})
            tell(log[-1])
    return kept.eval(), log


@torch.no_grad()
def average(kept: SmallUNet, net: SmallUNet, decay: float) -> None:
    """``kept = decay kept + (1 - decay) net``."""
    torch._foreach_lerp_(list(kept.parameters()), list(net.parameters()), 1.0 - decay)  # noqa: SLF001


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps)
    net, log = train(recipe, lambda row: print(row, flush=True))
    about: dict[str, Any] = {"recipe": asdict(recipe), "log": log}
    import json

    from safetensors.torch import save_file

    options.out.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), options.out / "weights.safetensors")
    (options.out / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
