"""What a sweep measures: a frozen record for each measurement."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..solvers.errors import AnalysisError
from ..solvers.jobs.limits import MOST_IMAGES, MOST_STEPS, within


@dataclass(frozen=True)
class Config:
    """One measurement: a deterministic sampler on a network within a number of evaluations.

    Attributes
    ----------
    network : str
        As :func:`fokker.toy_models.networks.find_network` takes it.
    sampler : str
        Name of a registered sampler that draws no noise.
    nfe : int
        Evaluations at most; the sampler takes as many steps as fit.
    grid : str
        One of :data:`fokker.solvers.jobs.spacing.SPACINGS`; the last step goes to sigma = 0.
    guidance : float
        Weight of classifier-free guidance.
    count, seed : int
        Number of starts, and their seed.
    reference : int
        Steps of the fine solution.
    """

    network: str
    sampler: str
    nfe: int
    grid: str = "uniform-lam"
    guidance: float = 1.0
    count: int = 32
    seed: int = 0
    reference: int = 128

    def __post_init__(self) -> None:
        if not math.isfinite(self.guidance):
            msg = f"the guidance of a sweep must be a finite number, got {self.guidance}"
            raise AnalysisError(msg)
        object.__setattr__(self, "guidance", float(self.guidance))  # 1 and 1.0 are one file
        within("nfe of a sweep", self.nfe, MOST_STEPS, AnalysisError)
        within("count of a sweep", self.count, MOST_IMAGES, AnalysisError)
        within("reference of a sweep", self.reference, MOST_STEPS, AnalysisError)

    def file(self, digest: str = "") -> str:
        """Name of its result: readable, another for each configuration and facts of a network."""
        text = json.dumps(asdict(self), sort_keys=True) + digest
        words = (Path(self.network).name, self.sampler, str(self.nfe))
        plain = "-".join(re.sub(r"[^A-Za-z0-9_]+", "_", w)[:40] for w in words)
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def configs(
    networks: Iterable[str], samplers: Iterable[str], nfes: Iterable[int], **common: Any
) -> list[Config]:
    """All combinations, network by network; equal ones once."""
    found = itertools.product(networks, samplers, nfes)
    return list(dict.fromkeys(Config(n, s, k, **common) for n, s, k in found))
