"""Laws off the host: no value is read back, and every constant lives on the device."""

from __future__ import annotations

import pytest
import torch

from fokker.solvers.schedules import VPLinear
from fokker.toy_models import exact_model, image_mixture
from toy_laws import DIM, LAWS, case, normal, probes, tensor

QUANTITIES = ("log_density", "score", "denoiser", "hessian")


@pytest.mark.parametrize("name", LAWS)
def test_nothing_is_read_back_from_a_device(name):
    """On the ``meta`` device there are no values: reading one, or mixing devices, is an error."""
    law = case(name).law.to(device="meta")
    x = torch.empty(4, DIM, dtype=torch.float64, device="meta")
    levels = torch.empty(4, dtype=torch.float64, device="meta")
    for alpha, sigma in ((0.6, 0.8), (levels, levels), (1.0, levels)):
        for quantity in QUANTITIES:
            assert getattr(law, quantity)(x, alpha, sigma).device.type == "meta"
        assert law.denoiser_jvp(x, x, alpha, sigma).shape == x.shape
    model = exact_model(law, VPLinear(), "velocity")
    assert model(x.to(torch.float32), 0.3).dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_a_device_changes_rounding_only(name, dtype):
    law = case(name).law.to(dtype=dtype)
    x, v = probes(case(name).law, 0.6, 0.8).to(dtype), normal(4, DIM, seed=71).to(dtype)
    close = 1e-12 if dtype == torch.float64 else 1e-4
    for level in ((0.6, 0.8), (tensor([0.6] * 4), tensor([0.8] * 4))):
        here = [getattr(law, q)(x, *level) for q in QUANTITIES] + [law.denoiser_jvp(x, v, *level)]
        far_level = [c.cuda() if isinstance(c, torch.Tensor) else c for c in level]
        far_law = law.to(device="cuda")
        there = [getattr(far_law, q)(x.cuda(), *far_level) for q in QUANTITIES]
        there.append(far_law.denoiser_jvp(x.cuda(), v.cuda(), *far_level))
        for a, b in zip(here, there, strict=True):
            torch.testing.assert_close(b.cpu(), a, rtol=close, atol=close)


@pytest.mark.gpu
def test_an_image_sized_denoiser_runs_on_a_device_without_waiting_for_it():
    law = image_mixture().to(device="cuda", dtype=torch.float32)
    x = law.sample(64, seed=1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = law.denoiser(x, 0.6, 0.8)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert bool(out.isfinite().all())
