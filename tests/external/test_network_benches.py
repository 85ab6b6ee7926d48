"""The benches of networks compare like with like, and count what is computed."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fokker.toy_models.empirical import Empirical
from fokker.toy_models.images import image_mixture

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[str, ModuleType]]:
    """Files of benchmarks/, which is no package: they import each other by name."""
    found, before = {}, dict(sys.modules)
    for name in ("timing", "device", "overhead", "exact_models", "launches"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        found[name] = module
    yield found
    for name in found:
        sys.modules.pop(name)
        if name in before:
            sys.modules[name] = before[name]


class Unet:
    """What the bench asks of a UNet, cheap and smooth in state and label."""

    def __call__(self, x: torch.Tensor, label: torch.Tensor, return_dict: bool) -> tuple[Any]:
        assert not return_dict
        return (0.9 * torch.tanh(x) + 1e-4 * torch.as_tensor(label).float(),)

    def parameters(self) -> list[torch.Tensor]:
        return [torch.zeros(7)]


def test_ours_and_the_library_make_the_same_sample(benches: dict[str, ModuleType]):
    overhead = benches["overhead"]
    for library, name, steps in overhead.SAMPLERS:
        asked = overhead.Asked(Unet())
        row = overhead.measure(asked, overhead.Size((8,), 1, 2, 1), library, name, steps)
        assert row.evaluations == (2 * steps - 1 if "eun" in name else steps), name
        assert row.parameters == 7
        assert (row.library is None) == (library == "fokker")
        assert row.gap is None or row.gap < 1e-3, (library, name, row.gap)


def test_calls_take_turns_and_the_first_round_is_free(benches, monkeypatch):
    spent = iter([9.0, 9.0, 1.0, 4.0, 2.0, 2.0, 5.0, 20.0])
    monkeypatch.setattr(benches["device"], "elapsed", lambda *_: next(spent))
    turns = benches["device"].in_rotation([print, print], rounds=3)
    assert turns.least == (1.0, 2.0)
    assert turns.ratio(1, 0) == 2.0
    assert turns.typical(1, 0) == 4.0  # of 4, 1 and 4


def test_operations_of_the_exact_models_are_those_of_their_matrix_products(benches):
    laws = [image_mixture(size=8, components=5, rank=3), Empirical(torch.randn(50, 12).double())]
    for law in laws:
        x = torch.randn(6, law.dim, dtype=torch.float64)
        with FlopCounterMode(display=False) as counted:
            law.denoiser(x, 0.8, 0.6)
        flops, moved = benches["exact_models"].work_of(law, 6)
        assert flops == counted.get_total_flops()
        assert moved == 8 * flops / 12  # two numbers of 8 bytes for 4 operations on 6 samples


TINY = {
    "sample_size": 8,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
}


def test_launches_of_a_network_of_the_library_are_counted_without_its_memory(
    benches: dict[str, ModuleType],
):
    launches = benches["launches"]
    size = launches.Size("UNet2DModel", TINY, 2, (3, 8, 8))
    module = launches.made(size)
    assert {p.device.type for p in module.parameters()} == {"meta"}
    call = launches.call_of(size, module)
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in module.modules())
    assert call.kernels["convolution"] == convolutions
    weights = sum(p.numel() * 4 for p in module.parameters())
    assert call.read > weights  # each is read once, and states beside them


def test_a_row_of_launches_bounds_the_share_of_the_sampler(benches: dict[str, ModuleType]):
    launches = benches["launches"]
    size = launches.Size("UNet2DModel", TINY, 2, (3, 8, 8))
    call = launches.DeviceWork(kernels=Counter(convolution=50), read=1000, written=1000)
    beside = launches.DeviceWork(kernels=Counter(mul=10), read=150, written=50)
    found = launches.row("net", 7, size, call, "sampler", beside, 5)
    assert found.at_most == pytest.approx(2 / 50 + 40 / 2000, rel=1e-14)
    assert not found.met


def test_our_plans_launch_the_terms_of_their_rows_and_never_wait(benches: dict[str, ModuleType]):
    launches = benches["launches"]
    size = launches.Size("UNet2DModel", TINY, 2, (3, 8, 8))
    work, calls = launches.ours(size, "dpmpp_2m")
    steps = launches.STEPS
    terms = 2 + 3 * (steps - 1)  # the first step has no history
    assert (calls, work.waits.total()) == (steps, 0)
    assert work.kernels.total() == terms + steps


def test_a_scheduler_of_the_library_that_waits_is_seen(benches: dict[str, ModuleType]):
    launches = benches["launches"]
    size = launches.Size("UNet2DModel", TINY, 2, (3, 8, 8))
    work, calls = launches.theirs(size, "UniPCMultistep")
    assert calls == launches.STEPS
    assert work.waits.total() > calls
    assert all(place.startswith("scheduling_unipc_multistep.py:") for place in work.waits)
