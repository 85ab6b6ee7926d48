"""The starts of a comparison: one batch, the same for every candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.jobs.limits import within_memory
from ...solvers.jobs.trial import starts
from ...solvers.model import Model
from ...solvers.networks.network import Network


@dataclass(eq=False)
class Starts:
    """Starts of a network, with the classes asked for, and a count of what was spent.

    ``x_i = sigma z_i`` at the noisiest level that the network knows; z_i is a function of the seed
    and of i alone: image i of ``fokker sample`` with this seed begins there too. Classes go round,
    0, 1, 2, ..., unless they are given.

    Attributes
    ----------
    network : Network
        The network that is asked.
    count : int
        Number of starts.
    seed : int
        Of the starts.
    labels : sequence of int, optional
        One class for each start.
    guidance : float
        Weight of classifier-free guidance.
    dtype, device
        Of the states.
    spent : int
        Evaluations so far, counted in samples.
    """

    network: Network
    count: int
    seed: int = 0
    labels: Sequence[int] | None = None
    guidance: float = 1.0
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    spent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.count < 4:
            msg = f"at least 4 starts are needed for an interval, got {self.count}"
            raise AnalysisError(msg)
        within_memory(self.count, self.network.shape, AnalysisError)
        if self.labels is not None and len(self.labels) != self.count:
            msg = f"{self.count} starts need as many labels, got {len(self.labels)}"
            raise AnalysisError(msg)
        if self.labels is None and self.network.classes:
            self.labels = [i % self.network.classes for i in range(self.count)]
        self.x = starts(
            self.network, self.network.grid(1), range(self.count), seed=self.seed,
            dtype=self.dtype, device=self.device,
        )  # fmt: skip

    def part(self, first: int, last: int) -> Tensor:
        """Starts ``first .. last - 1``."""
        return self.x[first:last]

    def model(self, prediction: str, first: int, last: int) -> Model:
        """The network for these starts; every answer is counted."""
        labels = None if self.labels is None else list(self.labels[first:last])
        plain = self.network.model(labels, prediction=prediction, guidance=self.guidance)
        return _counted(plain, self._count)

    def _count(self, samples: int) -> None:
        self.spent += samples


def _counted(model: Model, count: Callable[[int], None]) -> Model:
    def counted(x: Tensor, t: float) -> Tensor:
        count(x.shape[0])
        return model(x, t)

    return counted
