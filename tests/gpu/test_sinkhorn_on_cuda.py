"""Sinkhorn's iteration on a CUDA device: the plan of the host, and nothing left behind on it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.sinkhorn import sinkhorn
from fokker.solvers.transport.sinkhorn_divergence import sinkhorn_divergence
from fokker.solvers.transport.sinkhorn_result import NotConvergedWarning

pytestmark = pytest.mark.gpu


def clouds(n: int, m: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(m, 2, generator=generator, dtype=torch.float64) + 0.5
    a, b = (0.5 + torch.rand(k, generator=generator, dtype=torch.float64) for k in (n, m))
    return [x.to(dtype), y.to(dtype), a / a.sum(), b / b.sum()]


def on_device(tensors: list[Tensor]) -> list[Tensor]:
    return [v.to("cuda") for v in tensors]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("fraction", [0.05, 1e-3])
def test_a_device_changes_rounding_only(fraction: float, stored: bool):
    host = clouds(300, 200)
    options = {"fraction": fraction, "stored": stored, "tolerance": 1e-8, "check_every": 5}
    here, there = sinkhorn(*host, **options), sinkhorn(*on_device(host), **options)
    assert here.converged
    assert there.converged
    for tensor in (there.f, there.g, there.value, there.plan()):
        assert tensor.device.type == "cuda"
    assert float(there.value) == pytest.approx(float(here.value), rel=1e-10)
    torch.testing.assert_close(there.plan().cpu(), here.plan(), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(there.barycentric().cpu(), here.barycentric(), rtol=0, atol=1e-5)


def test_a_matrix_in_single_precision_on_a_device_meets_a_millionth():
    host = clouds(300, 200, torch.float32)
    here, there = sinkhorn(*host, fraction=0.02), sinkhorn(*on_device(host), fraction=0.02)
    assert there.converged
    assert there.f.dtype == torch.float64
    assert float(there.value) == pytest.approx(float(here.value), rel=1e-6)


@pytest.mark.parametrize("fraction", [1e-3, 1e-4])
@pytest.mark.filterwarnings("ignore::fokker.solvers.transport.sinkhorn_result.NotConvergedWarning")
def test_little_entropy_keeps_the_mass_on_a_device(fraction: float):
    plan = sinkhorn(*on_device(clouds(300, 200)), fraction=fraction, max_iterations=2000)
    p = plan.plan()
    assert bool(torch.isfinite(p).all())
    assert abs(float(p.sum()) - 1.0) <= plan.marginal_error + 1e-12
    assert plan.marginal_error < 2e-2


def test_what_is_not_reached_on_a_device_is_said():
    with pytest.warns(NotConvergedWarning, match="missed by"):
        plan = sinkhorn(*on_device(clouds(100, 80)), fraction=0.01, max_iterations=3)
    assert not plan.converged


def test_gradients_and_the_divergence_on_a_device_are_those_of_the_host():
    found = []
    for tensors in (clouds(120, 90), on_device(clouds(120, 90))):
        x = tensors[0].requires_grad_()
        value = sinkhorn_divergence(x, *tensors[1:], fraction=0.1, tolerance=1e-10).value
        (slope,) = torch.autograd.grad(value, x)
        assert slope.device == x.device
        found.append((value.detach().cpu(), slope.cpu()))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-6, atol=1e-10)


def test_clouds_on_two_devices_are_refused():
    x, y, _, _ = clouds(10, 10)
    with pytest.raises(InvalidLawError, match="one dimension and device"):
        sinkhorn(x.to("cuda"), y, fraction=0.1)
