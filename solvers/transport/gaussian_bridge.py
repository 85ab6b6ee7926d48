r"""Schrodinger bridges between Gaussians, for Brownian motion or any linear reference.

The bridge is the process from N(m_a, A) to N(m_b, B) that is closest, in relative entropy, to a
reference started in N(m_a, A). Given its two ends it is the reference's own bridge, so all that
is chosen is ``C = Cov(X_0, X_1)``: with the reference's transition ``(Phi, b, Q)`` over [0, 1],
``Q^{-1/2} Phi C Q^{-1/2}`` is the cross-covariance of the entropic plan with epsilon = 2 between
the ends seen through ``Q^{-1/2}``, the first of them moved by Phi.

With ``(Phi_u, b_u, Q_u)`` over [0, u], ``(Phi', b', Q')`` over [u, 1],
``G = Q_u Phi'^T Q^{-1}`` and ``H = Phi_u - G Phi``::

    S_u = H A H^T + G B G^T + H C G^T + G C^T H^T + Q_u - G Q G^T            covariance at u
    grad log phi      =  Phi'^T Q'^{-1} (E[X_1 | x] - Phi' x - b')            what is still to come
    grad log phi_hat  = -Q_u^{-1} (x - Phi_u E[X_0 | x] - b_u)                what has been
    drift  F x + a + L L^T grad log phi,        score  grad log phi + grad log phi_hat

The first quotient is 0/0 at u = 1 and the second at u = 0; each is taken where it is safe, and the
other from the score, so that every field is right to rounding on the closed interval.

Bunne et al. 2023, arXiv:2202.05722, for Brownian and scalar references; Chen, Georgiou & Pavon
2016 for linear ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import points
from ..sde.problem import SDE
from .bures import roots
from .entropic import EntropicGaussian
from .gaussian import gaussian_pair
from .reference import LinearReference, Transition, brownian


@dataclass(frozen=True, eq=False)
class GaussianBridge:
    """The Schrodinger bridge from N(m_a, A) to N(m_b, B); formulae in the module.

    Not to be confused with the displacement interpolation (no noise), nor with the bridge of the
    reference between two points.

    Parameters
    ----------
    mean_a, cov_a, mean_b, cov_b
        Means (d,) and positive definite covariances (d, d).
    reference : LinearReference, optional
        Brownian motion with sigma = 1 by default.
    cross : Tensor, optional
        Another coupling ``Cov(X_0, X_1)`` (d, d): the reference's bridges are then mixed by it.
        Only the optimal one, the default, makes it a Schrodinger bridge; otherwise drift, velocity
        and score are those of the Markov process with the same marginals, the Markovian
        projection of the mixture.

    Attributes
    ----------
    cross : Tensor
        ``Cov(X_0, X_1)``, shape (d, d).

    Raises
    ------
    InvalidLawError
        If dimensions differ, a covariance is singular or none, or ``cross`` is no coupling.

    Examples
    --------
    >>> bridge = GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]])
    >>> round(float(bridge.cross[0, 0]), 12)
    0.61803398875
    """

    mean_a: Any
    cov_a: Any
    mean_b: Any
    cov_b: Any
    reference: LinearReference | None = None
    cross: Any = None
    _ref: LinearReference = field(init=False, repr=False)
    _whole: Transition = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = ("mean_a", "cov_a", "mean_b", "cov_b")
        ends = gaussian_pair(*(getattr(self, n) for n in names), definite=True)
        ends = tuple(e.detach() for e in ends)
        reference = brownian(len(ends[0])) if self.reference is None else self.reference
        if reference.dim != len(ends[0]):
            msg = f"the reference has dimension {reference.dim}, the ends have {len(ends[0])}"
            raise InvalidLawError(msg)
        whole = reference.transition(1.0)
        self.__dict__.update(zip(names, ends, strict=True))
        self.__dict__.update(reference=reference, _ref=reference, _whole=whole)
        self.__dict__["cross"] = self._optimal() if self.cross is None else self._given()

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean_a)

    @property
    def reference_transition(self) -> Transition:
        """Transition of the reference over the whole of [0, 1]."""
        return self._whole

    def _optimal(self) -> Tensor:
        phi, _, q = self._whole
        root, inverse = roots(q)
        a = inverse @ phi @ self.cov_a @ phi.mT @ inverse
        b = inverse @ self.cov_b @ inverse
        zero = torch.zeros(self.dim, dtype=torch.float64)
        plan = EntropicGaussian(zero, (a + a.mT) / 2, zero, (b + b.mT) / 2, 2.0)
        return torch.linalg.solve(phi, root @ plan.cross @ root)

    def _given(self) -> Tensor:
        c = torch.as_tensor(self.cross, dtype=torch.float64)
        if c.shape != self.cov_a.shape or not bool(torch.isfinite(c).all()):
            msg = f"a coupling must be finite, of shape ({self.dim}, {self.dim}), got {c.tolist()}"
            raise InvalidLawError(msg)
        rest = self.cov_b - c.mT @ torch.linalg.solve(self.cov_a, c)
        low = float(torch.linalg.eigvalsh((rest + rest.mT) / 2)[0])
        if low < -1e-12 * float(self.cov_b.abs().max()):
            msg = f"cross is no coupling of these ends: the covariance of y given x has {low:.3g}"
            raise InvalidLawError(msg)
        return c

    def law(self, u: float) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) at u in [0, 1]."""
        return self._at(u)[2:]

    def _at(self, u: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """H and G of the module, and mean and covariance, at u."""
        if not 0.0 <= u <= 1.0:
            msg = f"the time u of a bridge must be in [0, 1], got {u}"
            raise InvalidLawError(msg)
        phi, shift, q = self._whole
        first, second = self._ref.transition(u), self._ref.transition(1.0 - u)
        g = torch.linalg.solve(q, second.phi @ first.cov).mT
        h = first.phi - g @ phi
        mean = h @ self.mean_a + g @ self.mean_b + first.shift - g @ shift
        mixed = h @ self.cross @ g.mT
        ends = h @ self.cov_a @ h.mT + g @ self.cov_b @ g.mT + mixed + mixed.mT
        cov = ends + first.cov - g @ second.phi @ first.cov
        return h, g, mean, (cov + cov.mT) / 2

    def _ends_given(self, x: Tensor, u: float) -> tuple[Tensor, Tensor, Tensor]:
        """``E[X_0 | x]``, ``E[X_1 | x]`` and the score at (x, u), each (B, d)."""
        h, g, mean, cov = self._at(u)
        away = torch.linalg.solve(cov, (points(x, self.mean_a) - mean).mT)
        first = self.mean_a + ((self.cov_a @ h.mT + self.cross @ g.mT) @ away).mT
        last = self.mean_b + ((self.cross.mT @ h.mT + self.cov_b @ g.mT) @ away).mT
        return first, last, -away.mT

    def to_come(self, x: Tensor, u: float) -> Tensor:
        """``grad log phi``: what the reference's drift lacks, before L L^T; (B, d)."""
        first, last, score = self._ends_given(x, u)
        if u > 0.5:
            return score - self._been(x, first, u)
        step = self._ref.transition(1.0 - u)
        missing = last - x @ step.phi.mT - step.shift
        return torch.linalg.solve(step.cov, missing.mT).mT @ step.phi

    def has_been(self, x: Tensor, u: float) -> Tensor:
        """``grad log phi_hat``, the same for the process run backwards; (B, d)."""
        return self.score(x, u) - self.to_come(x, u)

    def _been(self, x: Tensor, first: Tensor, u: float) -> Tensor:
        step = self._ref.transition(u)
        return -torch.linalg.solve(step.cov, (x - first @ step.phi.mT - step.shift).mT).mT

    def score(self, x: Tensor, u: float) -> Tensor:
        """``grad log rho_u`` for points x of shape (B, d)."""
        return self._ends_given(x, u)[2]

    def drift(self, x: Tensor, u: float) -> Tensor:
        """Drift of the bridge run forward; with diffusion L it leads from A to B."""
        return self._ref.drift(x) + self.to_come(x, u) @ self._ref.covariance_rate

    def backward_drift(self, x: Tensor, u: float) -> Tensor:
        """``drift - L L^T score`` (Nelson): that of the reversed process, u still growing."""
        return self.drift(x, u) - self.score(x, u) @ self._ref.covariance_rate

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``drift - (1/2) L L^T score``: velocity of the probability-flow ODE."""
        return self.drift(x, u) - 0.5 * self.score(x, u) @ self._ref.covariance_rate

    def sde(self) -> SDE:
        """The bridge as a stochastic equation on u in [0, 1], for :mod:`fokker.solvers.sde`."""
        lower = self._ref.diffusion
        diagonal = bool((lower == torch.diag(lower.diagonal())).all())
        if diagonal and bool((lower.diagonal() >= 0).all()):
            scale = lower.diagonal()
            return SDE(lambda u, x: self.drift(x, u), lambda _u, _x: scale, noise="additive")

        def columns(_u: float, x: Tensor) -> Tensor:
            return lower.to(x).expand(x.shape[0], self.dim, self.dim)

        return SDE(lambda u, x: self.drift(x, u), columns, noise="general", noises=self.dim)

    def relative_entropy(self) -> float:
        """KL of the coupling of the ends against the reference's, ``rho_a(x) p(y | x)``; in nats.

        For the optimal coupling it is the least work, ``(1/2) int E |L^{-1}(drift - F x - a)|^2``.
        """
        phi, shift, q = self._whole
        slope = torch.linalg.solve(self.cov_a, self.cross).mT
        rest = self.cov_b - slope @ self.cross
        off = self.mean_b - phi @ self.mean_a - shift
        gap = slope - phi
        spread = rest + gap @ self.cov_a @ gap.mT + off[:, None] * off
        traces = torch.trace(torch.linalg.solve(q, spread)) - self.dim
        return float(0.5 * (torch.logdet(q) - torch.logdet(rest) + traces))
