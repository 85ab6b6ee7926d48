"""Rows at levels of their own are asked as if each were alone, whatever the network is made of."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import ShapeError
from fokker.solvers.model import BatchModel, for_rows
from fokker.solvers.networks.diffusers_call import DiffusersCall
from fokker.solvers.networks.network import Network
from fokker.toy_models.networks import named_network
from small_networks import gaussians
from tiny_networks import PROCESS, tiny

TIMES = torch.tensor([0.7, 0.2, 0.7, 0.45], dtype=torch.float64)
LABELS = [0, 1, 1, 0]


def diffusers_like(whole: bool) -> Network:
    """Two channels and more, a level and a class: what a module of diffusers is given."""

    def module(z: Tensor, *, timestep: Tensor, class_labels: Tensor, return_dict: bool) -> Any:
        assert (timestep.dtype == torch.long) == whole
        assert not return_dict
        level = (timestep.double() / 100 + class_labels)[:, None].to(z.dtype)
        return (torch.cat([z.cos() * level, z], dim=1),)

    call = DiffusersCall(
        module,
        lambda t: (1 / (1 + t), 1000 * t - 1),
        {"class_labels": torch.arange(3)},
        3,
        -1.0,
        whole,
    )
    return Network("like", call, PROCESS, "velocity", (3,), (-4.0, 4.0), classes=2)


@lru_cache
def network(kind: str) -> Network:
    match kind:
        case "exact":
            return named_network("digits-mixture")
        case "function":
            return gaussians((3,), 2)
        case "whole" | "diffusers":
            return diffusers_like(kind == "whole")
    return tiny(prediction="edm", asked=kind, sigma_data=0.7)


KINDS = ("time", "lam", "straight", "edm", "exact", "function", "diffusers", "whole")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@torch.no_grad()
def test_each_row_is_answered_at_its_own_time(kind: str, guidance: float):
    found = network(kind)
    x = torch.randn(4, *found.shape, generator=torch.Generator().manual_seed(1)).double()
    lam = float(PROCESS.lam(0.45))
    for interval in ((-9.0, 9.0), (lam - 1e-9, 9.0)):  # the last row is outside, or inside
        how: dict[str, Any] = {"guidance": guidance, "interval": interval, "prediction": "data"}
        rows = found.model(LABELS, **how)(x, TIMES)
        for k in range(4):
            alone = found.model(LABELS[k : k + 1], **how)(x[k : k + 1], float(TIMES[k]))
            torch.testing.assert_close(rows[k : k + 1], alone, rtol=2e-6, atol=2e-6)


@torch.no_grad()
def test_rows_at_one_time_are_asked_with_a_number():
    seen: list[Any] = []
    base = tiny()

    class Spy:
        takes_rows = True

        def __call__(self, x: Tensor, t: Any, labels: Tensor | None) -> Tensor:
            seen.append(t)
            return base.call(x, t, labels)

    model = replace(base, call=Spy()).model(LABELS, prediction="data")
    x = torch.ones(4, 3)
    one, many = model(x, 0.3), model(x, torch.full((4,), 0.3, dtype=torch.float64))
    assert seen == [0.3, 0.3]
    assert torch.equal(one, many)
    model(x, TIMES)
    assert torch.equal(seen[2], TIMES)


@torch.no_grad()
def test_a_function_of_one_time_is_asked_once_for_each():
    sizes: list[tuple[float, int]] = []
    base = gaussians((3,), 2)

    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        sizes.append((t, len(x)))
        return base.call(x, t, labels)

    gaussians((3,), 2, call=call).model(LABELS)(torch.ones(4, 3), TIMES)
    assert sizes == [(0.2, 1), (0.45, 1), (0.7, 2)]


@torch.no_grad()
def test_some_rows_of_a_batch_keep_their_labels():
    x = torch.randn(4, 3)
    model = tiny().model(LABELS, guidance=2.0)
    whole = model(x, TIMES)
    places = torch.tensor([3, 1]).numpy()
    some = for_rows(model, places)(x[places], TIMES[places])
    torch.testing.assert_close(some, whole[places])
    assert isinstance(model, BatchModel)
    plain = tiny().model()
    assert for_rows(plain, places) is plain


def test_times_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(ShapeError, match=r"t must be a scalar or of shape \(4,\), got \(3,\)"):
        tiny().model(LABELS)(torch.ones(4, 3), TIMES[:3])


@pytest.mark.parametrize("lam", [-4.0, -3.5, -1.5, 0.5, 2.5, 4.0])
def test_an_interval_holds_its_own_ends_though_a_time_rounds_them(lam: float):
    t = PROCESS.node_at_lam(lam).t
    base, x = gaussians((3,), 2), torch.ones(1, 3)
    for interval in ((lam, 9.0), (-9.0, lam)):
        guided = base.model([1], guidance=3.0, interval=interval)(x, t)
        assert torch.equal(guided, base.model([1], guidance=3.0)(x, t))
