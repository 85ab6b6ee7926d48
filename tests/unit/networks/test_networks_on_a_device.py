"""Networks on an imagined device: after the first call nothing is sent and nobody waits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.analysis.device_work import DeviceWork, device_work
from fokker.analysis.imagined_device import imagined
from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.edm import OneHot, edm_network
from fokker.solvers.networks.network import Network
from fokker.solvers.networks.unet import SmallUNet
from fokker.solvers.schedules import RectifiedFlow
from fokker.toy_models.networks import named_network
from small_networks import gaussians
from tiny_networks import tiny

LABELS = [0, 2, 1, 2]


def unet() -> Network:
    module = SmallUNet(1, 8, 16, classes=3)
    return module_network(
        "unet", module, RectifiedFlow(), prediction="flow", shape=(1, 8, 8),
        lam_range=(-4.0, 4.0), asked="straight", classes=3,
    )  # fmt: skip


class Rows(nn.Module):
    """As networks of the EDM form take their classes: as rows of ones and zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.rows = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, z: Tensor, c: Tensor, rows: Tensor) -> Tensor:
        return self.mix(z) * c[:, None] + self.rows(rows)


def edm() -> Network:
    return edm_network("edm", OneHot(Rows(), 3), shape=(3,), classes=3)


def second_call(network: Network, labels: list[int] | None, **asked: Any) -> DeviceWork:
    """The work of a call after the first: what is sent once has been sent."""
    with device_work() as work, torch.no_grad():
        there = work.moved_network(network) if network.module is not None else network
        with work.preparing():
            model = there.model(labels, prediction="data", **asked)
            x = work.empty(len(LABELS), *network.shape)
            model(x, 0.3)
        out = model(x, 0.4)
        assert (out.device, out.dtype, out.shape) == (imagined(), x.dtype, x.shape)
    assert work.kernels.total()
    return work


ASKED = {
    "plain": {},
    "guided": {"guidance": 2.0},
    "apart": {"guidance": 2.0, "paired": False},
    "interval": {"guidance": 2.0, "interval": (-2.0, 2.0)},
    "autocast": {"autocast": torch.bfloat16},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=list(ASKED))
@pytest.mark.parametrize("name", ["unet", "tiny", "edm"])
def test_a_module_is_asked_without_waiting(name: str, asked: dict[str, Any]):
    network = {"unet": unet, "tiny": tiny, "edm": edm}[name]()
    labels = [label % network.classes for label in LABELS]
    assert second_call(network, labels, **asked).uploads == 0


@pytest.mark.parametrize("labels", [LABELS, None], ids=["classes", "none"])
@pytest.mark.parametrize("name", ["digits", "digits-mixture", "digits-empirical"])
def test_named_networks_are_asked_without_waiting(name: str, labels: list[int] | None):
    assert second_call(named_network(name), labels).uploads == 0


@pytest.mark.parametrize("name", ["image-mixture-32", "digits-gaussian", "mixture"])
def test_exact_laws_are_asked_without_waiting(name: str):
    assert second_call(named_network(name), None).uploads == 0


def test_guidance_in_one_call_launches_less_than_in_two():
    paired, apart = (
        second_call(unet(), LABELS, guidance=2.0, paired=paired) for paired in (True, False)
    )
    assert paired.kernels["convolution"] == second_call(unet(), LABELS).kernels["convolution"]
    assert apart.kernels["convolution"] == 2 * paired.kernels["convolution"]


def test_a_network_that_is_asked_at_labels_of_the_host_waits_and_is_caught():
    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        assert labels is not None
        return x * labels.cpu().to(x.device)[:, None, None, None]

    with pytest.raises(Exception, match=r"the host would wait .* a copy to the host"):
        second_call(gaussians(call=call), LABELS)
