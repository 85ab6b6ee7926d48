"""Networks on a CUDA device: the answers of the host to rounding, and nothing waits for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.compiling import compiled
from fokker.solvers.networks.folder import load_network, save_network
from fokker.solvers.networks.network import Network
from fokker.solvers.networks.unet import SmallUNet
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow

pytestmark = pytest.mark.gpu

LABELS = [0, 1, 2, 3]
T = 0.4


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    """Convolutions in float32, not in TF32, which has the 10 bits of float16."""
    with torch.backends.cudnn.flags(allow_tf32=False), torch.no_grad():
        yield


def network(device: str) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = SmallUNet(1, 8, 16, classes=3)
        with torch.no_grad():
            for parameter in module.parameters():
                if not parameter.any():  # a fresh one has layers of zeros
                    parameter.normal_(std=0.1)
    made = module_network(
        "unet",
        module,
        RectifiedFlow(),
        prediction="flow",
        shape=(1, 8, 8),
        lam_range=(-4.0, 4.0),
        asked="straight",
        classes=3,
    )
    return made.to(device)


def start(device: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 1, 8, 8, generator=generator).to(device)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_device_changes_rounding_only(guidance: float):
    found = []
    sampler = get("dpmpp_2m")
    for device in ("cpu", "cuda"):
        net = network(device)
        model = net.model(LABELS, prediction="data", guidance=guidance)
        found.append(run(sampler(net.process, net.grid(6)), model, start(device)).x.cpu())
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_answer_is_float32_and_near(dtype: torch.dtype):
    net, x = network("cuda"), start("cuda")
    fine = net.model(LABELS)(x, T)
    coarse = net.model(LABELS, autocast=dtype)(x, T)
    assert coarse.dtype == torch.float32
    assert 1e-6 < float((coarse - fine).norm() / fine.norm()) < 0.03


@pytest.mark.parametrize("paired", [True, False])
def test_nothing_waits_for_the_device(paired: bool):
    net, x = network("cuda"), start("cuda")
    model = net.model(
        LABELS, prediction="data", guidance=2.0, autocast=torch.bfloat16, paired=paired
    )
    model(x, T)  # sends the labels
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = model(x, T)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert out.isfinite().all()


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_network_equals_the_eager_one_and_its_answers_stay(mode: str):
    net, x = network("cuda"), start("cuda")
    eager, fast = net.model(LABELS), compiled(net, mode=mode).model(LABELS)
    for _ in range(3):  # CUDA graphs are recorded at the second call
        fast(x, T)
    answers = [fast(x, t) for t in (0.2, 0.5, 0.8)]  # kept while others are computed
    for t, answer in zip((0.2, 0.5, 0.8), answers, strict=True):
        torch.testing.assert_close(answer, eager(x, t), rtol=1e-4, atol=1e-4)


def test_a_network_on_a_device_is_saved_and_comes_back_on_the_host(tmp_path):
    net = network("cuda")
    back = load_network(save_network(tmp_path / "net", net))
    torch.testing.assert_close(
        back.model(LABELS)(start("cpu"), T), net.model(LABELS)(start("cuda"), T).cpu(),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
