"""How the two iterations for Schrodinger bridges proceed between Gaussians, exactly.

Iterative proportional fitting (IPF, Sinkhorn) keeps the form of the plan and mends one end after
the other. Iterative Markovian fitting (IMF) keeps both ends and mends the form: a mixture of the
reference's bridges is replaced by the Markov process with its marginals, whose ends are coupled
anew. Both converge to the bridge, at rates of their own.

De Bortoli et al. 2021, arXiv:2106.01357 (IPF); Shi et al. 2023, arXiv:2303.16852, and Peluchetti
2023, arXiv:2304.00917 (IMF). Learned versions have these iterates as their truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import FokkerError
from .gaussian_bridge import GaussianBridge


def ipf(bridge: GaussianBridge) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Covariances ``(Cov x, Cov(x, y), Cov y)`` of the plans of IPF, from the reference's own.

    The first is that of the reference started in A; then, alternately, the second end is made B
    and the first A. Endless; errors shrink by ``rho^4`` every two (see ``sinkhorn_rates``).
    """
    phi, _, q = bridge.reference_transition
    a, b = bridge.cov_a, bridge.cov_b
    x, c, y = a, a @ phi.mT, phi @ a @ phi.mT + q
    yield x, c, y
    while True:
        slope = torch.linalg.solve(y, c.mT).mT
        x = x - slope @ c.mT + slope @ b @ slope.mT
        c, y = slope @ b, b
        yield x, c, y
        slope = torch.linalg.solve(x, c).mT
        y = y - slope @ c + slope @ a @ slope.mT
        c, x = a @ slope.mT, a
        yield x, c, y


def imf(bridge: GaussianBridge, cross: Tensor | None = None) -> Iterator[Tensor]:
    """The couplings ``Cov(x, y)`` of IMF, from ``cross`` (independent ends by default). Endless.

    Raises
    ------
    FokkerError
        If the ordinary differential equation of the Markov process could not be solved.
    """
    c = torch.zeros_like(bridge.cov_a) if cross is None else cross
    while True:
        yield c
        c = markov_coupling(replace(bridge, cross=c))


def markov_coupling(bridge: GaussianBridge) -> Tensor:
    """``Cov(X_0, X_1)`` of the Markov process that has the marginals of this mixture of bridges.

    Its drift is affine, ``K_u x + k_u``, so ``Cov(X_0, X_1) = A R^T`` with ``R' = K R`` from
    ``R_0 = I``, solved to 1e-12 by DOP853.
    """
    from scipy.integrate import solve_ivp  # slow to import, and wanted here only

    d = bridge.dim
    eye = torch.eye(d, dtype=torch.float64)
    points = torch.cat([eye, torch.zeros(1, d, dtype=torch.float64)])

    def rate(u: float, r: Tensor) -> Tensor:
        value = bridge.drift(points, min(float(u), 1.0))
        slope = (value[:d] - value[d]).mT
        return (slope @ torch.as_tensor(r, dtype=torch.float64).reshape(d, d)).flatten()

    done = solve_ivp(rate, (0.0, 1.0), eye.flatten(), method="DOP853", rtol=1e-12, atol=1e-13)
    if not done.success:
        msg = f"the Markov process of a mixture of bridges could not be solved: {done.message}"
        raise FokkerError(msg)
    gain = torch.as_tensor(done.y[:, -1], dtype=torch.float64).reshape(d, d)
    return bridge.cov_a @ gain.mT
