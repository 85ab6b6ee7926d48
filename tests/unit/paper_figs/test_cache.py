"""The cache of figures gives equal data for equal keys, and never a broken file."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path

import pytest

from fokker.paper_figs import readme_picture, work_precision
from fokker.paper_figs.cache import cached, fingerprint, inputs_of, sources
from fokker.solvers.errors import OutputError

CALLS = count()


def numbers(*, n: int = 3, scale: float = 1.0) -> dict:
    """Data that know how often they were computed."""
    return {"values": [scale * k for k in range(n)], "call": next(CALLS)}


def test_the_second_time_comes_from_the_cache(tmp_path: Path):
    first, fresh = cached(numbers, "numbers", tmp_path)
    again, fresh_again = cached(numbers, "numbers", tmp_path)
    assert (fresh, fresh_again) == (True, False)
    assert first == again
    assert [file.name for file in tmp_path.iterdir()] == ["numbers.json"]


def test_other_inputs_are_computed_anew(tmp_path: Path):
    first, _ = cached(numbers, "numbers", tmp_path)
    other, fresh = cached(numbers, "numbers", tmp_path, n=4)
    assert fresh
    assert len(other["values"]) == 4
    assert first["call"] != other["call"]


def test_a_default_said_aloud_is_the_same_input(tmp_path: Path):
    cached(numbers, "numbers", tmp_path)
    assert not cached(numbers, "numbers", tmp_path, n=3, scale=1.0)[1]
    assert inputs_of(numbers, n=5) == {"n": 5, "scale": 1.0}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.0, 1.0", "0.0, 7.0"),
        lambda _: "[]",
        lambda _: "\x00\xff not JSON",
        lambda text: json.dumps({"key": json.loads(text)["key"]}),
    ],
    ids=["empty", "cut short", "changed by hand", "a list", "not text", "without data"],
)
def test_a_broken_cache_file_is_computed_again_and_repaired(tmp_path: Path, spoil):
    first, _ = cached(numbers, "numbers", tmp_path)
    file = tmp_path / "numbers.json"
    file.write_text(spoil(file.read_text(encoding="utf-8")), encoding="latin-1")
    again, fresh = cached(numbers, "numbers", tmp_path)
    assert fresh
    assert again["values"] == first["values"]
    assert not cached(numbers, "numbers", tmp_path)[1]


def test_fresh_data_look_as_if_read_from_the_cache(tmp_path: Path):
    """A tuple becomes a list in both cases, so a drawing cannot tell them apart."""
    fresh, _ = cached(tuples, "tuples", tmp_path)
    assert fresh == {"pair": [1, 2]}


def tuples() -> dict:
    return {"pair": (1, 2)}


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot write"):
        cached(numbers, "numbers", tmp_path / "missing")


def test_data_that_are_not_finite_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        cached(infinite, "infinite", tmp_path)
    assert not list(tmp_path.iterdir())


def infinite() -> dict:
    return {"value": float("inf")}


MODULE = '''
"""A module with data and a drawing."""
SCALE = {scale}
COLOUR = "{colour}"

def helper(x):
    # {comment}
    return SCALE * x

def data(*, n: int = 3) -> dict:
    return {{"values": [helper(k) for k in range(n)]}}

def draw(data):
    return COLOUR
'''


def key_of(folder: Path, name: str, **parts: object) -> str:
    """Key of the data function of a written module."""
    words = {"scale": 1, "colour": "red", "comment": "why"} | parts
    file = folder / f"{name}.py"
    file.write_text(MODULE.format(**words), encoding="utf-8")
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # inspect finds the file of a function by its module
    try:
        spec.loader.exec_module(module)
        return fingerprint(module.data, inputs_of(module.data))
    finally:
        del sys.modules[name]


def test_the_key_follows_what_the_data_need_and_nothing_else(tmp_path: Path):
    folders = [tmp_path / str(k) for k in range(5)]
    for folder in folders:
        folder.mkdir()
    key = key_of(folders[0], "figure_for_a_test")
    assert key_of(folders[1], "figure_for_a_test") == key
    assert key_of(folders[2], "figure_for_a_test", colour="blue") == key  # drawing only
    assert key_of(folders[3], "figure_for_a_test", comment="because") == key
    assert key_of(folders[4], "figure_for_a_test", scale=2) != key


def test_the_key_of_a_figure_covers_samplers_laws_and_analysis():
    names = {name for name, _ in sources(work_precision.data)}
    needed = {
        "solvers/samplers/multistep.py",  # loaded by the registry, imported by no statement
        "solvers/samplers/predictor_corrector.py",
        "solvers/engine/executor.py",
        "toy_models/digits.py",
        "toy_models/reference.py",
        "analysis/paired.py",
    }
    assert needed <= names
    assert "paper_figs/labels.py" not in names  # it only draws


def test_the_drawing_of_a_figure_is_not_in_its_key():
    for module in (work_precision, readme_picture):
        own = sources(module.data)[0][1]
        assert "def data(" in own
        assert "def draw(" not in own
        assert "CLAIMS" not in own
