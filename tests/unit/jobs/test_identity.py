"""A network is its weights, its words and its answers, not its name; a device is no part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.errors import NonFiniteError
from fokker.solvers.networks import identity as identities
from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.identity import HALF_TOLERANCE, TOLERANCE, Identity, identity_of
from fokker.solvers.networks.network import Network
from fokker.solvers.normals import normal_field
from fokker.solvers.schedules import VE, VPLinear
from fokker.toy_models.empirical import Empirical
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.networks import exact_network
from small_networks import denoise, gaussians


class Scaled(nn.Module):
    """One parameter, one buffer that is saved and one that is not."""

    def __init__(self, weight: float = 0.5, saved: float = 0.0, unsaved: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.register_buffer("saved", torch.tensor(saved))
        self.register_buffer("unsaved", torch.tensor(unsaved), persistent=False)

    def forward(self, z: Tensor, *_: Any) -> Tensor:
        return self.weight * z


class Twice(Scaled):
    """The same weights, and another use of them."""

    def forward(self, z: Tensor, *_: Any) -> Tensor:
        return 2 * self.weight * z


class Compiled(nn.Module):
    """As torch.compile wraps a module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


def scaled(module: nn.Module | None = None, **more: Any) -> Network:
    fields: dict[str, Any] = {"prediction": "data", "shape": (2, 3), "lam_range": (-4.0, 4.0)}
    process = more.pop("process", VPLinear())
    return module_network("scaled", module or Scaled(), process, **fields | more)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"module": Scaled(0.5 + 2**-24)}, "its weights SHA-256 is "),
        ({"module": Scaled(saved=1e-30)}, "its weights SHA-256 is "),
        ({"module": Scaled(unsaved=1e-30)}, "its weights SHA-256 is "),
        ({"module": Scaled().double()}, "its weights SHA-256 is "),
        (
            {"module": Twice()},
            'its architecture is {"name": "Scaled"} there and {"name": "Twice"}',
        ),
        ({"asked": "lam"}, "its call SHA-256 is "),
        ({"sigma_data": 0.4}, "its sigma_data is 0.5 there and 0.4 here"),
        ({"process": VPLinear(0.1, 20.5)}, 'its process is {"name": "vp-linear", '),
        ({"prediction": "noise"}, 'its prediction is "data" there and "noise" here'),
        ({"shape": (3, 2)}, "its shape is [2, 3] there and [3, 2] here"),
        ({"lam_range": (-4.0, 3.0)}, "its lam_range is [-4.0, 4.0] there and [-4.0, 3.0] here"),
        ({"classes": 2}, "its classes is 0 there and 2 here"),
    ],
)
def test_whatever_makes_another_network_is_named(change: dict[str, Any], sentence: str):
    found = identity_of(scaled()).difference(identity_of(scaled(**change)))
    assert found is not None
    assert found.startswith(sentence)


def test_the_same_weights_elsewhere_are_the_same_network():
    one, again = identity_of(scaled()), identity_of(scaled(about={"words": 1}).named("other"))
    assert one.difference(again) is None
    assert (one.digest, hash(one)) == (again.digest, hash(again))
    network = scaled()
    assert network.module is not None
    assert identity_of(replace(network, module=Compiled(network.module))).digest == one.digest
    two = nn.ModuleDict({"a": Scaled(1.0), "b": Scaled(2.0)})
    swapped = nn.ModuleDict({"a": Scaled(2.0), "b": Scaled(1.0)})
    assert identity_of(scaled(two)).digest != identity_of(scaled(swapped)).digest


def perturbed(size: float, noise: bool = True) -> Callable[..., Tensor]:
    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        out = denoise(x, t, labels)
        shift = torch.randn_like(out) * out.square().mean().sqrt() if noise else out
        return out + size * shift

    return call


@pytest.mark.parametrize("noise", [False, True])
def test_rounding_of_a_device_is_no_difference_and_another_function_is(noise: bool):
    exact = identity_of(gaussians())
    for size in (1e-7, TOLERANCE / 10):
        assert exact.difference(identity_of(gaussians(call=perturbed(size, noise)))) is None
    for size in (4 * TOLERANCE, 0.1):
        found = exact.difference(identity_of(gaussians(call=perturbed(size, noise))))
        assert "its answer to probe 0 (rms and projections) is (" in str(found)
    other = identity_of(gaussians(call=lambda x, t, k: -denoise(x, t, k)))
    assert "its answer to probe 0" in str(exact.difference(other))  # of the same size
    assert all(exact.probes["answers"])
    half = identity_of(scaled(Scaled().half()))
    assert (exact.probes["tolerance"], half.probes["tolerance"]) == (TOLERANCE, HALF_TOLERANCE)


@pytest.mark.parametrize("error", [NonFiniteError("no"), RuntimeError("no"), None])
def test_a_probe_that_fails_says_nothing(error: Exception | None):
    def fails(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        if error is not None:
            raise error
        return torch.full_like(x, torch.nan)

    found = identity_of(gaussians(call=fails))
    assert found.probes["answers"] == [None] * 3
    assert found.difference(identity_of(gaussians())) is None


def test_all_classes_and_levels_are_asked():
    """Another answer for one class, at one level only, is seen where that is probed."""
    seen: list[tuple[float, int]] = []

    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        assert labels is not None
        seen.append((gaussians().process.node(t).lam, int(labels)))
        return denoise(x, t, labels)

    identity_of(gaussians(call=call, classes=9))
    assert [label for _, label in seen] == [0, 4, 9]
    assert [lam for lam, _ in seen] == pytest.approx([-2.0, 0.0, 2.0])
    identity_of(gaussians(call=call, classes=9, null_class=False))
    assert seen[-1][1] == 8


def test_a_process_that_cannot_be_written_down_is_known_by_its_times():
    class Own(VE):
        pass

    class Slow(VE):
        def node_at_lam(self, lam: float) -> Any:
            node = super().node_at_lam(lam)
            return node._replace(t=node.t * (1 + 1e-6))

    Slow.__name__, Slow.__qualname__ = Own.__name__, Own.__qualname__
    one, other = (identity_of(scaled(process=kind())) for kind in (Own, Slow))
    assert one.digest == other.digest
    assert one.difference(identity_of(scaled(process=Own()))) is None
    assert str(one.difference(other)).startswith("its times at nine levels are (")


def test_an_exact_law_is_known_by_its_numbers_not_by_the_signs_of_a_library():
    cov = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def of(mean: Tensor, cov: Tensor, turn: float = 1.0) -> Network:
        law = Gaussian(mean, cov)
        law.__dict__["eigenvectors"] = turn * law.eigenvectors
        return exact_network("law", law, VPLinear(), (-4.0, 4.0))

    one = identity_of(of(mean, cov))
    assert one.difference(identity_of(of(mean, cov, -1.0))) is None
    assert one.difference(identity_of(of(mean + 1e-12, cov * (1 + 1e-12)))) is None
    zero = identity_of(of(0 * mean, cov))
    assert zero.difference(identity_of(of(0 * mean + 1e-17, cov))) is None
    assert (
        one.difference(identity_of(of(1.05 * mean, cov)))
        == "the tensor laws[0].mean is another one"
    )
    assert (
        one.difference(identity_of(of(mean, 1.05 * cov)))
        == "the tensor laws[0].cov is another one"
    )


def test_a_tensor_is_read_in_pieces_and_every_number_of_it_counts(monkeypatch: pytest.MonkeyPatch):
    points = torch.from_numpy(normal_field(b"points", (0,), 20_000).reshape(100, 200))

    def of(points: Tensor) -> Identity:
        return identity_of(exact_network("law", Empirical(points), VPLinear(), (-4.0, 4.0)))

    whole = of(points)
    monkeypatch.setattr(identities, "_PIECE", 2 * identities._PERIOD)
    assert of(points).probes["tensors"] == whole.probes["tensors"]
    for i in (0, 50, 99):
        other = points.clone()
        other[i] *= 2
        assert "the tensor laws[0].points is another one" in str(whole.difference(of(other)))
