"""The named reference problems: a law, a process and a range of noise, cited by every test.

===================  ===  ==================================================================
name                 d    what it shows
===================  ===  ==================================================================
``gaussian``         4    full covariance, variances 0.01 to 1, closed flow; a linear denoiser
``mixture``          2    five correlated components, weights .3 .2 .2 .2 .1; reference flow
``product``          3    rotated product of 1-D mixtures; nonlinear and exact
``sharp``            2    narrow modes (width 0.02) far apart: steep switches of the denoiser
``line``             1    one coordinate, three modes: for weak orders on paths
``digits-gaussian``  64   real digits, fitted Gaussian, closed flow
``digits-mixture``   64   real digits, a Gaussian for each class, reference flow
===================  ===  ==================================================================

All run on the linear variance-preserving process from ``lam = -4``; ``cold_start = -1.5`` is where
the data prediction is no longer flat, so that a solver's own start shows in its order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NoExactFlowError
from ..solvers.model import Model
from ..solvers.process import Node, Process
from ..solvers.schedules import VPLinear
from .digits import digits_gaussian, digits_mixture
from .draws import normals
from .gaussian import Gaussian
from .law import Law, exact_model
from .mixture import GaussianMixture
from .product import ProductMixture
from .reference import reference_flow


@dataclass(frozen=True, eq=False)
class Problem:
    """A law seen through a process between two levels of noise.

    Attributes
    ----------
    name : str
        Its name.
    law : Law
        The exact law.
    process : Process
        The forward process; see :meth:`on` for another one.
    lam_start, lam_end : float
        Half log-SNR at the start and at the end of sampling.
    exact : str
        Where the truth comes from: "closed form", "quantiles" or "reference 1e-10".
    cold_start : float
        Half log-SNR of the start that shows start-up errors.
    """

    name: str
    law: Law
    process: Process
    lam_start: float
    lam_end: float
    exact: str
    cold_start: float = -1.5

    @property
    def start(self) -> Node:
        """Noise level where sampling starts."""
        return self.process.node_at_lam(self.lam_start)

    @property
    def end(self) -> Node:
        """Noise level where sampling ends."""
        return self.process.node_at_lam(self.lam_end)

    def describe(self) -> dict[str, str]:
        """Name, law, process and exactness in words, for records and tables."""
        return {
            "name": self.name,
            "law": f"{self.law.name}, d = {self.law.dim}",
            "process": type(self.process).__name__,
            "exact": self.exact,
            "description": f"lam from {self.lam_start:g} to {self.lam_end:g}",
        }

    def on(self, process: Process) -> Problem:
        """The same problem on another process, between the same half log-SNRs."""
        return replace(self, process=process)

    def cold(self) -> Problem:
        """The same problem from the cold start."""
        return replace(self, lam_start=self.cold_start)

    def model(self, prediction: str = "data") -> Model:
        """The exact model of the problem, ``model(x, t)``."""
        return exact_model(self.law, self.process, prediction)

    def starts(self, n: int, seed: int = 0) -> Tensor:
        """Draw n states from the exact law at the start, (n, d); each a function of (seed, index).

        ``alpha x_0 + sigma eps`` with the same x_0 and eps for every process and start.
        """
        node, data = self.start, self.law.sample(n, seed=seed)
        eps = torch.from_numpy(normals(n, self.law.dim, seed=seed, label="start"))
        return node.alpha * data + node.sigma * eps.to(data)

    def endpoint(self, x: Tensor) -> Tensor:
        """The exact probability-flow ODE from the start to the end, (B, d).

        Raises
        ------
        FokkerError
            If a reference solution misses 1e-10.
        """
        start, end = (self.start.alpha, self.start.sigma), (self.end.alpha, self.end.sigma)
        try:
            return self.law.flow(x, start, end)
        except NoExactFlowError:
            return reference_flow(self.law, x, start, end).x


def _tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _plane_rotation(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return _tensor([[c, -s], [s, c]])


def _rotation(dim: int) -> Tensor:
    """A fixed rotation that mixes all coordinates: one plane rotation for each pair of axes."""
    out = torch.eye(dim, dtype=torch.float64)
    for i in range(dim):
        for j in range(i + 1, dim):
            plane = torch.eye(dim, dtype=torch.float64)
            turn = _plane_rotation(0.6 + 0.5 * i + 0.3 * j)
            plane[i, i], plane[i, j], plane[j, i], plane[j, j] = turn.flatten()
            out = out @ plane
    return out


def _gaussian() -> Problem:
    mean = _tensor([0.5, -0.3, 0.8, 0.1])
    law = Gaussian.from_eigen(mean, _rotation(4), _tensor([1.0, 0.3, 0.06, 0.01]))
    return Problem("gaussian", law, VPLinear(), -4.0, 3.0, "closed form")


def _mixture() -> Problem:
    axes = torch.diag(_tensor([0.25**2, 0.1**2]))
    turns = [_plane_rotation(0.7 * k) for k in range(5)]
    covs = torch.stack([turn @ axes @ turn.mT for turn in turns])
    means = _tensor([[1, 0.2], [-0.8, 0.9], [-0.5, -1], [0.9, -0.9], [0, 0.3]])
    law = GaussianMixture(_tensor([0.3, 0.2, 0.2, 0.2, 0.1]), means, covs)
    return Problem("mixture", law, VPLinear(), -4.0, 3.0, "reference 1e-10")


def _product() -> Problem:
    law = ProductMixture(
        _tensor([[0.3, 0.5, 0.2], [0.6, 0.1, 0.3], [0.2, 0.4, 0.4]]),
        _tensor([[-1.0, 0.1, 0.9], [-0.5, 0.3, 0.8], [-0.9, -0.2, 0.7]]),
        _tensor([[0.2, 0.3, 0.15], [0.25, 0.2, 0.3], [0.3, 0.15, 0.25]]),
        _rotation(3),
    )
    return Problem("product", law, VPLinear(), -4.0, 3.0, "quantiles")


def _sharp() -> Problem:
    law = ProductMixture(
        _tensor([[0.5, 0.5], [0.3, 0.7]]),
        _tensor([[-1.0, 1.0], [-0.7, 0.4]]),
        _tensor([[0.02, 0.02], [0.02, 0.05]]),
        _plane_rotation(0.4),
    )
    return Problem("sharp", law, VPLinear(), -4.0, 4.5, "quantiles")


def _line() -> Problem:
    law = ProductMixture(
        _tensor([[0.4, 0.25, 0.35]]), _tensor([[-1.0, 0.1, 0.8]]), _tensor([[0.5, 0.4, 0.4]])
    )
    return Problem("line", law, VPLinear(), -4.0, 3.0, "quantiles")


def _digits_gaussian() -> Problem:
    return Problem("digits-gaussian", digits_gaussian(), VPLinear(), -4.0, 4.0, "closed form")


def _digits_mixture() -> Problem:
    return Problem("digits-mixture", digits_mixture(), VPLinear(), -4.0, 4.0, "reference 1e-10")


_PROBLEMS: dict[str, Callable[[], Problem]] = {
    "gaussian": _gaussian,
    "mixture": _mixture,
    "product": _product,
    "sharp": _sharp,
    "line": _line,
    "digits-gaussian": _digits_gaussian,
    "digits-mixture": _digits_mixture,
}

PROBLEMS = tuple(_PROBLEMS)
"""The accepted names, in the order in which they are reported."""


@functools.cache
def problem(name: str) -> Problem:
    """The reference problem of that name, built once.

    Raises
    ------
    InvalidLawError
        For an unknown name; the sentence lists the accepted ones.

    Examples
    --------
    >>> p = problem("product")
    >>> x = p.starts(8)
    >>> truth = p.endpoint(x)
    >>> p.model()(x, p.start.t).shape
    torch.Size([8, 3])
    """
    if name not in _PROBLEMS:
        msg = f"unknown problem {name!r}; accepted: {', '.join(PROBLEMS)}"
        raise InvalidLawError(msg)
    return _PROBLEMS[name]()
