"""The mirrored process: signal and noise change places, so that samplers run from data to noise.

Along the probability-flow ODE ``dx = D dalpha + eps dsigma``: nothing tells D and alpha from eps
and sigma. So with ``alpha' = sigma``, ``sigma' = alpha``, ``D' = eps``, ``eps' = D`` and hence
``lam' = -lam`` it is an ODE of the same form, and the sampler of any registered method on the
mirrored grid carries data to noise, with the order that it has. This is *encoding*. It is not the
inverse of a plan (:func:`..plan_algebra.invert`), which undoes one sampler step by step.

The SDEs have no mirror: noise is put in on one side only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..grids import Grid
from ..model import Model
from ..process import Array, Node, Process

MIRRORED = {"data": "noise", "noise": "data"}
"""Which prediction of the process is which of its mirror image."""


@dataclass(frozen=True)
class Mirrored(Process):
    """``base`` with ``alpha`` and ``sigma`` exchanged, on the clock ``t' = t_max - t``.

    Small times t are had from t' with an absolute rounding error of ``t_max`` 1e-16.

    Examples
    --------
    >>> from fokker.solvers.schedules import VPLinear
    >>> process = Mirrored(VPLinear())
    >>> float(process.alpha(process.t_max)), float(process.sigma(process.t_max))
    (0.0, 1.0)
    """

    base: Process

    @property
    def t_max(self) -> float:
        """That of the base: there the base has its data."""
        return self.base.t_max

    def _log_alpha(self, t: Array) -> Array:
        return self.base.log_sigma(self.t_max - t)

    def _log_sigma(self, t: Array) -> Array:
        return self.base.log_alpha(self.t_max - t)

    def _t_of_lam(self, lam: Array) -> Array:
        return self.t_max - self.base.t_of_lam(-lam)

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``log sigma = log alpha - lam`` of the base at ``-lam``."""
        lam = np.asarray(lam, dtype=np.float64)
        return self.base.log_alpha_of_lam(-lam) + lam

    def _f(self, t: Array) -> Array:
        """``dlog sigma/dt = f - dlam/dt``, and time runs the other way.

        Where both are infinite, at an end, the value is one from just inside.
        """
        rate = self._rate(t)
        inside = np.clip(t, 2.0**-26 * self.t_max, (1.0 - 2.0**-26) * self.t_max)
        return np.where(np.isnan(rate), self._rate(inside), rate)

    def _rate(self, t: Array) -> Array:
        return self.base.dlam_dt(self.t_max - t) - self.base.f(self.t_max - t)

    def _dlam_dt(self, t: Array) -> Array:
        return self.base.dlam_dt(self.t_max - t)

    def _g2(self, t: Array) -> Array:
        """``-2 alpha^2 dlam/dt``; zero where alpha vanishes, as it does linearly if at all."""
        alpha = self.base.alpha(self.t_max - t)
        rate = np.where(alpha == 0.0, 0.0, self.base.dlam_dt(self.t_max - t))
        return -2.0 * alpha * alpha * rate


def mirrored_grid(process: Process, grid: Grid) -> Grid:
    """The nodes of a grid as nodes of the mirrored process, data first; every lam is kept."""
    return Grid(
        tuple(
            Node(process.t_max - n.t, -n.lam, n.sigma, n.alpha, n.log_sigma, n.log_alpha)
            for n in reversed(grid.nodes)
        )
    )


def mirrored_model(model: Model, process: Process) -> Model:
    """A model of the process as a model of its mirror: what it calls noise is data there."""
    return lambda x, t: model(x, _time(process, t))


def _time(process: Process, t: Any) -> Any:
    return process.t_max - t
