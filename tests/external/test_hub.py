"""A hub name: fetched from a server that speaks as the hub does, and how that can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fokker import cli
from fokker.solvers.networks.diffusers_files import find_files, weight_files
from fokker.solvers.networks.errors import CheckpointError, NetworkError
from small_hub import COMMIT, Hub, small_hub

diffusers = pytest.importorskip("diffusers")
huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore")

STEM = "diffusion_pytorch_model"
UNET = {
    "sample_size": 4, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
    "block_out_channels": (4, 8), "norm_num_groups": 2, "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
}  # fmt: skip
NOISE = {f"unet/{STEM}.bin": b"\x80\x02", f"unet/{STEM}.fp16.safetensors": b"x" * 99,
         "unet/model.py": b"import os", "pipeline.py": b"import os", "model.ckpt": b"\x80\x02",
         "vae/config.json": b"{}", f"vae/{STEM}.safetensors": b"x" * 99}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that this process takes for the real one, and a home of its own."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    getattr(huggingface_hub, "close_session", lambda: None)()
    constants = huggingface_hub.constants
    with small_hub() as found:
        template = found.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        monkeypatch.setattr("time.sleep", lambda _: None)  # between two attempts
        yield found
    getattr(huggingface_hub, "close_session", lambda: None)()


def refused(name: str, cache: Path, kind: type[Exception] = NetworkError) -> str:
    """The sentence with which a name is refused; no half of a download is left."""
    with pytest.raises(kind) as caught:
        weight_files(find_files(name, cache_dir=cache).folder, None)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    assert not [*cache.rglob("*.incomplete"), *cache.rglob("*.safetensors")]
    return sentence


def arrays(folder: Path) -> np.ndarray:
    return np.concatenate([np.load(p) for p in sorted((folder / "arrays").iterdir())])


@pytest.mark.slow
def test_a_name_is_fetched_sampled_as_its_folder_is_and_found_again_without_the_hub(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "pipe"
    diffusers.UNet2DModel(**UNET).save_pretrained(folder / "unet")
    diffusers.DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"_class_name": ["pipeline", "Own"]}')
    hub.add("owner/tiny", folder, NOISE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    words = ["sample", "--steps", "2", "--count", "3", "--batch", "2", "--model"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": str(tmp_path / "work")}  # fmt: skip
    run = [sys.executable, "-m", "fokker", *words, "owner/tiny", "--out", "a"]
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 images made, 0 found" in done.stdout
    assert hub.files_asked() == {
        "model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
        f"unet/{STEM}.safetensors",
    }  # fmt: skip

    assert cli.main([*words, str(folder), "--out", "b"]) == 0
    assert np.array_equal(arrays(tmp_path / "a"), arrays(tmp_path / "b"))
    capsys.readouterr()

    hub.stop()
    assert cli.main([*words, "owner/tiny", "--out", "a"]) == 0
    assert "0 images made, 3 found" in capsys.readouterr().out  # the same weights: the same job
    assert cli.main([*words, "owner/other", "--out", "a"]) == 2
    assert "'owner/other' is no folder here" in capsys.readouterr().err


def test_weights_that_are_only_pickles_are_refused_and_no_byte_of_them_is_asked_for(
    hub: Hub, tmp_path: Path
):
    pickles = {f"unet/{STEM}.bin": b"\x80\x02", f"unet/{STEM}.fp16.bin": b"\x80\x02"}
    hub.repositories["owner/old"] = {"unet/config.json": b"{}", **pickles, "unet/own.py": b""}
    sentence = refused("owner/old", tmp_path / "cache", CheckpointError)
    assert sentence.startswith(f"'owner/old' has weights only as 'unet/{STEM}.bin', a pickle")
    assert "runs the program in it" in sentence
    assert hub.files_asked() == {"unet/config.json"}
    hub.repositories["owner/none"] = {"unet/config.json": b"{}", "vae/a.bin": b"\x80\x02"}
    sentence = refused("owner/none", tmp_path / "cache", CheckpointError)
    assert "has no weights" in sentence  # a pickle elsewhere is not the reason


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ((404, "RepoNotFound"), "there is no such repository, or it is private"),
        ((401, "RepoNotFound"), "there is no such repository, or it is private"),
        ((401, ""), "the hub answers 401"),
        ((403, "GatedRepo"), "it is gated; accept its terms on its page"),
        ((500, ""), "the hub answers 500"),
        ("gated file", "it is gated; accept its terms on its page"),
        ("cut", "the download failed, "),
        ("gone", "does not answer, or may not be asked, and there is no whole copy"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_sentence_with_its_name(
    hub: Hub, tmp_path: Path, trouble: str | tuple[int, str], words: str
):
    weights = f"{STEM}.safetensors"
    data = (2).to_bytes(8, "little") + b"{}"
    hub.repositories["owner/name"] = {"config.json": b"{}", weights: data}
    if isinstance(trouble, tuple):
        hub.refused["owner/name"] = trouble
    elif trouble == "gone":
        hub.stop()
    else:
        (hub.cut if trouble == "cut" else hub.gated_files).add(weights)
    sentence = refused("owner/name", tmp_path)
    assert sentence.startswith("'owner/name' is no folder here, and it cannot be had from the hub")
    assert words in sentence
    if trouble == "cut":  # the line is mended, and the next run has all of it
        hub.cut.clear()
        assert weight_files(find_files("owner/name", cache_dir=tmp_path).folder, None)


OUT = ["../../x.safetensors", "/tmp/x.safetensors", "a\\b.safetensors", "x.bin", "a/b.safetensors"]


@pytest.mark.parametrize("place", OUT)
def test_an_index_that_leads_elsewhere_is_refused_and_nothing_is_written_there(
    hub: Hub, tmp_path: Path, place: str
):
    cache = tmp_path / "1" / "2" / "cache"
    index = json.dumps({"metadata": {}, "weight_map": {"w": place}}).encode()
    tricks = (place, f"{STEM}.safetensors.index/../../../../x.json", "../config.json",
              f"{STEM}-../../-of-00001.safetensors")  # fmt: skip
    hub.repositories["owner/name"] = {
        **dict.fromkeys(tricks, b"x"), "config.json": b"{}",
        f"{STEM}.safetensors.index.json": index,
    }  # fmt: skip
    sentence = refused("owner/name", cache)
    assert "cannot be a name" in sentence or "weights only as 'x.bin', a pickle" in sentence
    assert repr(place) in sentence
    assert hub.files_asked() == {"config.json", f"{STEM}.safetensors.index.json"}
    assert [p for p in tmp_path.rglob("*") if cache not in p.parents and p.is_file()] == []


def test_shards_are_fetched_by_the_names_of_the_library(hub: Hub, tmp_path: Path):
    from fokker.solvers.networks.checkpoint import write_weights

    names = [f"{STEM}-0000{k}-of-00002.safetensors" for k in (1, 2)]
    made = {n: write_weights(tmp_path / n, {n[-3:] + str(k): torch.ones(k + 1)}).read_bytes()
            for k, n in enumerate(names)}  # fmt: skip
    index = json.dumps({"metadata": {}, "weight_map": {str(k): n for k, n in enumerate(names)}})
    hub.repositories["owner/name"] = {
        "config.json": b"{}", f"{STEM}.safetensors.index.json": index.encode(), **made,
        f"{STEM}-1-of-2.safetensors": b"x", f"{STEM}-0000a-of-00002.safetensors": b"x",
    }  # fmt: skip
    found = find_files("owner/name", cache_dir=tmp_path / "cache")
    assert sorted(p.name for p in weight_files(found.folder, None)) == names
    assert found.folder.name == COMMIT
    assert hub.files_asked() == {"config.json", f"{STEM}.safetensors.index.json", *names}


@pytest.mark.parametrize(
    ("variant", "words"),
    [("*", "cannot be"), ("../x", "cannot be"), ("a/b", "cannot be"), ("[wx]", "has no weights")],
)
def test_a_variant_is_a_word_and_no_pattern(hub: Hub, tmp_path: Path, variant: str, words: str):
    others = (f"{STEM}.x.safetensors", f"{STEM}.x-00001-of-00001.safetensors")
    hub.repositories["owner/name"] = {"config.json": b"{}", **dict.fromkeys(others, b"x")}
    with pytest.raises(NetworkError, match=words):
        weight_files(find_files("owner/name", variant=variant, cache_dir=tmp_path).folder, variant)
    assert hub.files_asked() <= {"config.json"}
