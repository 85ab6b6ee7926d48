"""Grids: the noise levels that a sampler visits, as images of a uniform partition.

A :class:`Grid` is the list of nodes itself; a :class:`GridMap` is the monotone map from u in
[0, 1] to ``lam`` whose image it is. Refining ``steps -> 2 steps`` keeps every node, bit for bit,
because ``2i/(2N) == i/N`` in floating point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from .errors import InvalidGridError, InvalidProcessError
from .given import real_number
from .process import DATA, Node, Process

_number = partial(real_number, error=InvalidGridError)


@dataclass(frozen=True)
class Grid:
    """Nodes in sampling order: ``lam`` strictly increasing, at least two of them.

    The last node may be the data end ``sigma = 0``, the first may have ``alpha = 0``.

    Raises
    ------
    InvalidGridError
        For fewer than two nodes, and for NaN, repeated or unordered nodes.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.nodes) < 2:
            msg = f"a grid needs at least 2 nodes (1 step), got {len(self.nodes)}"
            raise InvalidGridError(msg)
        for i, (s, t) in enumerate(self.steps()):
            if not t.lam > s.lam:  # also catches NaN
                msg = (
                    f"lam must increase strictly along a grid: node {i} has {s.lam}, "
                    f"node {i + 1} has {t.lam}"
                )
                raise InvalidGridError(msg)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.nodes) - 1

    def __getitem__(self, index: int) -> Node:
        """Node by position; ``grid[0]`` is the noisiest."""
        return self.nodes[index]

    def steps(self) -> Iterator[tuple[Node, Node]]:
        """Pairs (s, t) of consecutive nodes."""
        return itertools.pairwise(self.nodes)

    def part(self, first: int, last: int) -> Grid:
        """The grid from node ``first`` to node ``last``, both included.

        Raises
        ------
        InvalidGridError
            If there are no such nodes, in this order.
        """
        if not 0 <= first < last <= len(self):
            msg = f"a grid of nodes 0 .. {len(self)} has no part from node {first} to node {last}"
            raise InvalidGridError(msg)
        return Grid(self.nodes[first : last + 1])

    @property
    def to_zero(self) -> bool:
        """Whether the last step goes to ``sigma = 0``."""
        return self.nodes[-1].sigma == 0.0

    def with_zero(self) -> Grid:
        """The same grid with the data end ``sigma = 0`` appended."""
        return self if self.to_zero else Grid((*self.nodes, DATA))


def grid_from_lams(process: Process, lams: Sequence[float]) -> Grid:
    """Grid at the given half log-SNR values, increasing; a last value ``inf`` is the data end."""
    return Grid(_nodes(process.node_at_lam, lams, "lam"))


def grid_from_times(process: Process, times: Sequence[float]) -> Grid:
    """Grid at the given times of the process, decreasing; for sigma = 0 see ``Grid.with_zero``."""
    return Grid(_nodes(process.node, times, "time"))


def grid_from_sigmas(process: Process, rhos: Sequence[float]) -> Grid:
    """Grid at the given ``rho = sigma/alpha``, decreasing (the sigma lists of image libraries)."""

    def node(rho: float) -> Node:
        if rho < 0:
            msg = "sigma must not be negative"
            raise InvalidGridError(msg)
        return process.node_at_lam(-math.log(rho) if rho > 0 else math.inf)

    return Grid(_nodes(node, rhos, "sigma"))


def _nodes(make: Callable[[float], Node], values: Iterable[float], name: str) -> tuple[Node, ...]:
    """A node for each value; a value that has none is named in the error."""
    found = []
    for i, v in enumerate(values):
        number = _number(v, f"{name} of grid node {i}")
        if math.isnan(number):
            msg = f"{name} of grid node {i} is NaN"
            raise InvalidGridError(msg)
        try:
            found.append(make(number))
        except (InvalidProcessError, InvalidGridError) as error:
            msg = f"grid node {i} ({name} = {v}) does not exist: {error}"
            raise InvalidGridError(msg) from error
    return tuple(found)


@dataclass(frozen=True)
class GridMap:
    """A smooth increasing map ``u -> lam`` that makes a nested family of grids on one process.

    ``lam_of_u`` is defined for u in [0, 1] and a little below 0, so that a multistep method can be
    given exact history before the first node.
    """

    process: Process
    lam_of_u: Callable[[float], float]
    name: str

    def grid(self, steps: int, *, to_zero: bool = False) -> Grid:
        """Grid of ``steps`` equal steps in u, optionally with a further step to sigma = 0."""
        if isinstance(steps, bool) or not isinstance(steps, (int, Integral)) or steps < 1:
            msg = f"a grid needs a whole number of steps, at least 1, got {steps!r}"
            raise InvalidGridError(msg)
        steps = int(steps)
        grid = Grid(_nodes(self._node, [i / steps for i in range(steps + 1)], "u"))
        return grid.with_zero() if to_zero else grid

    def history(self, steps: int, count: int) -> tuple[Node, ...]:
        """The ``count`` nodes before the first one, newest first, at u = -1/steps, -2/steps, ...

        Raises
        ------
        InvalidGridError
            If the process does not reach so far.
        """
        return _nodes(self._node, [-j / steps for j in range(1, count + 1)], "u")

    def _node(self, u: float) -> Node:
        return self.process.node_at_lam(self.lam_of_u(u))


def _range(lam_start: Any, lam_end: Any) -> tuple[float, float]:
    lam_start, lam_end = _number(lam_start, "lam_start"), _number(lam_end, "lam_end")
    if not (math.isfinite(lam_start) and math.isfinite(lam_end) and lam_start < lam_end):
        msg = f"a grid needs finite lam_start < lam_end, got {lam_start} and {lam_end}"
        raise InvalidGridError(msg)
    return lam_start, lam_end


def uniform_lam(process: Process, lam_start: float, lam_end: float) -> GridMap:
    """Equal steps in lam (Lu et al. 2022, 2206.00927)."""
    lam_start, lam_end = _range(lam_start, lam_end)
    return GridMap(process, lambda u: _between(lam_start, lam_end, u), "uniform-lam")


def wavy_lam(process: Process, lam_start: float, lam_end: float, waves: int = 2) -> GridMap:
    """Smooth test grid whose step ratios swing: ``u + 0.3 sin(2 pi k u)/(2 pi k)`` for u.

    A uniform grid hides every mistake in step ratios; this one does not. Steps vary by 0.7 .. 1.3.
    """
    lam_start, lam_end = _range(lam_start, lam_end)
    if isinstance(waves, bool) or not isinstance(waves, Integral) or waves < 1:
        msg = f"a wavy grid needs a whole number of waves, at least 1, got {waves!r}"
        raise InvalidGridError(msg)
    k = 2 * math.pi * int(waves)

    def lam(u: float) -> float:
        return _between(lam_start, lam_end, u + 0.3 * math.sin(k * u) / k)

    return GridMap(process, lam, "wavy-lam")


def power_t(process: Process, t_start: float, t_end: float, power: float = 1.0) -> GridMap:
    """``t^(1/power)`` equidistant: power 1 is uniform in time, 2 the quadratic grid of DDIM."""
    t_start, t_end = _number(t_start, "t_start"), _number(t_end, "t_end")
    if not (0 <= t_end < t_start <= process.t_max):
        msg = f"need 0 <= t_end < t_start <= {process.t_max}, got t_start={t_start}, t_end={t_end}"
        raise InvalidGridError(msg)
    if not 0 < power < math.inf:
        msg = f"the power of a grid must be a positive finite number, got {power}"
        raise InvalidGridError(msg)
    a, b = t_start ** (1 / power), t_end ** (1 / power)
    ends = {0.0: t_start, 1.0: t_end}  # a root and its power do not cancel exactly

    def lam(u: float) -> float:
        return float(process.lam(ends[u] if u in ends else _between(a, b, u) ** power))

    return GridMap(process, lam, f"power-t-{power:g}")


def karras(process: Process, rho_max: float, rho_min: float, exponent: float = 7.0) -> GridMap:
    """``(sigma/alpha)^(1/exponent)`` equidistant (Karras et al. 2022, 2206.00364, eq. 5).

    The paper's rho = 7 is the exponent here; ``rho`` in this project is ``sigma/alpha``.
    """
    rho_max, rho_min = _number(rho_max, "rho_max"), _number(rho_min, "rho_min")
    if not (0 < rho_min < rho_max < math.inf):
        msg = f"need 0 < sigma_min < sigma_max, got {rho_min} and {rho_max}"
        raise InvalidGridError(msg)
    if not 0 < exponent < math.inf:
        msg = f"the exponent of a grid must be a positive finite number, got {exponent}"
        raise InvalidGridError(msg)
    try:
        a, b = rho_max ** (1 / exponent), rho_min ** (1 / exponent)
    except OverflowError as error:
        msg = f"the exponent {exponent} is too small for levels from {rho_max} to {rho_min}"
        raise InvalidGridError(msg) from error
    ends = {0.0: -math.log(rho_max), 1.0: -math.log(rho_min)}

    def lam(u: float) -> float:
        return ends[u] if u in ends else -exponent * math.log(_between(a, b, u))

    return GridMap(process, lam, f"karras-{exponent:g}")


def sinh_lam(
    process: Process, lam_start: float, lam_end: float, size: float = 2.0, stretch: float = 0.8
) -> GridMap:
    """Equal steps in ``zeta = asinh(size alpha/sigma)``, stretched towards the end.

    The clock in which the data prediction of every Gaussian law with standard deviations up to
    ``size`` is equally smooth everywhere: one long step through the noise, where all is linear in
    alpha/sigma, then steps equal in lam. Near the end errors are no longer amplified and steps may
    grow: ``zeta ~ (u + stretch u^4)/(1 + stretch)``. For few evaluations; no law was looked at
    beyond the size of its data.
    """
    lam_start, lam_end = _range(lam_start, lam_end)
    if not (0 < size < math.inf and 0 <= stretch < math.inf):
        msg = f"need a positive finite size and a stretch >= 0, got {size} and {stretch}"
        raise InvalidGridError(msg)
    try:
        low, high = (math.asinh(size * math.exp(lam)) for lam in (lam_start, lam_end))
    except OverflowError as error:
        msg = f"the clock asinh(size alpha/sigma) does not reach to lam = {lam_end}"
        raise InvalidGridError(msg) from error
    ends = {0.0: lam_start, 1.0: lam_end}

    def lam(u: float) -> float:
        if u in ends:
            return ends[u]
        zeta = _between(low, high, (u + stretch * u**4) / (1.0 + stretch))
        if not zeta > 0:
            msg = f"the grid does not reach to u = {u}: no level is that far in the noise"
            raise InvalidGridError(msg)
        return math.log(math.sinh(zeta) / size)

    return GridMap(process, lam, "sinh-lam")


def _between(a: float, b: float, u: float) -> float:
    """From a at u = 0 to b at u = 1, both ends exact."""
    return (1.0 - u) * a + u * b


def is_nested(coarse: Grid, fine: Grid) -> bool:
    """Whether every lam of ``coarse`` is one of ``fine``'s, bit for bit."""
    return bool(np.isin([n.lam for n in coarse.nodes], [n.lam for n in fine.nodes]).all())
