r"""Linear models, right and wrong, and the exact laws that every eta-SDE makes of them.

In the clock ``lam`` and the variable ``u = x/alpha`` all forward processes are one, and so are
their reverse equations: with the model's data prediction ``D``, ``rho = e^{-lam}``::

    du = (1 + eta) (D(u) - u) dlam + sqrt(2 eta) rho dW,      p_lam = N(m, C + rho^2) exactly

A linear model ``D(u) = A u + b`` keeps Gaussians Gaussian, whatever its error. Moments obey::

    mean' = (1 + eta) [(A - 1) mean + b]
    cov'  = (1 + eta) [(A - 1) cov + cov (A - 1)^T] + 2 eta rho^2

which is integrated to about 1e-10. ``eta`` is tau^2: 0 is the probability-flow ODE, 1 the reverse
SDE. Lengths are those of ``x/alpha``; the law of x has ``alpha`` times the mean and ``alpha^2``
times the covariance. In dimension one see also ``analysis/fokker_planck/gap.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from ...solvers.errors import AnalysisError
from ...solvers.process import Array

RTOL = 1e-11


class Moments(NamedTuple):
    """A Gaussian by its mean (d,) and covariance (d, d), NumPy float64."""

    mean: Array
    cov: Array


class Line(NamedTuple):
    """``u -> gain u + shift``, shapes (d, d) and (d,)."""

    gain: Array
    shift: Array


LinearModel = Callable[[float], Line]
"""``model(lam)``: the data prediction at that level as a function of ``u = x/alpha``."""


def moments_of(law: Any) -> Moments:
    """Mean and covariance of a law (``mean``, ``cov``: tensors or arrays), checked.

    Raises
    ------
    AnalysisError
        If they are no mean (d,) and symmetric covariance (d, d) without negative eigenvalues.
    """

    def host(value: Any) -> Array:
        value = value.detach().cpu() if hasattr(value, "detach") else value
        return np.asarray(value, dtype=np.float64)

    m, c = host(law.mean), host(law.cov)
    if m.ndim != 1 or not m.size or c.shape != (m.size, m.size):
        msg = f"a law needs a mean (d,) and a covariance (d, d), got {m.shape} and {c.shape}"
        raise AnalysisError(msg)
    if not (np.isfinite(m).all() and np.isfinite(c).all()):
        msg = "mean and covariance must be finite"
        raise AnalysisError(msg)
    size = float(np.abs(c).max())
    if float(np.abs(c - c.T).max()) > 1e-10 * size:
        msg = f"a covariance must be symmetric, got entries {np.abs(c - c.T).max():.3g} apart"
        raise AnalysisError(msg)
    low = float(np.linalg.eigvalsh(c)[0])
    if low < -1e-10 * size:
        msg = f"a covariance must not have a negative eigenvalue, got {low}"
        raise AnalysisError(msg)
    return Moments(m, 0.5 * (c + c.T))


def noised(law: Any, lam: float) -> Moments:
    """The exact law of ``u = x/alpha`` at a level: ``N(m, C + rho^2)``."""
    m, c = moments_of(law)
    return Moments(m, c + math.exp(-2 * lam) * np.eye(len(m)))


def exact_denoiser(law: Any) -> LinearModel:
    """``D = m + C (C + rho^2)^{-1} (u - m)``: the model without error, of any Gaussian law.

    The exact denoiser of *another* law is a wrong model whose ODE and SDE make the same law.
    """
    m, c = moments_of(law)
    values, vectors = np.linalg.eigh(c)
    values = np.maximum(values, 0.0)

    def model(lam: float) -> Line:
        gain = (vectors * (values / (values + math.exp(-2 * lam)))) @ vectors.T
        return Line(gain, m - gain @ m)

    return model


def scaled_score(law: Any, delta: float) -> LinearModel:
    """The score ``(1 + delta) s`` of a law: ``D = u + (1 + delta) (D_exact - u)``."""
    exact = exact_denoiser(law)

    def model(lam: float) -> Line:
        gain, shift = exact(lam)
        return Line((1 + delta) * gain - delta * np.eye(len(shift)), (1 + delta) * shift)

    return model


def with_error(
    model: LinearModel,
    gain: ArrayLike,
    shift: ArrayLike = 0.0,
    *,
    amplitude: Callable[[float], float] | None = None,
) -> LinearModel:
    """``D + a(lam) (gain u + shift)``.

    Parameters
    ----------
    model : LinearModel
        What is made wrong.
    gain, shift : array_like
        (d, d) and (d,); any matrix, also without symmetry: a wrong score need be no gradient.
    amplitude : callable
        a; by default ``1/(1 + e^{2 lam})``, the ``sigma^2`` of variance-preserving processes, for
        which the error of the score is ``gain x + alpha shift``.
    """
    a = amplitude or (lambda lam: 1.0 / (1.0 + math.exp(2 * lam)))
    g, e = (np.asarray(v, dtype=np.float64) for v in (gain, shift))

    def wrong(lam: float) -> Line:
        base, size = model(lam), a(lam)
        if g.shape not in ((), base.gain.shape):
            msg = f"the gain of the error must be {base.gain.shape}, got {g.shape}"
            raise AnalysisError(msg)
        if e.shape not in ((), base.shift.shape):
            msg = f"the shift of the error must be {base.shift.shape}, got {e.shape}"
            raise AnalysisError(msg)
        off = g * np.eye(len(base.shift)) if g.ndim == 0 else g
        add = np.broadcast_to(e, base.shift.shape)
        return Line(base.gain + size * off, base.shift + size * add)

    return wrong


def check_span(eta: float, span: tuple[float, float]) -> None:
    """Refuse a negative eta and a span of lam that does not increase."""
    if not 0 <= eta < math.inf:
        msg = f"eta must be finite and not negative, got {eta}: eta rho^2 is a variance"
        raise AnalysisError(msg)
    if not -math.inf < span[0] < span[1] < math.inf:
        msg = f"the span of lam runs from noise to data, so it increases; got {span}"
        raise AnalysisError(msg)


def rates(line: Line, law: Moments, eta: float, lam: float) -> Moments:
    """Derivatives of mean and covariance in lam.

    Raises
    ------
    AnalysisError
        For a model of another dimension than the law.
    """
    d = len(law.mean)
    if np.shape(line.gain) != (d, d) or np.shape(line.shift) != (d,):
        shapes = np.shape(line.gain), np.shape(line.shift)
        msg = f"a model of a law in {d} dimensions needs ({d}, {d}) and ({d},), got {shapes}"
        raise AnalysisError(msg)
    eye = np.eye(d)
    pull = line.gain - eye
    mean = (1 + eta) * (pull @ law.mean + line.shift)
    half = (1 + eta) * pull @ law.cov
    return Moments(mean, half + half.T + 2 * eta * math.exp(-2 * lam) * eye)


def integrate(
    rate: Callable[[float, Array], Array],
    start: Array,
    span: tuple[float, float],
    *,
    rtol: float = RTOL,
) -> Array:
    """The state at the end of the span, by DOP853.

    Raises
    ------
    AnalysisError
        If the integration fails: a law explodes, or a rate is no number.
    """

    def checked(lam: float, state: Array) -> Array:
        out = rate(lam, state)
        if not np.isfinite(out).all():  # SciPy would look for a step for ever
            msg = f"the moments cannot be integrated over {span}: a rate at lam = {lam} is {out}"
            raise AnalysisError(msg)
        return out

    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(checked, span, start, method="DOP853", rtol=rtol, atol=0.01 * rtol)
    if not found.success or not np.isfinite(found.y[:, -1]).all():
        msg = f"the moments cannot be integrated over {span}: {found.message}"
        raise AnalysisError(msg)
    return found.y[:, -1]


def evolve(model: LinearModel, start: Any, eta: float, span: tuple[float, float]) -> Moments:
    """Law of ``u = x/alpha`` at the end of an eta-SDE with a linear model.

    Parameters
    ----------
    model : LinearModel
        Data prediction by level.
    start : Moments or a law
        Law of u at ``span[0]``; :func:`noised` of the data gives the exact one.
    eta : float
        tau^2.
    span : (float, float)
        lam (half log-SNR) from noise to data, increasing.

    Raises
    ------
    AnalysisError
        For a negative eta, a span that does not increase, or an integration that fails.
    """
    check_span(eta, span)
    begin = moments_of(start)
    d = len(begin.mean)

    def rate(lam: float, flat: Array) -> Array:
        law = Moments(flat[:d], flat[d:].reshape(d, d))
        return np.concatenate([part.ravel() for part in rates(model(lam), law, eta, lam)])

    end = integrate(rate, np.concatenate([begin.mean, begin.cov.ravel()]), span)
    cov = end[d:].reshape(d, d)
    return Moments(end[:d], 0.5 * (cov + cov.T))
