r"""DPM-OT: most of the trajectory replaced by one optimal map from noise to noised data.

Li, Li, Wang, Lei, Luo & Gu 2023, arXiv:2307.11308. Data points are brought to a middle level of
noise, ``y_j = alpha x_j + sigma eps_j``; the optimal map from N(0, I) to these atoms is fitted
once; a sample is the image of fresh noise, brought to the data by a few steps of any sampler from
that level. The map jumps between atoms, so nothing is spread out between modes by it.

What is lost: there are as many latents as atoms, so a deterministic sampler can give no more than
K different samples, and from a low level each is close to its training point. Distances to the
nearest training point belong to every result (see :func:`memorisation`). The published code draws
uniform noise both to fit and to sample; here the source is N(0, I), and noise of another law is
refused where it is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checks import check_state
from ..errors import InvalidLawError, ShapeError
from ..grids import GridMap, uniform_lam
from ..model import Model
from ..process import Node, Process
from ..registry import Sampler, get
from ..run import run
from .semi_discrete import SemiDiscreteMap, semi_discrete
from .semi_discrete_sources import Source, standard_normal


@dataclass(frozen=True, eq=False)
class DpmOt:
    """A fitted shortcut from N(0, I) to noised data.

    Attributes
    ----------
    process : Process
        The forward process.
    node : Node
        The level of the latents.
    shape : torch.Size
        Shape of one sample, D.
    map : SemiDiscreteMap
        The map of flattened noise; says whether it converged and by how much.
    """

    process: Process
    node: Node
    shape: torch.Size
    map: SemiDiscreteMap

    def latents(self, z: Tensor, source: Source | None = None) -> Tensor:
        """States at the level of the node from standard normal noise z (B, *D), in its dtype.

        Raises
        ------
        ShapeError
            If z is not (B, *D).
        InvalidLawError
            If ``source`` is named and is not N(0, I), for which the map was fitted.
        """
        check_state(z, "z")
        if z.shape[1:] != self.shape:
            wanted = ", ".join(map(str, ("B", *self.shape)))
            msg = f"z must be of shape ({wanted}), got {tuple(z.shape)}"
            raise ShapeError(msg)
        flat = z.detach().to("cpu", torch.float64).flatten(1)
        return self.map(flat, source).reshape(z.shape).to(z)

    def sample(
        self,
        model: Model,
        sampler: str | Sampler,
        z: Tensor,
        *,
        steps: int,
        lam_end: float,
        grids: GridMap | None = None,
        source: Source | None = None,
        noise: Any = None,
        **options: Any,
    ) -> Tensor:
        """Samples (B, *D): the latents of z, then ``steps`` steps of a registered sampler.

        Parameters
        ----------
        model : callable
            ``model(x, t)`` of the prediction that the sampler asks for.
        sampler : str or Sampler
            Any sampler of the registry.
        z : Tensor
            Standard normal noise, (B, *D).
        steps, lam_end : int, float
            Steps from the level of the node to ``lam_end``, uniform in lam unless ``grids`` says
            otherwise.
        grids, source, noise, options
            A family of grids from the same level; the law of z, to be checked; the seed of a
            stochastic sampler; and its options.

        Raises
        ------
        InvalidLawError
            If ``grids`` does not begin at the level of the latents, or ``source`` is not N(0, I).
        """
        entry = get(sampler) if isinstance(sampler, str) else sampler
        family = grids or uniform_lam(self.process, self.node.lam, lam_end)
        grid = family.grid(steps)
        if abs(grid[0].lam - self.node.lam) > 1e-9 * (1 + abs(self.node.lam)):
            msg = f"the grid must begin at lam = {self.node.lam:.6g}, got {grid[0].lam:.6g}"
            raise InvalidLawError(msg)
        x = self.latents(z, source)
        if entry.kind == "plan":
            return run(entry(self.process, grid, **options), model, x, noise=noise).x
        settings = {**entry.options, **options}
        return entry.build(model, self.process, grid, x, noise=noise, **settings).x


def fit_dpm_ot(
    process: Process,
    data: Tensor,
    lam: float,
    *,
    copies: int = 1,
    seed: int = 0,
    samples: int | None = None,
    tolerance: float | None = None,
) -> DpmOt:
    """Fit the map from N(0, I) to data noised to the level ``lam``.

    Parameters
    ----------
    process : Process
        The forward process.
    data : Tensor
        Training points (n, *D), finite.
    lam : float
        Half log-SNR of the middle level: high, and samples are training points; low, and the few
        steps have to do all the work.
    copies : int
        Noised copies of each training point; there are ``copies * n`` atoms of equal weight.
    seed : int
        Of the noise of the atoms.
    samples, tolerance
        As for :func:`semi_discrete`.

    Raises
    ------
    InvalidLawError
        If there are no copies, or the data are not finite.
    """
    check_state(data, "data")
    if copies < 1:
        msg = f"copies must be at least 1, got {copies}"
        raise InvalidLawError(msg)
    node = process.node_at_lam(lam)
    x = data.detach().to("cpu", torch.float64).flatten(1).repeat(copies, 1)
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape))
    atoms = node.alpha * x + node.sigma * noise
    source = standard_normal(x.shape[1])
    fitted = semi_discrete(source, atoms, samples=samples, tolerance=tolerance)
    return DpmOt(process, node, data.shape[1:], fitted)


class Memorisation(NamedTuple):
    """How close samples are to training data.

    ``to_data``: median distance of a sample to its nearest training point; ``among_data``: of a
    training point to its nearest other one; ``ratio`` of the two, about 1 for fresh samples, 0 for
    copies, and infinite where most training points are repeated; ``distinct``: how many different
    samples there are, to six digits.
    """

    to_data: float
    among_data: float
    ratio: float
    distinct: int


def nearest_distances(x: Tensor, data: Tensor) -> Tensor:
    """Distance of each sample (B, *D) to its nearest training point (n, *D), (B,)."""
    if x.shape[1:] != data.shape[1:] or not len(data):
        msg = f"samples and data must be of one shape, got {tuple(x.shape)}, {tuple(data.shape)}"
        raise ShapeError(msg)
    return torch.cdist(
        x.flatten(1).double(),
        data.flatten(1).double(),
        compute_mode="donot_use_mm_for_euclid_dist",
    ).amin(1)


def memorisation(x: Tensor, data: Tensor) -> Memorisation:
    """Compare nearest distances of samples (B, *D) to training data (n, *D), n >= 2.

    Raises
    ------
    ShapeError
        If shapes differ, or there are fewer than two training points.
    """
    if len(data) < 2:
        msg = f"nearest distances among data need two points, got {len(data)}"
        raise ShapeError(msg)
    to_data = float(nearest_distances(x, data).median())
    flat = data.flatten(1).double()
    among = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    among_data = float(among.fill_diagonal_(torch.inf).amin(1).median())
    scale = float(data.abs().max()) or 1.0
    distinct = len(torch.unique((x.flatten(1).double() / scale * 1e6).round(), dim=0))
    apart = math.inf if to_data else 0.0  # where training points are repeated
    ratio = to_data / among_data if among_data else apart
    return Memorisation(to_data, among_data, ratio, distinct)
