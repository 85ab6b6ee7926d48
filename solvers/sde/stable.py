"""Three classes of neural equations that cannot explode (Oh, Lim & Kim 2024, arXiv:2402.14989).

=========  ====================================================  ================================
LSDE       ``dz = gamma(z) dt + sigma(t) dW``                    gamma = -grad U: the stationary
                                                                 law is exp(-2 U/sigma^2)
LNSDE      ``dz = gamma(t, z) dt + sigma(t) z dW``               gamma = -a z: E z^2 decays iff
                                                                 sigma^2 < 2 a
GSDE       ``dz = gamma(t, z) z dt + sigma(t) z dW``             never changes sign
=========  ====================================================  ================================

All in Ito's calculus, each coordinate with a noise of its own.  A step of Euler or Milstein of the
last one may cross zero all the same; :class:`LogForm` solves ``y = log|z|``,
``dy = (gamma - sigma^2/2) dt + sigma dW``, an equation with additive noise, for which every method
of strong order 1.5 is at hand and which is exact where gamma and sigma are constant.  Zero is
absorbing for a geometric equation, and for every step of it.

What a shift of the data does is bounded, see :func:`shift_bound`.  Existence is of the equation,
not of the step: Euler's steps of a drift that grows faster than linearly may explode where the
solution does not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import AnalysisError, ShapeError
from .problem import SDE, Field

Scale = Callable[[float], float]


def langevin(gamma: Callable[[Tensor], Tensor], sigma: Scale) -> SDE:
    """Langevin-type equation: a drift without time, additive noise."""
    return SDE(lambda _, z: gamma(z), lambda t, _: sigma(t), noise="additive")


def linear_noise(gamma: Field, sigma: Scale) -> SDE:
    """Linear-noise equation: any drift, diffusion ``sigma(t) z``."""
    return SDE(gamma, lambda t, z: sigma(t) * z, signed=True)


def geometric(gamma: Field, sigma: Scale) -> SDE:
    """Geometric equation, whose drift and diffusion are both proportional to z."""
    return SDE(lambda t, z: gamma(t, z) * z, lambda t, z: sigma(t) * z, signed=True)


def shift_bound(
    t: float, start: float, shift: float, *, contraction: float, lipschitz: float = 1.0
) -> float:
    """How far two solutions on one path can be apart, whose controls differ by ``shift``.

    ``e^{-k t} start + lipschitz shift (1 - e^{-k t})/k``, the solution of ``e' = -k e + L shift``.
    With a drift of one-sided constant -m, ``(gamma(z) - gamma(z')).(z - z') <= -m |z - z'|^2``,
    and Lipschitz constant L in the control, on one Brownian path:

    * Langevin-type, k = m: for ``|z - z'|``, on *every* path, for the noise cancels;
    * linear noise, k = m - sigma^2/2: for the root of ``E |z - z'|^2``;
    * geometric, gamma decreasing in |z|, k = 0: for ``|log(z/z')|`` of a coordinate, every path.

    Parameters
    ----------
    t : float
        Time since the start.
    start, shift : float
        Distance of the starts, and largest distance of the controls.
    contraction, lipschitz : float
        k and L; k may be 0 or negative, and then the bound grows.

    Raises
    ------
    AnalysisError
        If a number is negative that must not be, or not finite.
    """
    numbers = (t, start, shift, lipschitz)
    if not (all(0 <= v < math.inf for v in numbers) and math.isfinite(contraction)):
        msg = (
            "time, distances and the Lipschitz constant must be finite and >= 0, the contraction "
            f"finite; got {numbers} and {contraction}"
        )
        raise AnalysisError(msg)
    if -contraction * t > math.log(sys.float_info.max):
        return math.inf if start or lipschitz * shift else 0.0
    grown = -math.expm1(-contraction * t) / contraction if contraction else t
    return math.exp(-contraction * t) * start + lipschitz * shift * grown


class LogForm:
    """The geometric equation in ``y = log|z|``, the signs kept aside.

    Parameters
    ----------
    gamma : callable
        Rate ``gamma(t, z)``, of the shape of z; it is given z, not y.
    sigma : callable
        ``sigma(t)``, a number.
    z : Tensor
        Start, shape (B, *D), without zeros (zero stays zero: there is nothing to solve).

    Raises
    ------
    ShapeError
        If a start is zero.
    """

    def __init__(self, gamma: Field, sigma: Scale, z: Tensor) -> None:
        if bool((z == 0).any()):
            msg = "the logarithm of a geometric equation needs starts that are not zero, got 0"
            raise ShapeError(msg)
        self.gamma, self.sigma, self.sign = gamma, sigma, z.sign()
        self.start = z.abs().log()

    @property
    def sde(self) -> SDE:
        """The equation of y."""
        return SDE(self._drift, lambda t, _: self.sigma(t), noise="additive")

    def _drift(self, t: float, y: Tensor) -> Tensor:
        return self.gamma(t, self.back(y)) - 0.5 * self.sigma(t) ** 2

    def back(self, y: Tensor) -> Tensor:
        """``z = sign(z_0) e^y``."""
        return self.sign * torch.exp(y)
