"""Files and words of strangers: a sentence, soon, also where a library is missing."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from fokker.analysis import sweep as sweeps
from fokker.analysis.sweep import Config, sweep
from fokker.solvers.errors import AnalysisError
from fokker.solvers.networks.checkpoint import read_weights
from fokker.solvers.networks.diffusers_training import training_of
from fokker.solvers.networks.errors import CheckpointError, NetworkError
from fokker.solvers.networks.strict_json import parse_json
from fokker.toy_models.networks import find_network


def test_a_key_that_is_twice_is_found_in_time_among_many():
    """Comparing each key with each other would take minutes."""
    pairs = ",".join(f'"{k}":0' for k in range(200_000))
    with pytest.raises(NetworkError, match="the key '199999' is there twice"):
        parse_json(f'{{{pairs},"199999":1}}'.encode(), "it")


def test_a_shape_of_very_many_axes_is_refused_before_its_product_is_taken(tmp_path: Path):
    entry = {"dtype": "F32", "shape": [9] * 300_000, "data_offsets": [0, 4]}
    header = json.dumps({"w": entry}, separators=(",", ":")).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="accepted: up to 64 integers"):
        read_weights(path)


@pytest.mark.parametrize("text", ["~nobody-here/x", "a" * 300, "x\0y", ""])
def test_what_cannot_be_a_path_is_an_unknown_network(text: str):
    with pytest.raises(NetworkError, match="unknown network"):
        find_network(text)


def test_without_the_libraries_of_diffusers_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("diffusers", "diffusers.schedulers.scheduling_ddpm", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NetworkError, match="on the hub: pip install diffusers"):
        find_network("owner/name")
    with pytest.raises(NetworkError, match="need it: pip install diffusers"):
        training_of({"_class_name": "DDIMScheduler", "beta_schedule": "linear"})


COSINE: dict[str, Any] = {
    "_class_name": "CosineDPMSolverMultistepScheduler", "prediction_type": "v_prediction",
    "sigma_min": 0.3, "sigma_max": 500.0, "sigma_data": 1.0,
}  # fmt: skip


def test_a_cosine_scheduler_tells_the_arc_of_sigma():
    training = training_of(COSINE)
    for sigma in (0.3, 1.0, 500.0):
        scale, c = training.shown(sigma)
        assert scale == pytest.approx(1 / math.sqrt(sigma**2 + 1), rel=1e-14)
        assert c == pytest.approx(2 * math.atan(sigma) / math.pi, rel=1e-14)
    assert (training.prediction, training.sign) == ("edm", -1.0)
    plain = training_of({**COSINE, "_class_name": "EDMEulerScheduler"})
    assert plain.shown(0.3)[1] == pytest.approx(math.log(0.3) / 4, rel=1e-14)


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "linear",
         "timestep_type": "continuous"},
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True},
    ],
)  # fmt: skip
def test_levels_that_are_told_otherwise_are_refused(config: dict):
    with pytest.raises(NetworkError, match="are told other levels than those known here"):
        training_of(config)


def test_a_sweep_measures_again_what_failed(tmp_path: Path):
    todo = [Config("a", "s", 4), Config("a", "t", 4)]
    asked: list[str] = []

    def one(cfg: Config) -> dict[str, Any]:
        asked.append(cfg.sampler)
        return {"failed": "the hub is away"} if len(asked) == 1 else {"rms": 1.0}

    assert "failed" in sweep(todo, tmp_path, one=one)[0]
    assert [r["rms"] for r in sweep(todo, tmp_path, one=one)] == [1.0, 1.0]
    assert asked == ["s", "t", "s"]


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_sweep_of_a_guidance_that_is_none_is_refused_at_once(weight: float):
    with pytest.raises(AnalysisError, match="guidance of a sweep must be a finite number"):
        sweeps.configs(["a"], ["s"], [4], guidance=weight)
