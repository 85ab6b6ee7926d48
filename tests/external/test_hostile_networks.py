"""Folders of diffusers that lie: only what was checked is read, and nothing without end built."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from fokker.solvers.networks import diffusers_module
from fokker.solvers.networks.checkpoint import read_weights, write_weights
from fokker.solvers.networks.diffusers_networks import from_diffusers
from fokker.solvers.networks.errors import CheckpointError, NetworkError
from small_diffusers import DIT, file_of, made, pipeline, rewrite

diffusers = pytest.importorskip("diffusers")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("no_gradients")]
INDEX = "diffusion_pytorch_model.safetensors.index.json"


def refused(source: Path, kind: type[Exception] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        from_diffusers(source)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 600
    return sentence


def test_an_index_beside_an_honest_file_cannot_bring_in_a_pickle(saved: Path, unet: Any):
    """The library takes the index first, and reads what it names by the ending of its name."""
    torch.save(unet.state_dict(), saved / "unet" / "w.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(unet.state_dict(), "w.bin")}
    (saved / "unet" / INDEX).write_text(json.dumps(index))
    assert "names 'w.bin', which is no safetensors file" in refused(saved)


def test_the_library_is_never_told_to_read_a_file(
    saved: Path, unet: Any, monkeypatch: pytest.MonkeyPatch
):
    def read(*_: Any, **__: Any) -> Any:
        pytest.fail("the library was asked to read weights")

    monkeypatch.setattr(diffusers.UNet2DModel, "from_pretrained", read)
    monkeypatch.setattr(torch, "load", read)
    state, generator = unet.state_dict(), torch.get_rng_state()
    module = from_diffusers(saved).module
    assert module is not None
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_tensor_in_two_files_is_refused(saved: Path):
    tensors = read_weights(file_of(saved)).tensors
    file_of(saved).unlink()
    names = [f"diffusion_pytorch_model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    for name in names:
        write_weights(saved / "unet" / name, tensors)
    weight_map = {key: names[k % 2] for k, key in enumerate(tensors)}
    (saved / "unet" / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert "tensor 'conv_in.bias' is in" in refused(saved)


@pytest.mark.parametrize(
    "changed",
    [
        {"layers_per_block": 10**12},
        {"block_out_channels": [4] * 500, "down_block_types": ["DownBlock2D"] * 500,
         "up_block_types": ["UpBlock2D"] * 500},
    ],
)  # fmt: skip
def test_layers_without_end_are_not_built(saved: Path, changed: dict[str, Any]):
    rewrite(saved / "unet" / "config.json", **changed)
    sentence = refused(saved)
    assert "tensors, its files hold fewer" in sentence


def test_a_table_of_positions_without_end_is_not_computed(tmp_path: Path):
    folder = pipeline(
        tmp_path, made("DiTTransformer2DModel", DIT), diffusers.DDIMScheduler(), "transformer"
    )
    assert from_diffusers(folder).shape == (2, 8, 8)
    rewrite(folder / "transformer" / "config.json", sample_size=2**16)  # 32 GB
    assert "describes tables of" in refused(folder)


def test_a_table_may_be_as_large_as_the_weights_and_a_little_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = made("DiTTransformer2DModel", DIT)
    held = sum(v.numel() for v in module.state_dict().values())
    folder = pipeline(tmp_path, module, diffusers.DDIMScheduler(), "transformer")
    side = 128
    rewrite(folder / "transformer" / "config.json", sample_size=side)
    table = (side // 4) ** 2 * 16
    monkeypatch.setattr(diffusers_module, "_TABLES", table - held)
    assert from_diffusers(folder).shape == (2, side, side)
    monkeypatch.setattr(diffusers_module, "_TABLES", table - held - 1)
    assert f"describes tables of {table} numbers beside the {held} weights" in refused(folder)


def test_a_file_that_changes_after_its_check_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
):
    other = {"conv_in.weight": torch.ones(3)}
    monkeypatch.setattr(safetensors.torch, "load_file", lambda *_: other)
    assert "changed while it was read" in refused(saved)


def test_names_of_tensors_are_shown_as_they_are_quoted(saved: Path):
    tensors = read_weights(file_of(saved)).tensors
    write_weights(file_of(saved), {**tensors, "\x1b]0;owned\x07\n" + "n" * 999: torch.ones(3)})
    assert r"'\x1b]0;owned\x07\nnnn" in refused(saved)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.safetensors", INDEX])
def test_a_pipe_in_the_place_of_weights_is_not_opened(saved: Path, name: str):
    file_of(saved).unlink()
    os.mkfifo(saved / "unet" / name)
    assert "is no ordinary file" in refused(saved, NetworkError)
