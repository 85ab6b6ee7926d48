"""Regions of absolute stability in the complex plane: the boundary locus, and growth on a grid.

On ``y' = z y`` (see :mod:`.stability`) a linear multistep sampler, with momentum or without, obeys
one recurrence whose characteristic polynomial is affine in z, ``A(w) + z B(w)``. A root w on the
unit circle belongs to exactly one z, so that the boundary of the region lies on the curve ::

    z(theta) = -A(e^{i theta}) / B(e^{i theta}),   0 <= theta < 2 pi

The curve may have loops outside of the region; :func:`growths` tells which side is stable. Stages
of Runge-Kutta samplers make the polynomial nonlinear in z: they have a region, and no such curve.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..solvers.errors import AnalysisError
from ..solvers.process import Array
from .stability import Symbol

_AT = (-0.31, -0.77)  # two z at which the polynomial is read off; a third one checks
_CHECK = -0.53 + 0.41j
_ORIGIN = 1e-9  # crossings nearer to 0 are the origin itself


def _affine(symbol: Symbol) -> tuple[np.ndarray, np.ndarray]:
    """Polynomials (A, B), highest power first, of equal length."""
    found = [symbol.recurrence(z) for z in (*_AT, _CHECK)]
    size = {len(p) for p in found}
    if len(size) == 1:
        slope = (found[1] - found[0]) / (_AT[1] - _AT[0])
        constant = found[0] - _AT[0] * slope
        if np.allclose(constant + _CHECK * slope, found[2], rtol=0, atol=1e-8):
            return constant, slope
    msg = (
        "the recurrence of this sampler is not affine in z: only linear multistep samplers have a "
        "boundary locus; take growths() on a grid"
    )
    raise AnalysisError(msg)


def boundary_locus(symbol: Symbol, angles: ArrayLike) -> np.ndarray:
    """The z that have a root ``e^{i theta}``; complex, one for each angle (infinite where B = 0).

    Raises
    ------
    AnalysisError
        If the recurrence is not affine in z.
    """
    constant, slope = _affine(symbol)
    w = np.exp(1j * np.asarray(angles, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.polyval(constant, w) / np.polyval(slope, w)


def real_limit(symbol: Symbol) -> float:
    """The end z < 0 of the real interval ``[z, 0]`` of stability, from the boundary locus.

    The locus crosses the real axis at theta = pi, and where its imaginary part changes sign; the
    nearest crossing left of 0 beyond which a root has left the unit disc is the answer.

    Raises
    ------
    AnalysisError
        If the recurrence is not affine in z, or no negative z is stable, or all are.
    """
    constant, slope = _affine(symbol)
    angles = np.linspace(0.0, np.pi, 2001)[1:]
    curve = boundary_locus(symbol, angles)
    crossings = [float(np.real(curve[-1]))]
    signs = np.sign(np.imag(curve[:-1]))
    for i in np.flatnonzero(signs[1:] * signs[:-1] < 0):
        a, b = angles[i], angles[i + 1]
        for _ in range(60):
            middle = 0.5 * (a + b)
            inside = float(np.imag(boundary_locus(symbol, middle))) * signs[i] > 0
            a, b = (middle, b) if inside else (a, middle)
        crossings.append(float(np.real(boundary_locus(symbol, a))))

    def stable(z: float) -> bool:
        return bool(np.abs(np.roots(constant + z * slope)).max() <= 1.0)

    for z in sorted((c for c in crossings if c < -_ORIGIN and np.isfinite(c)), reverse=True):
        if stable(z * (1 - 1e-6)) and not stable(z * (1 + 1e-6)):
            return z
    msg = "the stability region has no end on the negative real axis, or does not reach it"
    raise AnalysisError(msg)


def growths(symbol: Symbol, real: ArrayLike, imaginary: ArrayLike) -> Array:
    """Growth factor a step on a grid of z, shape (len(imaginary), len(real)); stable where <= 1.

    For samplers with a recurrence that is affine in z; others are evaluated one z at a time.
    """
    x, y = np.asarray(real, dtype=np.float64), np.asarray(imaginary, dtype=np.float64)
    z = x[None, :] + 1j * y[:, None]
    try:
        constant, slope = _affine(symbol)
    except AnalysisError:
        return np.array([[symbol.growth(complex(v)) for v in row] for row in z])
    lead = constant[0] + z * slope[0]
    rest = (constant[1:] + z[..., None] * slope[1:]) / lead[..., None]
    count = rest.shape[-1]
    companion = np.zeros((*z.shape, count, count), dtype=complex)
    companion[..., 0, :] = -rest
    companion[..., np.arange(1, count), np.arange(count - 1)] = 1.0
    return np.abs(np.linalg.eigvals(companion)).max(axis=-1)
