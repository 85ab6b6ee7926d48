"""PFGM++: the denoiser of a point set under a Student kernel, at every augmented dimension D.

Points of N dimensions are charges in N + D dimensions. At distance r from the data plane the field
defines the kernel ``p_r(x | y) ~ (|x - y|^2 + r^2)^{-(N + D)/2}``; with ``r = sigma sqrt(D)`` that
is the multivariate Student law with D degrees of freedom, centre y and *scale* sigma (not standard
deviation: that is ``sigma sqrt(D/(D - 2))``, and infinite for D <= 2). D = inf is the Gaussian
kernel of diffusion models, D = 1 the Poisson flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NoExactFlowError
from .checks import Coefficient, Level, coefficients, deeper, level, moved, parameter, points
from .checks import weights as checked_weights


@dataclass(frozen=True, eq=False)
class PoissonFlow:
    r"""``sum_i w_i delta(x_i)`` seen through the kernel of PFGM++ with D augmented dimensions.

    ``denoiser = sum_i softmax_i(log w_i - (N + D)/2 log(1 + q_i/D)) x_i`` with ``q_i = |x - alpha
    x_i|^2/sigma^2``, in logarithms, so that no power over- or underflows; for D = inf the exponent
    is ``-q_i/2``. It differs from that by ``Cov(x_i, q_i^2/4 - N q_i/2)/D + O(1/D^2)``, the
    covariance taken under the Gaussian attention.

    The probability-flow ODE is ``dx/dsigma = (x - denoiser)/sigma``, that of EDM with another
    denoiser: every sampler runs as it is, through ``exact_model(law, process)``. The start is
    another one too, see :func:`fokker.solvers.processes.pfgm.student_noise`. In one dimension the
    flow keeps the distribution function; of a single point it is closed, whatever D.

    Xu et al. 2023, arXiv:2302.04265, eq. 5 and 7. Not to be confused: this D is a dimension, the
    data prediction is ``denoiser``.

    Parameters
    ----------
    points : Tensor
        The data, shape (n, N).
    augmented : float
        D, positive; ``math.inf`` is the Gaussian.
    weights : Tensor, optional
        Shape (n,), positive, sum 1; equal by default.

    Raises
    ------
    InvalidLawError
        If points or weights define no law, or D is not positive.

    Examples
    --------
    >>> import torch
    >>> law = PoissonFlow(torch.tensor([[-1.0], [1.0]]), 1.0)
    >>> law.denoiser(torch.tensor([[1.0]]), 1.0, 1.0)  # weights 1/5 and 1
    tensor([[0.6667]])
    """

    points: Tensor
    augmented: float
    weights: Tensor | None = None
    _log_w: Tensor = field(init=False, repr=False)

    name: ClassVar[str] = "poisson-flow"

    def __post_init__(self) -> None:
        data = parameter(self.points, "points", (None, None))
        if not self.augmented > 0:
            msg = f"the augmented dimension must be positive, got {self.augmented}"
            raise InvalidLawError(msg)
        if self.weights is None:
            w = data.new_full((len(data),), 1.0 / len(data))
        else:
            w = checked_weights(self.weights, len(data)).to(data)
        self.__dict__.update(points=data, weights=w, _log_w=w.log())

    @property
    def dim(self) -> int:
        """Dimension N of the data."""
        return self.points.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.points.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.points.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def _log_kernel(self, x: Tensor, a: Coefficient, s: Coefficient) -> Tensor:
        """``log w_i`` and the power, without the normalisation, (B, n)."""
        q = ((x[:, None, :] - deeper(a) * self.points) / deeper(s)).square().sum(-1)
        if math.isinf(self.augmented):
            return self._log_w - 0.5 * q
        half = 0.5 * (self.dim + self.augmented)
        return self._log_w - half * torch.log1p(q / self.augmented)

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Mean of the data under the kernel, (B, N)."""
        points(x, self.points)
        a, s = coefficients(alpha, sigma, x, zero_sigma=False)
        return torch.softmax(self._log_kernel(x, a, s), dim=1) @ self.points

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(alpha denoiser - x)/sigma^2``, (B, N): the field that drives the ODE.

        It is ``grad log p`` at D = inf only.
        """
        mean = self.denoiser(x, alpha, sigma)
        a, s = coefficients(alpha, sigma, x, zero_sigma=False)
        return (a * mean - x) / (s * s)

    def log_density(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Log density of the perturbed data, a mixture of Student laws, (B,)."""
        points(x, self.points)
        a, s = coefficients(alpha, sigma, x, zero_sigma=False)
        size = torch.as_tensor(s, dtype=x.dtype, device=x.device).reshape(-1)
        log_sum = torch.logsumexp(self._log_kernel(x, a, s), dim=1)
        return log_sum + log_peak(self.dim, self.augmented) - self.dim * size.log()

    def flow(self, x: Tensor, start: Level, end: Level) -> Tensor:
        """Exact flow of a single point: ``x - alpha y`` grows as sigma, whatever D.

        Raises
        ------
        NoExactFlowError
            For more than one point.
        """
        if len(self.points) > 1:
            msg = f"the flow is closed for a single point only, got {len(self.points)} points"
            raise NoExactFlowError(msg)
        (a, s), (b, t) = level(start, "start"), level(end, "end")
        points(x, self.points)
        return b * self.points + t / s * (x - a * self.points)


def log_peak(dim: int, augmented: float) -> float:
    """Log density at its centre of the standard Student law with D degrees of freedom in R^N.

    For large D the ratio of gamma functions is taken as a difference of Stirling's series, where
    ``lgamma`` itself would lose all digits; D = inf is the Gaussian.
    """
    gauss = -0.5 * dim * math.log(2.0 * math.pi)
    if math.isinf(augmented):
        return gauss
    if augmented < 1e4:
        ratio = math.lgamma(0.5 * (augmented + dim)) - math.lgamma(0.5 * augmented)
        return ratio - 0.5 * dim * math.log(augmented * math.pi)
    u, n = 0.5 * augmented, 0.5 * dim
    # log Gamma(u + n) - log Gamma(u) - n log u, with log1p for the one cancelling term
    rest = (u + n - 0.5) * math.log1p(n / u) - n
    return gauss + rest + 1.0 / (12.0 * (u + n)) - 1.0 / (12.0 * u)
