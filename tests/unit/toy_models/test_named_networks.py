"""Networks by name: exact ones are the laws they say, classes and guidance included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from fokker.solvers.networks import diffusers_networks
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.network import Network
from fokker.toy_models.digits import digits_labels, digits_mixture, digits_points
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.guided import Guided, restricted
from fokker.toy_models.law import exact_model
from fokker.toy_models.networks import NETWORKS, exact_network, find_network, named_network
from fokker.toy_models.problems import PROBLEMS, problem

OWN = """
from fokker.toy_models.networks import named_network

def mine():
    return named_network("gaussian").named("mine")

def wrong():
    return 3

NOT_A_FUNCTION = 1
"""


def states(n: int, t: float) -> torch.Tensor:
    """States of the digits mixture at a time, (n, 1, 8, 8)."""
    p = problem("digits-mixture")
    node = p.process.node(t)
    eps = torch.randn(n, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (node.alpha * p.law.sample(n, seed=1) + node.sigma * eps).reshape(n, 1, 8, 8)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "image-mixture-64"])
def test_every_name_is_a_network_that_answers(name: str):
    network = named_network(name)
    assert network.name == name
    assert set(PROBLEMS) < set(NETWORKS)
    for node in network.grid(4).nodes[:-1]:
        x = torch.randn(2, *network.shape, generator=torch.Generator().manual_seed(0))
        out = network.model()(x, node.t)
        assert out.dtype == torch.float32
        assert bool(out.isfinite().all())
        assert out.shape == x.shape


def test_a_label_asks_the_gaussian_of_its_class():
    network, law, t = named_network("digits-mixture"), digits_mixture(), 0.5
    x, labels = states(6, t), [3, 0, 9, 10, 3, 7]
    found = network.model(labels)(x, t)
    for row, label in enumerate(labels):
        one = restricted(law, [label]) if label < 10 else law
        if label < 10:
            one = Gaussian(law.means[label], law.covs[label])
        wanted = exact_model(one, network.process)(x[row : row + 1], t)
        assert torch.allclose(found[row], wanted[0], atol=1e-10)
    assert torch.equal(network.model()(x, t), exact_model(law, network.process)(x, t))


def test_classes_add_up_to_the_whole():
    """E[x_0|x] is the mean over classes of E[x_0|x, class], by their probability given x."""
    network, law, t = named_network("digits-mixture"), digits_mixture(), 0.4
    x, node = states(4, t), problem("digits-mixture").process.node(t)
    logs = torch.stack(
        [
            restricted(law, [k]).log_density(x.flatten(1), node.alpha, node.sigma)
            for k in range(10)
        ],
        dim=1,
    )
    given = (law.weights.log() + logs).softmax(1)
    by_class = torch.stack([network.model([k] * 4)(x, t) for k in range(10)], dim=1)
    mixed = (given[:, :, None, None, None] * by_class).sum(1)
    assert torch.allclose(mixed, network.model()(x, t), atol=1e-10)


def test_guidance_is_exact():
    network, law, t = named_network("digits-mixture"), digits_mixture(), 0.6
    x = states(3, t)
    wanted = exact_model(Guided(restricted(law, [4]), law, 2.5), network.process)(x, t)
    assert torch.allclose(network.model([4] * 3, guidance=2.5)(x, t), wanted, atol=1e-10)


def test_without_noise_the_empirical_network_recalls_an_image_of_the_class():
    network = named_network("digits-empirical")
    t = network.grid(2)[1].t
    x = states(5, t)
    found = network.model([2] * 5)(x, t).flatten(1)
    twos = digits_points()[digits_labels() == 2]
    assert float(torch.cdist(found, twos).min(1).values.max()) < 1e-6
    assert network.classes == 10


def test_a_law_fills_its_shape_or_is_refused():
    p = problem("gaussian")
    with pytest.raises(NetworkError, match="dimension 4 does not fill"):
        exact_network("wrong", p.law, p.process, (-4.0, 3.0), shape=(1, 8, 8))


# what a text stands for


def test_a_text_is_a_name_a_folder_or_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert find_network("mixture").name == "mixture"
    own = tmp_path / "own.py"
    own.write_text(OWN, encoding="utf-8")
    assert find_network(f"{own}:mine").name == "mine"
    folder = Path(named_network.__code__.co_filename).with_name("weights") / "digits"
    assert find_network(os.fspath(folder)).classes == 10
    asked: list[str] = []

    def loaded(source: str) -> Network:
        asked.append(source)
        return named_network("line")

    monkeypatch.setattr(diffusers_networks, "from_diffusers", loaded)
    for text in (str(tmp_path), "owner/name-1.0"):
        assert find_network(text).name == "line"
    assert asked == [str(tmp_path), "owner/name-1.0"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("digit-mixture", "accepted: .*digits-mixture"),
        ("", "accepted: digits, "),
        ("own.py:wrong", "must return a Network, got int"),
        ("own.py:NOT_A_FUNCTION", "has no function 'NOT_A_FUNCTION'"),
        ("own.py:absent", "has no function 'absent'"),
    ],
)
def test_what_stands_for_nothing_is_said_so(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, encoding="utf-8")
    with pytest.raises(NetworkError, match=says):
        find_network(text)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(NetworkError, match="image-mixture-32"):
        named_network("digit")
