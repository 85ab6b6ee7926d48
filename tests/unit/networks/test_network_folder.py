"""A network comes back from its folder as it was; a folder that lies is refused by field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fokker.solvers.errors import OutputError
from fokker.solvers.networks.checkpoint import write_weights
from fokker.solvers.networks.errors import CheckpointError, NetworkError
from fokker.solvers.networks.folder import load_network, save_network
from fokker.solvers.networks.names import check_name, inside
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import EDM
from tiny_networks import PROCESS, tiny

X = torch.linspace(-1, 1, 6).reshape(2, 3)


def answers(network: Network) -> torch.Tensor:
    with torch.no_grad():
        return network.call(X, 0.3, torch.tensor([0, 2]))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_network(tmp_path / "net", tiny())


def refused(folder: Path, kind: type[Exception] = NetworkError) -> str:
    with pytest.raises(kind) as caught:
        load_network(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_network_comes_back_as_it_was(saved: Path):
    before, state = tiny(), torch.get_rng_state()
    after = load_network(saved)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(answers(after), answers(before))
    for field in ("name", "process", "prediction", "shape", "lam_range", "classes", "about"):
        assert getattr(after, field) == getattr(before, field)
    assert after.module is not None
    assert not after.module.training
    assert sorted(f.name for f in saved.parent.iterdir()) == ["net"]  # no part is left


def test_half_precision_is_half_of_the_file_and_comes_back_as_float32(tmp_path: Path):
    whole = save_network(tmp_path / "a", tiny(size=64))
    half = save_network(tmp_path / "b", tiny(size=64), dtype=torch.float16)
    sizes = [(f / "weights.safetensors").stat().st_size for f in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    module = load_network(half).module
    assert module is not None
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    like = tiny(size=64).module
    assert like is not None
    torch.testing.assert_close(module.state_dict(), like.state_dict(), rtol=1e-3, atol=1e-4)


def test_a_network_of_float64_comes_back_as_one(tmp_path: Path):
    network = tiny().to(dtype=torch.float64)
    after = load_network(save_network(tmp_path / "a", network))
    assert torch.equal(answers(after), answers(network))
    assert answers(after).dtype == torch.float64


@pytest.mark.parametrize("moment", ["first", "again"])
def test_a_network_is_replaced_only_if_asked(saved: Path, moment: str):
    with pytest.raises(NetworkError, match=r"holds a network already \(overwrite=True"):
        save_network(saved, tiny(seed=1))
    assert torch.equal(answers(load_network(saved)), answers(tiny()))
    save_network(saved, tiny(seed=1), overwrite=True)
    assert torch.equal(answers(load_network(saved)), answers(tiny(seed=1)))
    (saved / "mine.txt").write_text("precious")
    with pytest.raises(NetworkError, match=r"holds 'mine\.txt'; nothing was written"):
        save_network(saved, tiny(), overwrite=True)
    assert (saved / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("which", [1, 2])
def test_a_failure_at_the_last_moment_leaves_the_old_network(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, which: int
):
    real, calls = Path.replace, []

    def failing(self: Path, target: Any) -> Path:
        if self.is_dir():
            calls.append(self)
            if len(calls) == which:
                raise failure
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        save_network(saved, tiny(seed=1), overwrite=True)
    assert torch.equal(answers(load_network(saved)), answers(tiny()))
    assert [f.name for f in saved.parent.iterdir()] == ["net"]


def test_what_is_no_folder_is_not_replaced(tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(NetworkError, match="is no folder; nothing was written"):
            save_network(tmp_path / name, tiny(), overwrite=True)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_network_that_cannot_be_saved_says_why(tmp_path: Path):
    exact = Network("exact", lambda x, *_: x, PROCESS, "data", (3,), (-4.0, 4.0))
    with pytest.raises(NetworkError, match="'exact' has no module of weights"):
        save_network(tmp_path / "a", exact)
    with pytest.raises(NetworkError, match="must fit into JSON"):
        save_network(tmp_path / "a", tiny(about={"made": object()}))
    with pytest.raises(NetworkError, match="cannot be a name"):
        save_network(tmp_path / "a", tiny().named("../a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("format", 2, "accepted: 1"),
        ("format", True, "accepted: 1"),
        ("name", "../../etc", "cannot be a name"),
        ("name", 3, "accepted: a name"),
        ("architecture", "os.system", "unknown architecture 'os.system'; accepted: "),
        ("architecture", "tiny-mixx", "accepted: tiny-mix"),
        ("config", {"size": 3, "classes": 2, "depth": 1}, "cannot be built from"),
        ("config", {"size": -3, "classes": 2}, "cannot be built from"),
        (
            "config",
            {"size": 10**7, "classes": 2},
            "has the shape (3, 3), not (10000000, 10000000)",
        ),
        ("config", [], "accepted: an object"),
        ("asked", "eval", "accepted: time, lam, straight, edm"),
        ("asked", ["time"], "accepted: time"),
        ("process", {"name": "builtins.exec"}, "unknown process 'builtins.exec'"),
        ("prediction", "epsilon", "accepted: data, noise"),
        ("shape", [3, 0], "positive integers"),
        ("shape", [], "positive integers"),
        ("shape", [3.0], "positive integers"),
        ("shape", [4], "fails on a sample of shape (4,)"),
        ("shape", [2**14, 2**14], "more than"),
        ("lam_range", [4, -4], "must be finite and increasing"),
        ("lam_range", [-4], "two numbers"),
        ("lam_range", [-4, "4"], "two numbers"),
        ("classes", 9, "fails on a sample"),
        ("classes", -1, "an integer from 0 up"),
        ("sigma_data", 0, "a positive number"),
        ("about", "me", "accepted: an object"),
        ("digest", "0" * 64, "are not those that its network.json was written with"),
        ("digest", None, "64 hexadecimal digits"),
    ],
)
def test_every_field_of_the_record_is_checked(saved: Path, field: str, value: Any, words: str):
    record = json.loads((saved / "network.json").read_text())
    assert field in record
    (saved / "network.json").write_text(json.dumps({**record, field: value}))
    assert words in refused(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {k: v for k, v in r.items() if k != "process"}, "lacks the field 'process'"),
        (lambda r: {**r, "run": "rm -rf /"}, "has the field 'run'; fields: format, name"),
        (lambda r: [r], "must be a JSON object, got list"),
    ],
)
def test_fields_are_all_there_and_no_others(saved: Path, change: Callable[[Any], Any], words: str):
    record = json.loads((saved / "network.json").read_text())
    (saved / "network.json").write_text(json.dumps(change(record)))
    assert words in refused(saved)


def test_a_record_that_is_no_json_or_too_long_is_refused(saved: Path):
    record = saved / "network.json"
    text = record.read_text()
    record.write_text(text.replace('"classes": 2', '"classes": 2, "classes": 3'))
    assert "the key 'classes' is there twice" in refused(saved)
    record.write_text(text.replace('"classes": 2', '"classes": NaN'))
    assert "NaN is no number" in refused(saved)
    with record.open("ab") as file:
        file.truncate(2**25)
    assert "bytes; at most" in refused(saved)


def test_weights_of_another_network_are_refused(saved: Path):
    other = save_network(saved.parent / "other", tiny(seed=1))
    (other / "weights.safetensors").replace(saved / "weights.safetensors")
    assert "are not those" in refused(saved, CheckpointError)
    larger = save_network(saved.parent / "larger", tiny(size=4))
    (larger / "weights.safetensors").replace(saved / "weights.safetensors")
    assert "has the shape" in refused(saved, CheckpointError)
    write_weights(saved / "weights.safetensors", {"mix.weight": torch.ones(3, 3)})
    assert "lacks 2 tensors" in refused(saved, CheckpointError)


@pytest.mark.parametrize("file", ["network.json", "weights.safetensors"])
def test_a_link_out_of_the_folder_is_refused(saved: Path, file: str):
    (saved / file).rename(saved.parent / file)
    (saved / file).symlink_to(saved.parent / file)
    assert "leads out of its folder" in refused(saved)
    (saved / file).unlink()
    (saved / file).symlink_to(saved / file)  # to itself
    refused(saved)
    (saved / file).unlink()
    assert "cannot read" in refused(saved)


def test_the_folder_itself_may_be_a_link(saved: Path):
    link = saved.parent / "link"
    link.symlink_to(saved)
    assert torch.equal(answers(load_network(link)), answers(tiny()))


@pytest.mark.parametrize("place", ["missing", "null\0byte", "file"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    assert "cannot" in refused(tmp_path / place)


NAMES = ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "a\0b", "a\nb", ".hidden",
         "a.", " a", "a" * 101, "a*", "\u202egnp"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_tricks_in_names_are_refused(tmp_path: Path, name: str):
    for function in (check_name, lambda n: inside(tmp_path, n)):
        with pytest.raises(NetworkError, match="cannot be a name"):
            function(name)


@pytest.mark.parametrize(
    "name", ["a", "unet-32_v1.2", "λ-network", "a..b", "with blank", "a" * 100]
)
def test_honest_names_are_accepted(tmp_path: Path, name: str):
    assert inside(tmp_path, name) == tmp_path / name


def test_a_link_in_the_place_of_a_name_is_followed_only_inside(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_text("")
    (tmp_path / "folder" / "near").symlink_to("real")
    (tmp_path / "folder" / "far").symlink_to(os.sep)
    assert inside(tmp_path / "folder", "near").name == "near"
    with pytest.raises(NetworkError, match="leads out of its folder"):
        inside(tmp_path / "folder", "far")


def test_an_edm_network_keeps_its_sigma_data(tmp_path: Path):
    from dataclasses import replace

    from fokker.solvers.networks.asking import ModuleCall

    base = tiny()
    assert base.module is not None
    call = ModuleCall(base.module, EDM(), "edm", 0.7)
    network = replace(base, call=call, process=EDM(), prediction="edm", sigma_data=0.7)
    after = load_network(save_network(tmp_path / "a", network))
    assert after.sigma_data == 0.7
    assert torch.equal(answers(after), answers(network))
