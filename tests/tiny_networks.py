"""A network of a few numbers, of a registered architecture: folders are tried on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fokker.solvers.networks.architectures import architecture
from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import VPLinear

PROCESS = VPLinear()
RANGE = (-4.0, 4.0)


@architecture("tiny-mix", asked="time")
class TinyMix(nn.Module):
    """``W z + c e[label]``, z (B, size): sees all of what it is asked."""

    def __init__(self, size: int, classes: int = 0) -> None:
        super().__init__()
        self.config = {"size": size, "classes": classes}
        self.mix = nn.Linear(size, size)
        self.label = nn.Embedding(classes + 1, size)
        self.register_buffer("ones", torch.ones(size), persistent=False)

    def forward(self, z: Tensor, c: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = torch.zeros(len(z), dtype=torch.long, device=z.device)
        return self.mix(z) * self.ones + c[:, None].to(z.dtype) * self.label(labels)


def tiny(size: int = 3, classes: int = 2, *, seed: int = 0, **changed: Any) -> Network:
    """The network with weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = TinyMix(size, classes)
    given: dict[str, Any] = {
        "prediction": "noise",
        "shape": (size,),
        "lam_range": RANGE,
        "classes": classes,
        "about": {"made": "for tests", "steps": 3},
        **changed,
    }
    return module_network("tiny", module, PROCESS, **given)
