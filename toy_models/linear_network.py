r"""A linear network that is the exact model of a Gaussian: weights whose meaning is known.

With the data ``N(m, C)``, ``C = V diag(c) V^T`` and ``rho = sigma/alpha`` the data prediction is::

    D = m + F diag(1/(c + rho^2)) E (x/alpha - m),    E = diag(sqrt c) V^T,    F = V diag(sqrt c)

so an encoder E and a decoder F around one scale for each hidden channel, which alone knows the
level of noise: a linear autoencoder (Baldi & Hornik 1989, Neural Networks 2, 53). Row k of E is
the k-th principal direction, and as long as its standard deviation. Whatever is done to E and F
leaves a model that is linear in x: the laws that it makes are Gaussian and known
(``analysis/score_error/linear.py``).
"""

from __future__ import annotations

from torch import Tensor, nn

from ..solvers.networks.asking import module_network
from ..solvers.networks.network import Network
from ..solvers.process import Process
from .gaussian import Gaussian


class LinearDenoiser(nn.Module):
    """``D(z, u)`` of this file; z = x/(alpha + sigma), u = sigma/(alpha + sigma)."""

    mean: Tensor
    values: Tensor

    def __init__(self, law: Gaussian) -> None:
        super().__init__()
        values = law.eigenvalues.detach().cpu().double().clamp_min(0.0)
        basis = law.eigenvectors.detach().cpu().double()
        self.encode = nn.Parameter(values.sqrt()[:, None] * basis.T)
        self.decode = nn.Parameter(basis * values.sqrt())
        self.register_buffer("mean", law.mean.detach().cpu().double().clone())
        self.register_buffer("values", values)

    def forward(self, z: Tensor, u: Tensor, _labels: Tensor | None = None) -> Tensor:
        """The data prediction at z (B, d) and u (B,); no labels are known."""
        clean = (1.0 - u)[:, None]
        hidden = (z / clean - self.mean) @ self.encode.mT
        scale = self.values + (u[:, None] / clean).square()
        return self.mean + (hidden / scale) @ self.decode.mT

    def gain(self, rho: float) -> Tensor:
        """The matrix G of ``D = m + G (x/alpha - m)`` at a level, (d, d), with weights as is."""
        return (self.decode / (self.values + rho**2)) @ self.encode


def linear_network(
    name: str, law: Gaussian, process: Process, lam_range: tuple[float, float]
) -> Network:
    """The exact model of a Gaussian as a network with weights, in float64.

    Parameters
    ----------
    name : str
        Its name.
    law : Gaussian
        The data, with positive variances.
    process : Process
        Forward process.
    lam_range : (float, float)
        Half log-SNRs between which it is sampled.

    Examples
    --------
    >>> import torch
    >>> from fokker.toy_models.problems import problem
    >>> p = problem("gaussian")
    >>> network = linear_network("linear", p.law, p.process, (p.lam_start, p.lam_end))
    >>> x = torch.ones(1, 4, dtype=torch.float64)
    >>> node = p.process.node_at_lam(0.3)
    >>> gap = network.model()(x, node.t) - p.law.denoiser(x, node.alpha, node.sigma)
    >>> bool(gap.abs().max() < 1e-14)
    True
    """
    return module_network(
        name, LinearDenoiser(law), process,
        prediction="data", shape=(law.dim,), lam_range=lam_range, asked="straight",
    )  # fmt: skip
