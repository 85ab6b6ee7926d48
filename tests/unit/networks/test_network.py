"""A network is asked for what it knows, and says in one sentence what it does not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.networks.compiling import compiled
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import VPLinear
from fokker.solvers.wrappers.conditional import guided
from tiny_networks import PROCESS, RANGE, tiny

X = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
T = 0.37
LABELS = [0, 1, 2, 1]


def exact(classes: int = 2, **changed: Any) -> Network:
    """Data prediction ``(1 + label) x/4``, elementwise in float64."""

    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        assert isinstance(t, float)
        factor = 1 if labels is None else 1 + labels[:, None]
        return x * factor / 4

    given: dict[str, Any] = {
        "process": PROCESS, "prediction": "data", "shape": (3,), "lam_range": RANGE, **changed,
    }  # fmt: skip
    return Network("exact", call, classes=classes, **given)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prediction": "epsilon"}, "unknown prediction 'epsilon'; accepted: data, noise"),
        ({"shape": ()}, "positive integers"),
        ({"shape": (3, 0)}, r"positive integers, got \(3, 0\)"),
        ({"lam_range": (1.0, 1.0)}, "finite and increasing"),
        ({"lam_range": (-math.inf, 1.0)}, "finite and increasing"),
        ({"lam_range": (math.nan, 1.0)}, "finite and increasing"),
    ],
)
def test_what_makes_no_network_is_refused(changed: dict[str, Any], words: str):
    with pytest.raises(NetworkError, match=words):
        exact(**changed)


@pytest.mark.parametrize(
    ("network", "given", "words"),
    [
        (exact(0), {"labels": [0]}, "'exact' has no classes, but labels were given"),
        (exact(), {"labels": [[0]]}, r"integers of shape \(B,\), got torch.int64 \(1, 1\)"),
        (exact(), {"labels": [0.5]}, "integers of shape"),
        (exact(), {"labels": [True]}, "integers of shape"),
        (exact(), {"labels": [0, 3]}, r"label 3 is no class of .* accepted: 0 \.\. 1, and 2"),
        (exact(), {"labels": [-1]}, "label -1"),
        (exact(), {"guidance": 2.0}, "guidance 2 needs labels"),
        (exact(0), {"guidance": 2.0}, "guidance 2 needs labels"),
        (exact(null_class=False), {}, "cannot be asked without a class"),
        (exact(null_class=False), {"labels": [0], "guidance": 2.0}, "without a class"),
        (exact(null_class=False), {"labels": [2]}, r"accepted: 0 \.\. 1$"),
    ],
    ids=range(11),
)
def test_labels_that_the_network_does_not_know_are_refused(
    network: Network, given: dict[str, Any], words: str
):
    with pytest.raises(NetworkError, match=words):
        network.model(**given)


def test_guidance_that_is_none_is_refused():
    wrongs: list[dict[str, Any]] = [
        {"guidance": math.nan},
        {"guidance": 2.0, "interval": (1.0, 0.0)},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidPlanError):
            exact().model(LABELS, **wrong)


def test_batches_that_do_not_fit_are_refused_when_asked():
    with pytest.raises(NetworkError, match=r"takes x of shape \(B, 3\), got \(4, 2\)"):
        exact().model(LABELS)(X[:, :2], T)
    with pytest.raises(NetworkError, match="4 labels were given for a batch of 3"):
        exact().model(LABELS)(X[:3], T)


def test_each_row_is_asked_for_its_label_and_for_none_without_labels():
    factors = torch.tensor([1, 2, 3, 2])[:, None] / 4
    assert torch.equal(exact().model(LABELS)(X, T), X * factors)
    assert torch.equal(exact().model(torch.tensor(LABELS))(X, T), X * factors)
    assert torch.equal(exact().model()(X, T), X * 0.75)  # the label 2 stands for no class
    assert torch.equal(exact(0).model()(X, T), X * 0.25)
    assert torch.equal(exact(null_class=False).model([0, 1, 1, 0])(X, T)[0], X[0] * 0.25)


@pytest.mark.parametrize("target", PREDICTIONS)
def test_every_prediction_is_had_by_the_exact_conversion(target: str):
    network = exact(sigma_data=0.7)
    data = network.model(LABELS)(X, T)
    wanted = convert(data, X, PROCESS.node(T), source="data", target=target, sigma_data=0.7)
    torch.testing.assert_close(network.model(LABELS, prediction=target)(X, T), wanted)


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_guidance_is_the_mixture_of_both_answers(weight: float, prediction: str):
    network, unlabelled = exact(), [2, 2, 2, 2]
    c, u = (network.model(y, prediction=prediction)(X, T) for y in (LABELS, unlabelled))
    for paired in (True, False):
        out = network.model(LABELS, prediction=prediction, guidance=weight, paired=paired)(X, T)
        torch.testing.assert_close(out, u + weight * (c - u), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("paired", [True, False])
def test_guidance_asks_once_a_doubled_batch_or_twice_and_outside_its_interval_once(paired: bool):
    sizes: list[int] = []
    network = exact()

    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        sizes.append(len(x))
        return network.call(x, t, labels)

    counted = Network("counted", call, PROCESS, "data", (3,), RANGE, classes=2)
    lam = float(PROCESS.lam(T))
    model = counted.model(LABELS, guidance=2.0, interval=(lam, lam + 1), paired=paired)
    model(X, T)
    assert sizes == ([8] if paired else [4, 4])
    sizes.clear()
    outside = model(X, T + 0.01)  # noisier: just below the interval
    assert sizes == [4]
    assert torch.equal(outside, counted.model(LABELS)(X, T + 0.01))


def test_one_doubled_call_equals_two_calls_to_rounding_in_a_trained_form():
    x = X.float()
    one, two = (tiny().model(LABELS, guidance=4.0, paired=p)(x, T) for p in (True, False))
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)


def test_both_answers_at_once_are_those_of_the_two_models():
    a, b = (lambda x, t: 2 * x + t), (lambda x, t: x - t)
    plain = guided(a, b, VPLinear(), weight=3.0)
    both = guided(a, b, VPLinear(), weight=3.0, both=lambda x, t: (a(x, t), b(x, t)))
    assert torch.equal(plain(X, T), both(X, T))


@pytest.mark.parametrize("state", [torch.float32, torch.float64])
def test_under_autocast_only_the_network_computes_in_less(state: torch.dtype):
    """bfloat16 keeps 8 bits: a linear layer of 64 terms errs by about 2^-8 of its size."""
    network = tiny(size=64, prediction="data")
    x = torch.randn(8, 64, dtype=state)
    seen: list[torch.dtype] = []
    assert network.module is not None
    layer = network.module.get_submodule("mix")
    hook = layer.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    with torch.no_grad():
        fine = network.model([0] * 8)(x, T)
        coarse = network.model([0] * 8, autocast=torch.bfloat16)(x, T)
    hook.remove()
    assert seen == [torch.float32, torch.bfloat16]
    assert coarse.dtype == fine.dtype == state
    error = float((coarse - fine).norm() / fine.norm())
    assert 1e-5 < error < 2.0**-8  # less than 2^-8, and more than rounding in float32


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_grid_spans_the_levels_of_the_network(steps: int):
    plain, whole = exact().grid(steps, to_zero=False), exact().grid(steps)
    assert len(plain) == len(whole) == steps
    assert (plain[0].lam, plain[-1].lam) == RANGE
    assert whole[0].lam == RANGE[0]
    assert whole.to_zero
    if steps > 1:
        assert whole[-2].lam == RANGE[1]
        gaps = [t.lam - s.lam for s, t in plain.steps()]
        assert gaps == pytest.approx([8 / steps] * steps)


@pytest.mark.parametrize("steps", [0, -1, 2.5, "3", True])
@pytest.mark.parametrize("to_zero", [True, False])
def test_what_is_no_number_of_steps_is_refused(steps: Any, to_zero: bool):
    with pytest.raises(InvalidGridError, match=f"at least 1, got {steps!r}"):
        exact().grid(steps, to_zero=to_zero)


def test_a_network_moves_with_its_module_and_takes_another_name():
    network = tiny()
    assert network.named("other").name == "other"
    assert network.to(dtype=torch.float64) is network
    assert network.model(LABELS)(X, T).dtype == torch.float64
    assert exact().to("cpu").module is None


@pytest.mark.slow
def test_a_compiled_network_equals_the_eager_one_to_rounding():
    network = tiny(size=8)
    fast = compiled(network, dynamic=False, backend="aot_eager")
    x = torch.randn(4, 8)
    with torch.no_grad():
        for t in (0.2, 0.6):  # another level is the same program
            out, wanted = (n.model(LABELS)(x, t) for n in (fast, network))
            torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_what_cannot_be_compiled_is_refused():
    with pytest.raises(NetworkError, match="'exact' has no module that could be compiled"):
        compiled(exact())
    with pytest.raises(
        NetworkError, match=r"unknown mode 'fast' of torch\.compile; accepted: def"
    ):
        compiled(tiny(), mode="fast")
