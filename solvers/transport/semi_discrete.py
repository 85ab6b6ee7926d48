r"""Optimal maps from a continuous law to weighted atoms: Newton's method on the dual.

The dual of ``min E |x - T(x)|^2`` over maps that send mass w_j to y_j is concave::

    max over psi of  E min_j (|x - y_j|^2 - psi_j) + sum_j w_j psi_j

with gradient ``w_j - mass_j`` and a sparse Hessian, the exchange of mass between cells that share
a face. A damped Newton's method keeps every cell non-empty and converges from any start with
non-empty cells (Kitagawa, Merigot & Thibert 2019, arXiv:1603.05579).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import parameter, points
from ..parameters import weights as checked_weights
from .semi_discrete_cells import CellRule, Cells, LineCells, RayCells
from .semi_discrete_centre import centred
from .semi_discrete_points import PointCells
from .semi_discrete_polygons import PolygonCells
from .semi_discrete_sources import Box, Line, Normals, Source, same_law

Array = NDArray[np.float64]
_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class SemiDiscreteMap:
    r"""The optimal map from a continuous law to atoms, for the cost ``|x - y|^2``.

    ``T(x) = y_j`` on the cell ``{x : |x - y_j|^2 - psi_j is least}``; the same in terms of
    Brenier's potential ``max_j (x . y_j + h_j)`` is ``h_j = (psi_j - |y_j|^2)/2``. The gauge is
    ``sum psi = 0``. T jumps between cells, so it has no values between two atoms. It is optimal
    for its ``source`` only: noise of another law has other shares, whatever the formula of T.

    Attributes
    ----------
    source : Source
        The law that the map was fitted to.
    atoms, weights, potential, masses : Tensor
        y (K, d), w (K,), psi (K,), and the mass of each cell by the rule of the fit, (K,).
    cost : float
        ``E |x - T(x)|^2``; W2^2 where the marginal error is 0.
    dual : float
        Value of the dual, ``cost + sum psi_j (w_j - mass_j)``: a lower bound of W2^2 as far as
        the rule of the fit is exact.
    marginal_error : float
        ``sum_j |mass_j - w_j|``, by the rule of the fit.
    tolerance : float
        The marginal error that was asked for.
    iterations : int
        Newton steps.
    converged : bool
        Whether the marginal error is within the tolerance.
    method : str
        How cells were weighed.
    """

    source: Source
    atoms: Tensor
    weights: Tensor
    potential: Tensor
    masses: Tensor
    cost: float
    tolerance: float
    iterations: int
    method: str
    marginal_error: float = field(init=False)
    dual: float = field(init=False)

    def __post_init__(self) -> None:
        missing = self.weights - self.masses
        self.__dict__["marginal_error"] = float(missing.abs().sum())
        self.__dict__["dual"] = self.cost + float(self.potential @ missing)

    @property
    def converged(self) -> bool:
        """Whether the marginal error is within the tolerance."""
        return self.marginal_error <= self.tolerance

    @property
    def heights(self) -> Tensor:
        """``h_j = (psi_j - |y_j|^2)/2`` of Brenier's potential, (K,)."""
        return 0.5 * (self.potential - self.atoms.square().sum(1))

    def assign(self, x: Tensor, source: Source | None = None) -> Tensor:
        """Index of the cell of each point x (B, d), (B,).

        Raises
        ------
        InvalidLawError
            If a ``source`` is named and is not the law that the map was fitted to.
        """
        if source is not None:
            self.require(source)
        centre = self.atoms.mean(0)  # or the squares of far atoms drown their distances
        y = self.atoms - centre
        heights = 0.5 * (self.potential - y.square().sum(1))
        return ((points(x, self.atoms) - centre) @ y.mT + heights).argmax(1)

    def __call__(self, x: Tensor, source: Source | None = None) -> Tensor:
        """T(x) for points x of shape (B, d); name their ``source`` to have it checked.

        Raises
        ------
        InvalidLawError
            If a ``source`` is named and is not the law that the map was fitted to.
        """
        return self.atoms[self.assign(x, source)]

    def require(self, source: Source) -> None:
        """Raise unless ``source`` is the law of the fit."""
        if not same_law(self.source, source):
            msg = (
                f"this map was fitted to a source that is {_words(self.source)}, and is not the "
                f"optimal map of one that is {_words(source)}: fit it again"
            )
            raise InvalidLawError(msg)

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """``n`` draws x of the source and their images, both (n, d)."""
        x = torch.from_numpy(self.source.draw(n, seed))
        return x, self(x)


def _words(source: Source) -> str:
    moments = ", ".join(f"{v:.3g}" for v in source.mean[:3])
    spread = source.second_moment - float(source.mean @ source.mean)
    return f"{source.name} (d = {source.dim}, mean {moments}, total variance {spread:.4g})"


def semi_discrete(
    source: Source,
    atoms: Any,
    weights: Any = None,
    *,
    samples: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 100,
) -> SemiDiscreteMap:
    """Fit the optimal map from ``source`` to atoms.

    Parameters
    ----------
    source : Source
        :class:`Box`, :class:`Normals` (see :func:`normal`), :class:`Line` or :class:`Sampled`.
    atoms : array
        y, shape (K, d), all different.
    weights : array, optional
        w, shape (K,), positive, sum 1; equal if left out.
    samples : int, optional
        Lines a component (Gaussians, d >= 2; 2048 unless given) or points (boxes in d >= 3, other
        laws; 65536). Not used where cells are exact: laws on a line, uniform in a rectangle.
    tolerance : float, optional
        Marginal error to stop at; 1e-11 for exact cells, 1e-10 on lines, K/samples with points.
    max_iterations : int
        Most Newton steps. A fit that stops before its tolerance says so in ``converged``.

    Raises
    ------
    InvalidLawError
        If atoms repeat, are not finite or of another dimension than the source, if weights are
        not positive or do not sum to 1, or if numbers asked for make no sense.

    Examples
    --------
    >>> from fokker.solvers.transport.semi_discrete_sources import Box
    >>> fit = semi_discrete(Box([0.0], [1.0]), [[0.1], [0.2], [0.7], [1.3]], [0.1, 0.4, 0.3, 0.2])
    >>> round(fit.cost, 12), fit.converged
    (0.045333333333, True)
    """
    y, w = _targets(source, atoms, weights)
    near, centre = centred(source)
    z = y - centre
    rule = _rule(near, z, samples)
    goal = rule.tolerance if tolerance is None else tolerance
    if not goal > 0 or max_iterations < 0:
        msg = f"tolerance must be positive and steps at least 0, got {goal} and {max_iterations}"
        raise InvalidLawError(msg)
    if isinstance(rule, LineCells):
        psi, steps = rule.optimal(w), 0
        cells = rule(psi)
    else:
        psi, cells, steps = newton(rule, w, _start(near, z, w), goal, max_iterations)
    found = [torch.from_numpy(v) for v in (y, w, psi - psi.mean(), cells.masses)]
    atoms, weights, potential, masses = found
    return SemiDiscreteMap(
        source, atoms, weights, potential, masses, cells.cost, goal, steps, rule.method
    )


def _targets(source: Source, atoms: Any, weights: Any) -> tuple[Array, Array]:
    y = parameter(atoms, "atoms", (None, None)).to(torch.float64)
    count, dim = y.shape
    if dim != source.dim:
        msg = f"atoms must have the dimension of the source, {source.dim}, got {dim}"
        raise InvalidLawError(msg)
    _, which, copies = np.unique(y.numpy(), axis=0, return_inverse=True, return_counts=True)
    if int(copies.max()) > 1:
        first, again = np.flatnonzero(which.ravel() == int(copies.argmax()))[:2]
        msg = f"atoms must all be different, got atom {first} again as atom {again}"
        raise InvalidLawError(msg)
    if weights is None:
        return y.numpy(), np.full(count, 1.0 / count)
    return y.numpy(), checked_weights(torch.as_tensor(weights, dtype=torch.float64), count).numpy()


def _rule(source: Source, atoms: Array, samples: int | None) -> CellRule:
    if samples is not None and samples < 2:
        msg = f"samples must be at least 2, got {samples}"
        raise InvalidLawError(msg)
    if isinstance(source, Box | Normals | Line) and source.dim == 1:
        return LineCells(source, atoms)
    if isinstance(source, Box) and source.dim == 2:
        return PolygonCells(source, atoms)
    if isinstance(source, Normals):
        return RayCells(source, atoms, samples or 2048)
    return PointCells(source, atoms, samples or 65536)


def _start(source: Source, atoms: Array, weights: Array) -> Array:
    """The potential whose cells are the Voronoi cells of the atoms moved into the source.

    ``a + s y`` has the source's mean and total variance, or fits into the box: no cell is empty,
    and between Gaussian-like clouds of one shape it is almost optimal.
    """
    if isinstance(source, Box):
        low, high = atoms.min(0), atoms.max(0)
        reach = (source.high - source.low)[high > low] / (high - low)[high > low]
        s = 0.9 * float(reach.min(initial=1.0 / 0.9 if not len(reach) else np.inf))
        a = source.mean - s * 0.5 * (low + high)
    else:
        centre = weights @ atoms
        spread = float(weights @ ((atoms - centre) ** 2).sum(1))
        total = source.second_moment - float(source.mean @ source.mean)
        s = (total / spread) ** 0.5 if spread > 0 else 1.0
        a = source.mean - s * centre
    return (atoms * atoms).sum(1) - ((a + s * atoms) ** 2).sum(1) / s


def newton(
    rule: CellRule, weights: Array, psi: Array, tolerance: float, most: int
) -> tuple[Array, Cells, int]:
    """Damped Newton's method: half steps until all masses are held and the error falls.

    A step of length t is taken if no mass falls below half of the least of masses and weights at
    the start, and if the error is at most ``1 - t/2`` times what it was.
    """
    cells = rule(psi)
    floor = 0.5 * min(float(cells.masses.min()), float(weights.min()))
    for steps in range(most):
        missing = weights - cells.masses
        error = float(np.abs(missing).sum())
        if error <= tolerance:
            return psi, cells, steps
        direction, length = _newton_direction(cells.matrix, missing), 1.0
        for _ in range(_HALVINGS):
            tried = rule(psi + length * direction)
            rest = float(np.linalg.norm(weights - tried.masses))
            held = float(tried.masses.min()) >= floor
            if held and rest <= (1 - 0.5 * length) * float(np.linalg.norm(missing)):
                break
            length *= 0.5
        else:
            return psi, cells, steps
        psi, cells = psi + length * direction, tried
    return psi, cells, most


def _newton_direction(matrix: Array, missing: Array) -> Array:
    """Solve ``matrix . direction = missing`` with sum 0.

    An atom without a face would make the matrix singular; it is given the exchange of an average
    one, with the mean of all.
    """
    rates = matrix.diagonal()
    scale = float(rates[rates > 0].mean()) if bool((rates > 0).any()) else 1.0
    lonely = rates <= 1e-14 * scale
    held = matrix + np.diag(np.where(lonely, scale, 1e-14 * scale)) + scale / len(rates) ** 2
    try:
        direction = cho_solve(cho_factor(held), missing)
    except LinAlgError:
        direction = np.linalg.lstsq(held, missing, rcond=None)[0]
    return direction - direction.mean()
