"""How the steps of a job lie over the range of its network."""

from __future__ import annotations

from collections.abc import Callable

from ..grids import Grid, GridMap, karras, power_t, sinh_lam, uniform_lam
from ..networks.network import Network
from ..process import DATA, Process

_Between = Callable[[Process, float, float], GridMap]


def _times(power: float) -> _Between:
    def between(process: Process, low: float, high: float) -> GridMap:
        ends = process.node_at_lam(low).t, process.node_at_lam(high).t
        return power_t(process, *ends, power)

    return between


def _karras(process: Process, low: float, high: float) -> GridMap:
    return karras(process, process.node_at_lam(low).rho, process.node_at_lam(high).rho)


_SPACINGS: dict[str, _Between] = {
    "uniform-lam": uniform_lam,
    "uniform-t": _times(1.0),
    "quadratic-t": _times(2.0),
    "karras": _karras,
    "sinh-lam": sinh_lam,
}
SPACINGS = tuple(_SPACINGS)
"""Equal steps in lam, in t, in the root of t; those of EDM; those of :func:`sinh_lam`."""


def grid_of(network: Network, spacing: str, steps: int, *, to_zero: bool = True) -> Grid:
    """Grid of ``steps`` steps over the network's range; the last may go on to sigma = 0.

    With ``"uniform-lam"`` it is :meth:`fokker.solvers.networks.network.Network.grid`.
    """
    between = _SPACINGS[spacing](network.process, *network.lam_range)
    if not to_zero:
        return between.grid(steps)
    if steps == 1:  # one step from noise to data: the cleanest level is not visited
        return Grid((between.grid(1)[0], DATA))
    return between.grid(steps - 1, to_zero=True)
