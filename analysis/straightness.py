"""Straight paths, first-order paths and exact single steps: three things, told apart.

Of a path ``x(lam)`` of a model's ODE,

* it is *straight* if its length is that of its chord: a matter of the schedule, too;
* it is of *first order* if the noise prediction, and with it the data prediction, is constant
  along it: then ``x_t = alpha_t D + sigma_t eps`` on any schedule;
* one step is *exact* if DDIM from its first to its last level ends where the path ends. It is so
  on every path of first order, and on no other, unless by coincidence.

On a flow (``alpha + sigma = 1``) first-order paths are straight; on a variance-preserving process
they are arcs of ellipses. And a straight path need not be of first order: on an isotropic Gaussian
every path runs along a ray from the mean, straight until it turns round, and one step is wrong.

Wang et al. 2025, arXiv:2410.07303, whose point this is; straightness is of Liu et al. 2022,
arXiv:2209.03003, there a mean square over their time, which here would depend on the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.model import Model
from ..solvers.process import Node


class Path(NamedTuple):
    """States of a batch along a path, (K, B, d), at K nodes in sampling order."""

    states: Tensor
    nodes: tuple[Node, ...]


def path_of(at: Callable[[Node], Tensor], nodes: Sequence[Node]) -> Path:
    """The path of an exact flow: ``at(node)`` gives the batch, (B, d), at a node.

    Raises
    ------
    AnalysisError
        For fewer than three nodes, which no property of a path can be read from.
    """
    if len(nodes) < 3:
        msg = f"a path needs at least 3 nodes, got {len(nodes)}"
        raise AnalysisError(msg)
    return Path(torch.stack([at(node) for node in nodes]), tuple(nodes))


def curvature(path: Path) -> Tensor:
    """Length over chord, minus 1, (B,): 0 iff the path is straight and never turns round.

    The length is that of the polygon of the states, at most the path's own.

    Raises
    ------
    AnalysisError
        If a path ends where it began.
    """
    steps = path.states.diff(dim=0).norm(dim=-1).sum(0)
    chord = (path.states[-1] - path.states[0]).norm(dim=-1)
    if not bool((chord > 0).all()):
        msg = "a path that ends where it began has no chord to compare its length with"
        raise AnalysisError(msg)
    return steps / chord - 1.0


def noise_variation(path: Path, model: Model) -> Tensor:
    """Standard deviation of the noise prediction along each path over its size, (B,).

    Both are root mean squares over coordinates and nodes; 0 iff the path is of first order.
    ``model(x, t)`` gives the noise prediction.
    """
    eps = torch.stack([model(x, n.t) for x, n in zip(path.states, path.nodes, strict=True)])
    spread = (eps - eps.mean(0)).square().mean((0, 2)).sqrt()
    return spread / eps.square().mean((0, 2)).sqrt()


def one_step_error(path: Path, model: Model) -> Tensor:
    """Distance of one DDIM step from the end of each path, root mean square over d, (B,).

    ``model(x, t)`` gives the data prediction; the last level may be the data themselves.
    """
    first, last, x = path.nodes[0], path.nodes[-1], path.states[0]
    data = model(x, first.t)
    keep = last.sigma / first.sigma
    step = last.alpha * data + keep * (x - first.alpha * data)
    return (step - path.states[-1]).square().mean(-1).sqrt()
