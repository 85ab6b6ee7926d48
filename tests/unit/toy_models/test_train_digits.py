"""The training of the digits network: its objective, its draws, and what it saves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.folder import load_network
from fokker.solvers.networks.unet import SmallUNet
from fokker.toy_models.digits import GREY, digits_images, digits_labels, digits_split
from fokker.toy_models.train_digits import Recipe, average, drawn, main, rate_at, train

TINY = Recipe(steps=6, batch=16, width=4)


def test_images_held_out_are_not_trained_on():
    rows, held = digits_split()
    assert (len(rows), len(held)) == (1500, 297)
    assert sorted([*rows.tolist(), *held.tolist()]) == list(range(1797))
    counts = digits_labels()[held].bincount(minlength=10)
    assert int(counts.min()) >= 15  # every class is judged


def test_batches_are_dequantised_stratified_and_some_forget_their_class():
    """4000 images; the share that is dropped to five standard errors."""
    rows = torch.arange(1000).repeat(4)
    batch = drawn(rows, 0.1, torch.Generator().manual_seed(0))
    noise = (batch.data.flatten(1) - digits_images()[rows]) / GREY
    assert float(noise.abs().max()) <= 0.5 + 1e-5
    assert float(noise.square().mean()) == pytest.approx(1 / 12, rel=0.01)
    assert torch.equal((batch.u.sort().values * 4000).floor().long(), torch.arange(4000))
    dropped = batch.labels == 10
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / 4000))
    assert torch.equal(batch.labels[~dropped], digits_labels()[rows][~dropped])


def test_the_objective_is_least_at_the_direction_from_data_to_noise():
    batch = drawn(torch.arange(32), 0.0, torch.Generator().manual_seed(0))
    target = batch.eps - batch.data
    u = batch.u[:, None, None, None]

    class Knows(SmallUNet):
        offset = 0.0

        def forward(self, z, u_seen, labels=None):
            assert torch.allclose(z, batch.data + u * target, atol=1e-6)
            assert torch.equal(u_seen, batch.u)
            assert torch.equal(labels, digits_labels()[:32])  # pyright: ignore[reportArgumentType]
            return target + self.offset

    net = Knows(1, 8, 4, 10)
    assert float(batch.loss(net)) == 0.0
    net.offset = 0.5
    assert float(batch.loss(net)) == pytest.approx(0.25)


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    assert rate_at(0, 4000) == pytest.approx(1 / 200)
    assert rate_at(2000, 4000) == pytest.approx(0.5)
    assert rate_at(4000, 4000) == 0.0


def test_kept_weights_are_an_exponential_average():
    a, b = SmallUNet(1, 8, 4, 10), SmallUNet(1, 8, 4, 10)
    old = a.stem.weight.clone()
    average(a, b, 0.9)
    assert torch.allclose(a.stem.weight, 0.9 * old + 0.1 * b.stem.weight)


def test_training_is_a_function_of_its_recipe_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    told: list[dict[str, float]] = []
    one, log = train(TINY, told.append, rows=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    two, _ = train(TINY, rows=1)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(p, q)
    assert told == log
    assert [row["step"] for row in log] == [6]


def test_the_script_saves_a_network_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "digits"
    main(["--out", str(folder), "--steps", "3"])
    assert "saved in" in capsys.readouterr().out
    network = load_network(folder)
    log = network.about["log"]
    assert log[-1]["train"] < log[0]["train"]
    assert network.about["recipe"]["steps"] == 3
    assert network.model([3])(torch.zeros(1, 1, 8, 8), 0.5).shape == (1, 1, 8, 8)
    assert json.loads((folder / "network.json").read_text(encoding="utf-8"))["asked"] == "straight"
    with pytest.raises(NetworkError, match="a network already"):
        main(["--out", str(folder), "--steps", "1"])
