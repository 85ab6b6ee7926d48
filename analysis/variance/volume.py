r"""Points for a fit: independent, determinantal, and volume-sampled.

With orthonormal ``phi_1 .. phi_m`` and ``Phi_ij = phi_j(x_i)``:

* *determinantal*: m points of density ``det(Phi)^2/m!`` with respect to nu^m; they repel.
  Interpolation there has the coefficients ``c + Phi^{-1} e`` with e the part of f outside the
  span: their mean is that of the projection, exactly, and each has the variance ``|e|^2``;
* *volume-sampled*: n >= m points of density proportional to
  ``det(Phi^T W Phi) prod k(x_i)/m`` with W = diag(m/k), which is m determinantal points and
  ``n - m`` independent ones of density k/m. The least-squares fit with the weights m/k is without
  bias.

The determinantal points are drawn one after another: the next has density proportional to the
squared distance of ``phi(x)`` from the span of those at the points before, by rejection from k.
A rejection of all m at once would need the largest determinant (135 for m = 3 on [-1, 1]), and any
smaller envelope a bias.

Source: Hough, Krishnapur, Peres, Virag 2006, arXiv:math/0503110 (sampling); Derezinski, Warmuth,
Hsu 2018, arXiv:1802.06749 (volume); Nouy and Michel 2023, arXiv:2312.14057.
"""

from __future__ import annotations

import numpy as np

from ...solvers.errors import AnalysisError
from ..fokker_planck.errors import TooFewSamplesError
from .bases import Array, Basis

TRIES = 100
"""Proposals for one point, in m, of which m are needed on average for the last: e^-100."""


def independent(basis: Basis, n: int, repeats: int, *, seed: int) -> Array:
    """Points of density ``k/m``, (repeats, n, d)."""
    x = basis.draw(n * repeats, np.random.default_rng([seed, 1]))
    return x.reshape(repeats, n, x.shape[1])


def determinantal(basis: Basis, repeats: int, *, seed: int) -> Array:
    """As many points as functions, of density ``det(Phi)^2/m!``, (repeats, m, d), in random order.

    Raises
    ------
    AnalysisError
        If no point far from the others is found: the basis is not orthonormal.
    """
    rng, m = np.random.default_rng([seed, 0]), basis.size
    spans = np.zeros((repeats, m, m))  # orthonormal rows: features of the points so far
    out: list[Array] = []
    for i in range(m):
        found, waiting = np.empty(0), np.arange(repeats)
        for _ in range(TRIES * m):
            x = basis.draw(len(waiting), rng)
            features = basis.values(x)
            rest = features
            for _ in range(2):  # once more, for orthogonality to rounding
                inner = np.einsum("rij,rj->ri", spans[waiting, :i], rest)
                rest = rest - np.einsum("rij,ri->rj", spans[waiting, :i], inner)
            far, whole = np.square(rest).sum(1), np.square(features).sum(1)
            taken = rng.random(len(waiting)) * whole < far
            if not found.size:
                found = np.empty((repeats, x.shape[1]))
            rows = waiting[taken]
            found[rows] = x[taken]
            spans[rows, i] = rest[taken] / np.sqrt(far[taken])[:, None]
            waiting = waiting[~taken]
            if not len(waiting):
                break
        else:
            msg = f"no point {i + 1} of {m} in {TRIES * m} proposals; is the basis orthonormal?"
            raise AnalysisError(msg)
        out.append(found)
    return np.stack(out, 1)


def volume_sampled(basis: Basis, n: int, repeats: int, *, seed: int) -> Array:
    """Points for a fit, n >= m, (repeats, n, d): m determinantal ones, then independent ones.

    Raises
    ------
    TooFewSamplesError
        For fewer points than functions.
    """
    if n < basis.size:
        msg = f"{n} points cannot tell {basis.size} functions apart; {basis.size} would be enough"
        raise TooFewSamplesError(msg, needed=basis.size)
    first = determinantal(basis, repeats, seed=seed)
    more = independent(basis, n - basis.size, repeats, seed=seed)
    return np.concatenate([first, more], 1)
