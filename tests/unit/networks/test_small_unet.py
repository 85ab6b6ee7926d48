"""The small network: what it is shown, and that nothing of it depends on the rest of a batch."""

from __future__ import annotations

import pytest
import torch

from fokker.solvers.networks.architectures import build_module, config_of
from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.network import Network
from fokker.solvers.networks.unet import (
    EDGE,
    FASTEST,
    Residual,
    SelfAttention,
    SmallUNet,
    embedded,
)
from fokker.solvers.process import Process
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear

CONFIG = {"channels": 2, "image": 4, "width": 4, "classes": 3, "embedding": 8}


def small(seed: int = 0) -> SmallUNet:
    """A network in float64 whose every weight is at work."""
    module = build_module("small-unet", CONFIG).to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        draw = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        weight.data = 0.3 * draw
    assert isinstance(module, SmallUNet)
    return module.eval().requires_grad_(requires_grad=False)


def states(count: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, 4, 4, generator=generator, dtype=torch.float64)


def seen_on(process: Process) -> Network:
    return module_network(
        "small", small(), process, prediction="flow", shape=(2, 4, 4), lam_range=(-3.0, 3.0),
        asked="straight", classes=3,
    )  # fmt: skip


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("lam", [-2.0, 0.3, 2.5])
def test_one_training_serves_every_process(process: Process, lam: float):
    """At one lam the data prediction is one function of x/alpha."""
    y, labels = states(), [0, 1, 2, 3, 0]
    found = []
    for one in (process, RectifiedFlow()):
        node = one.node_at_lam(lam)
        model = seen_on(one).model(labels, prediction="data")
        found.append(model(node.alpha * y, node.t))
    assert torch.allclose(*found, rtol=1e-9, atol=1e-9)


def test_a_sample_does_not_know_its_batch():
    net, z, labels = small(), states(), torch.tensor([0, 1, 2, 3, 1])
    u = torch.tensor([0.1, 0.4, 0.5, 0.9, 0.02], dtype=torch.float64)
    whole = net(z, u, labels)
    for k in range(5):
        assert torch.allclose(net(z[k : k + 1], u[k : k + 1], labels[k : k + 1])[0], whole[k])


def test_level_class_and_state_all_matter_and_no_label_is_the_last_one():
    net, z = small(), states(1).expand(3, 2, 4, 4)
    u = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    by_class = net(z, u, torch.tensor([0, 1, 0]))
    assert float((by_class[0] - by_class[1]).abs().max()) > 1e-3
    assert float((by_class[0] - by_class[2]).abs().max()) > 1e-3
    assert torch.equal(net(z, u), net(z, u, torch.full((3,), 3)))
    one = z[:1].clone()
    one[0, 0, 3, 3] += 1.0
    moved = net(one, u[:1]) - net(z[:1], u[:1])
    assert float(moved[0, :, 0, 0].abs().max()) > 0.0  # attention sees the far corner


def test_fresh_blocks_are_their_skips():
    x, level = states(), torch.randn(5, 8, generator=torch.Generator().manual_seed(2)).double()
    x = torch.cat([x, x], dim=1)
    assert torch.equal(Residual(4, 4, 8).double()(x, level), x)
    assert torch.equal(SelfAttention(4).double()(x), x)


def test_the_embedding_is_slow_in_lam_and_still_at_the_ends():
    """No ripple faster than ``FASTEST``; u and 1 - u are mirror images; clipped outside."""
    lam = torch.linspace(-5.0, 5.0, 2001, dtype=torch.float64)
    seen = embedded(torch.sigmoid(-lam), 16)
    rate = (seen[1:] - seen[:-1]).abs().max() / (lam[1] - lam[0])
    assert 0.9 * FASTEST < float(rate) <= FASTEST
    mirrored = seen.flip(0) * torch.tensor([-1.0] * 8 + [1.0] * 8, dtype=torch.float64)
    assert torch.allclose(mirrored, seen, atol=1e-9)
    ends = embedded(torch.tensor([0.0, EDGE, 1.0 - EDGE, 1.0], dtype=torch.float64), 16)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[2], ends[3])


def test_a_network_is_built_again_from_its_numbers():
    assert config_of(small()) == ("small-unet", CONFIG)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": 5}, "must be even"),
        ({"width": 6}, "multiple of 4"),
        ({"embedding": 7}, "must be even"),
        ({"channels": 0}, "must be positive"),
        ({"classes": -1}, "at least 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, int], says: str):
    with pytest.raises(NetworkError, match=says):
        build_module("small-unet", {**CONFIG, **change})
