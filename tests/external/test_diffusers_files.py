"""Folders of diffusers networks: what is read of them, and what is refused and why."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from fokker.solvers.networks.checkpoint import read_weights, write_weights
from fokker.solvers.networks.diffusers_networks import from_diffusers
from fokker.solvers.networks.diffusers_training import training_of
from fokker.solvers.networks.errors import CheckpointError
from fokker.solvers.schedules import Trigonometric, VPLinear
from small_diffusers import X, file_of, refused, rewrite, time_of

diffusers = pytest.importorskip("diffusers")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("no_gradients")]


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "boom")


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt"])
def test_weights_that_are_a_pickle_are_refused_with_the_recipe(saved: Path, name: str):
    file_of(saved).unlink()
    mark = saved / "boom"
    (saved / "unet" / name).write_bytes(pickle.dumps(Bomb(mark)))
    sentence = refused(saved, CheckpointError)
    assert f"only as {name!r}, a pickle" in sentence
    assert "save_pretrained(folder, safe_serialization=True)" in sentence
    assert not mark.exists()


def test_a_pickle_in_the_name_of_safetensors_is_refused(saved: Path):
    mark = saved / "boom"
    file_of(saved).write_bytes(pickle.dumps(Bomb(mark)))
    assert "is a pickle" in refused(saved, CheckpointError)
    torch.save({"w": Bomb(mark)}, file_of(saved))
    assert "a pickle is inside" in refused(saved, CheckpointError)
    assert not mark.exists()


def test_weights_that_are_not_those_of_the_config_are_refused(saved: Path):
    path = file_of(saved)
    tensors = read_weights(path).tensors
    first = "conv_in.weight"
    write_weights(path, {**tensors, first: tensors[first] * 1.0, "more": torch.ones(3)})
    assert "have unknown 1 tensors: 'more'" in refused(saved, CheckpointError)
    renamed = {("other" if k == first else k): v for k, v in tensors.items()}
    write_weights(path, renamed)
    assert "lack 1 tensors" in refused(saved, CheckpointError)
    write_weights(path, {k: v for k, v in tensors.items() if k != first})
    assert "describes" in refused(saved, CheckpointError)
    write_weights(path, {**tensors, first: tensors[first].reshape(-1)})
    assert first in refused(saved)


def test_a_config_of_a_giant_is_refused_without_its_memory(saved: Path):
    config = saved / "unet" / "config.json"
    rewrite(config, block_out_channels=[2**20, 2**20])
    assert "describes" in refused(saved, CheckpointError)


def test_weights_that_are_not_finite_are_named(saved: Path):
    import safetensors.torch

    path = file_of(saved)
    tensors = read_weights(path).tensors
    tensors["conv_in.bias"][0] = math.nan
    path.write_bytes(safetensors.torch.save(tensors))
    assert "'conv_in.bias'" in refused(saved, CheckpointError)


def test_no_weights_at_all_are_named(saved: Path):
    file_of(saved).unlink()
    assert "has no weights diffusion_pytorch_model.safetensors" in refused(saved, CheckpointError)
    assert "diffusion_pytorch_model.fp16.saf" in refused(saved, CheckpointError, variant="fp16")


def test_a_network_in_several_files_is_loaded_from_this_folder_only(saved: Path, unet: Any):
    file_of(saved).unlink()
    unet.save_pretrained(saved / "unet", max_shard_size="100KB")
    index = saved / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    t = 0.5
    out = from_diffusers(saved).model()(X, t)
    assert torch.equal(out, unet(X, torch.tensor(499.0)).sample)
    found = json.loads(index.read_text())
    for name, words in (("../x.safetensors", "cannot be a name"), ("a.bin", "no safetensors")):
        found["weight_map"] = dict.fromkeys(found["weight_map"], name)
        index.write_text(json.dumps(found))
        assert words in refused(saved)
    index.write_text(json.dumps({"weight_map": [1]}))
    assert "must have a weight_map" in refused(saved)


def test_a_network_of_its_own_needs_a_scheduler_or_to_be_told(saved: Path, unet: Any):
    shutil.rmtree(saved / "scheduler")
    assert "no config of a scheduler lies beside" in refused(saved)
    process = training_of({"beta_schedule": "linear"}).process
    network = from_diffusers(saved / "unet", process=process, prediction="velocity", name="mine")
    assert (network.name, network.prediction, network.process) == ("mine", "velocity", process)
    assert torch.equal(network.model()(X, time_of(network, 9)), unet(X, 9).sample)
    diffusers.DDPMScheduler().save_pretrained(saved / "unet")
    assert from_diffusers(saved, subfolder="unet").prediction == "noise"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"_class_name": "AutoencoderKL"}, "class 'AutoencoderKL' is not supported; accepted: UN"),
        ({"_class_name": ["os"]}, "is not supported"),
        ({"in_channels": 9}, "takes 9 channels and gives 2"),
        ({"sample_size": None}, "give size"),
        ({"quantization_config": {}}, "is quantised"),
        ({"down_block_types": ["Evil", "Evil"]}, "diffusers cannot load the network"),
        ({"num_class_embeds": -1}, "number of classes must be a positive integer"),
    ],
)
def test_a_config_that_is_no_supported_network_is_refused(
    saved: Path, changed: dict[str, Any], words: str
):
    rewrite(saved / "unet" / "config.json", **changed)
    assert words in refused(saved)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prediction_type": "dreams"}, "unknown prediction_type 'dreams'; accepted: epsilon"),
        ({"beta_schedule": "__import__"}, "unknown beta_schedule '__import__'; accepted: linear"),
        ({"beta_start": "0.1"}, "beta_start of the scheduler must be a positive number"),
        ({"beta_end": math.inf}, "beta_end of the scheduler must be a positive number, got 'inf'"),
        ({"num_train_timesteps": 10**9}, "must be from 2 to 100000"),
        ({"trained_betas": "0.1"}, "trained_betas must be a list"),
        ({"trained_betas": [0.1, 2.0]}, "makes no process"),
        ({"beta_schedule": ..., "_class_name": "Odd"}, "levels of 'Odd' are not known here"),
    ],
)
def test_a_scheduler_that_tells_nothing_is_refused(
    saved: Path, changed: dict[str, Any], words: str
):
    rewrite(saved / "scheduler" / "scheduler_config.json", **changed)
    assert words in refused(saved)


def test_what_is_given_must_make_sense(saved: Path):
    assert "unknown prediction 'eps'" in refused(saved, prediction="eps")
    assert "a Trigonometric has no number" in refused(saved, process=Trigonometric())
    assert "a VPLinear has no number" in refused(saved, process=VPLinear())
    assert "null = 0 is a row of conditions" in refused(saved, null=0)
    assert "give size" in refused(saved, size=0)
    assert from_diffusers(saved, size=(4, 8)).shape == (2, 4, 8)
    assert "fails on a sample" in refused(saved, size=3)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "neither a folder nor a name owner/name"),
        ("../../etc/passwd", "neither a folder nor"),
        ("a\0b", "neither a folder nor"),
        ("owner/name", "cannot be had from the hub"),
    ],
)
def test_a_source_that_is_none_is_named(tmp_path: Path, source: str, words: str):
    assert words in refused(source, local_files_only=True, cache_dir=tmp_path)


@pytest.mark.parametrize("subfolder", ["..", "../unet", "/etc", "a\0b", "vae"])
def test_a_subfolder_lies_inside(saved: Path, subfolder: str):
    sentence = refused(saved, subfolder=subfolder)
    assert "cannot be a name" in sentence or "holds no network" in sentence


def test_a_name_of_the_hub_is_found_in_the_cache_without_a_network(saved: Path, unet: Any):
    cache = saved.parent / "cache" / "models--owner--small-unet"
    commit = "0" * 40
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    shutil.copytree(saved, cache / "snapshots" / commit)
    network = from_diffusers(
        "owner/small-unet", local_files_only=True, cache_dir=saved.parent / "cache"
    )
    assert network.name == "small-unet"
    assert torch.equal(network.model()(X, time_of(network, 3)), unet(X, 3).sample)
