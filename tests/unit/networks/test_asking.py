"""A module is shown the state and the level that it was trained to be shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.networks.architectures import (
    architecture,
    build_module,
    config_of,
    get_architecture,
)
from fokker.solvers.networks.asking import ASKED, ModuleCall, check_answers, module_network
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from tiny_networks import PROCESS, tiny


class Seen(nn.Module):
    """Remembers what it was shown."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, z: Tensor, c: Tensor, labels: Tensor | None) -> Tensor:
        self.seen = z, c, labels
        return z


@pytest.mark.parametrize(
    "process", [VPLinear(), RectifiedFlow(), EDM()], ids=lambda p: type(p).__name__
)
def test_the_state_and_the_level_are_shown_as_the_table_says(process: Any):
    t, s_d = 0.37 * process.t_max, 0.7
    a, s = float(process.alpha(t)), float(process.sigma(t))
    wanted = {
        "time": (1.0, t),
        "lam": (1.0, math.log(a / s)),
        "straight": (1 / (a + s), s / (a + s)),
        "edm": (1 / (a * math.sqrt((s / a) ** 2 + s_d**2)), math.log(s / a) / 4),
    }
    assert wanted.keys() == set(ASKED)
    for asked, (scale, c) in wanted.items():
        module = Seen(torch.float64)
        x = torch.randn(3, 2, dtype=torch.float64)
        ModuleCall(module, process, asked, s_d)(x, t, None)
        z, level, labels = module.seen
        torch.testing.assert_close(z, scale * x, rtol=1e-14, atol=0)
        torch.testing.assert_close(level, torch.full((3,), c).double() * 0 + c, rtol=1e-13, atol=0)
        assert labels is None


@pytest.mark.parametrize(
    ("dtype", "level"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
@pytest.mark.parametrize("state", [torch.float32, torch.float64])
def test_levels_are_never_told_in_less_than_float32(
    dtype: torch.dtype, level: torch.dtype, state: torch.dtype
):
    module = Seen(dtype)
    network = module_network(
        "seen", module, PROCESS, prediction="data", shape=(2,), lam_range=(-1.0, 1.0)
    )
    out = network.model()(torch.ones(1, 2, dtype=state), 0.3)
    assert module.seen[0].dtype == dtype
    assert module.seen[1].dtype == level
    assert out.dtype == state


def test_a_module_of_no_weights_is_asked_in_the_dtype_of_the_state():
    call = ModuleCall(lambda z, *_: z, RectifiedFlow(), "straight")
    assert call(torch.ones(1, 2, dtype=torch.float64), 0.5, None).dtype == torch.float64


def test_where_there_is_no_level_to_tell_it_says_so():
    call = ModuleCall(Seen(), RectifiedFlow(), "edm")
    with pytest.raises(NetworkError, match="at t = 1 a module that is asked by 'edm' would be"):
        call(torch.ones(1, 2), 1.0, None)
    with pytest.raises(NetworkError, match="unknown way of asking a module 'sigma'; accepted: ti"):
        ModuleCall(Seen(), RectifiedFlow(), "sigma")


def test_a_module_is_put_into_evaluation_mode():
    module = nn.Dropout()
    module_network("a", module, PROCESS, prediction="data", shape=(2,), lam_range=(-1.0, 1.0))
    assert not module.training


def answering(function: Any, shape: tuple[int, ...] = (2,)) -> Network:
    return Network("a", function, PROCESS, "data", shape, (-1.0, 1.0))


def fails(x: Tensor, t: float, labels: Any) -> Tensor:
    msg = "mat1 and mat2\ncannot be multiplied"
    raise RuntimeError(msg)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (answering(fails), "fails on a sample of shape (2,): mat1 and mat2 cannot be"),
        (answering(lambda x, *_: x[:, :1]), "of shape (2,), got shape (1,)"),
        (answering(lambda x, *_: x / 0), "not finite"),
        (answering(lambda x, *_: x, (2**20, 2**10)), "has more than"),
    ],
    ids=range(4),
)
def test_a_network_that_does_not_answer_is_found_by_asking_once(network: Network, words: str):
    with pytest.raises(NetworkError) as caught:
        check_answers(network)
    assert words in str(caught.value)


def test_a_network_that_answers_passes():
    check_answers(tiny())
    check_answers(tiny(classes=0))


def test_an_architecture_is_built_from_its_numbers_and_gives_them_back():
    state = torch.get_rng_state()
    module = build_module("tiny-mix", {"size": 2, "classes": 1})
    assert torch.equal(torch.get_rng_state(), state)
    assert config_of(module) == ("tiny-mix", {"size": 2, "classes": 1})
    assert get_architecture("tiny-mix").asked == "time"
    meta = build_module("tiny-mix", {"size": 10**6}, "meta")
    assert next(meta.parameters()).shape == (10**6, 10**6)  # and no memory was taken for it


def test_what_is_no_architecture_is_refused():
    with pytest.raises(
        NetworkError, match=r"unknown architecture 'torch\.nn\.Linear'; accepted: "
    ):
        build_module("torch.nn.Linear", {})
    with pytest.raises(NetworkError, match=r"'tiny-mix' cannot be built from \{'width': 3\}"):
        build_module("tiny-mix", {"width": 3})
    with pytest.raises(NetworkError, match="a Linear is of no registered architecture"):
        config_of(nn.Linear(1, 1))
    with pytest.raises(NetworkError, match="'tiny-mix' is there already"):
        architecture("tiny-mix")(Seen)
    with pytest.raises(NetworkError, match="unknown way of asking"):
        architecture("other", asked="sigma")
    module = build_module("tiny-mix", {"size": 2})
    del module.config
    with pytest.raises(NetworkError, match="must keep its config"):
        config_of(module)


def test_the_built_in_architectures_are_known_by_name():
    assert get_architecture("small-unet").asked == "straight"
