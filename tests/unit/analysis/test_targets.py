"""Samplers by name and from a user's own file: found, or refused with a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fokker.analysis.targets import TargetError, resolve
from fokker.solvers import registry
from fokker.solvers.errors import FokkerError, InvalidPlanError, UnknownSamplerError

GOOD = '''
from fokker.solvers.samplers.multistep import multistep
from fokker.solvers.samplers.onestep import rk_row
from fokker.solvers.registry import sampler


def bare(process, grid):
    """Two outputs a step."""
    return multistep(process, grid, order=2)


@sampler(order=1, order_cold=1, nfe=lambda n: n, prediction="data", source="me")
def declared(process, grid):
    return multistep(process, grid, order=1)


@sampler(name="other", order=1, order_cold=1, nfe=lambda n: n, prediction="data", source="me")
def _hidden(process, grid):
    return multistep(process, grid, order=1)


number = 3
'''


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a user's file registers and imports is gone after the test."""
    registry.load_all()
    monkeypatch.setattr(registry, "_SAMPLERS", dict(registry._SAMPLERS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def file(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_no_words_are_all_samplers_and_names_are_kept_in_order_once():
    assert resolve([]) == registry.samplers()
    assert [s.name for s in resolve(["dpmpp_2m", "ddim", "dpmpp_2m"])] == ["dpmpp_2m", "ddim"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownSamplerError, match=r"'dpmpp2m'; nearest: .*dpmpp_2m"):
        resolve(["dpmpp2m"])


def test_a_declared_function_brings_its_claims(tmp_path: Path):
    path = file(tmp_path, GOOD)
    (entry,) = resolve([f"{path}:declared"])
    assert (entry.name, entry.order, entry.source) == ("declared", 1, "me")
    assert [s.name for s in resolve([f"{path}:other", "ddim"])] == ["other", "ddim"]
    (hidden,) = resolve([f"{path}:_hidden"])
    assert hidden.name == "other"


def test_a_file_alone_stands_for_all_that_it_declares(tmp_path: Path):
    assert [s.name for s in resolve([file(tmp_path, GOOD)])] == ["declared", "other"]


def test_a_bare_function_claims_the_order_that_it_is_given(tmp_path: Path):
    (entry,) = resolve([f"{file(tmp_path, GOOD)}:bare"], order=2)
    assert (entry.order, entry.order_cold, entry.prediction) == (2, 2, "data")
    assert entry.nfe(7) == 7
    assert entry.note == "Two outputs a step."
    assert entry.source == "mine.py, bare"


def test_a_file_imports_its_neighbours_and_hides_no_library(tmp_path: Path):
    file(tmp_path, "ORDER = 1\n", "neighbour_of_mine.py")
    file(tmp_path, "", "colorsys.py")  # the name of a library that nobody has imported
    sys.modules.pop("colorsys", None)
    text = "from neighbour_of_mine import ORDER\nfrom colorsys import rgb_to_hsv\n" + GOOD
    (entry,) = resolve([f"{file(tmp_path, text, 'json.py')}:declared"])
    assert entry.name == "declared"
    assert sys.modules["json"].__file__ != str(tmp_path / "json.py")


@pytest.mark.parametrize("name", ["my-file.py", "my.file.py", "fokker.py"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str):
    (entry,) = resolve([f"{file(tmp_path, GOOD, name)}:declared"])
    assert entry.name == "declared"
    assert "site-packages" in (sys.modules["pytest"].__file__ or "")
    assert hasattr(sys.modules["fokker"], "__version__")


@pytest.mark.parametrize(
    ("text", "word", "sentence"),
    [
        (GOOD, ":nothing", "mine.py has no function 'nothing'; it has: bare, declared, _hidden"),
        ("", ":f", "mine.py has no function 'f'; it defines no function"),
        (GOOD, ":number", "mine.py has no function 'number'"),
        ("x = 1\n", "", "mine.py declares no sampler with @sampler"),
        ("def f(:\n", ":f", "mine.py cannot be imported: SyntaxError"),
        ("1/0\n", ":f", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", ":f", "mine.py cannot be imported: SystemExit: 3"),
        ("def f(p, g):\n    return 3\n", ":f", "f(process, grid) must return a Plan, got int"),
        ("def f(p, g):\n    return g.foo\n", ":f", "fails with AttributeError"),
        ("def f():\n    pass\n", ":f", "fails with TypeError"),
        (GOOD, ":bare", "bare claims nothing: give --order N"),
    ],
)
def test_what_cannot_be_certified_is_refused(tmp_path: Path, text: str, word: str, sentence: str):
    with pytest.raises(TargetError) as refused:
        resolve([file(tmp_path, text) + word])
    assert sentence in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(TargetError, match=r"there is no file .*none\.py"):
        resolve([str(tmp_path / "none.py:f")])


def test_a_taken_name_and_a_bad_plan_are_refused_by_their_own_rules(tmp_path: Path):
    taken = GOOD.replace("def declared", "def ddim")
    with pytest.raises(FokkerError, match="a sampler named 'ddim' is registered already"):
        resolve([f"{file(tmp_path, taken)}:ddim"])
    odd = "from fokker.solvers.samplers.multistep import multistep\n"
    odd += "def f(p, g):\n    return multistep(p, g, order=0)\n"
    with pytest.raises(InvalidPlanError, match=r"f\(process, grid\) of 4 steps fails: need order"):
        resolve([f"{file(tmp_path, odd, 'odd.py')}:f"], order=1)


def test_a_bare_function_with_noise_or_without_a_model_must_be_declared(tmp_path: Path):
    head = "from fokker.solvers.registry import get\nfrom fokker.solvers.plan import Tape\n"
    noisy = head + "def f(p, g):\n    return get('ancestral')(p, g)\n"
    with pytest.raises(TargetError, match="f draws noise: declare it with @sampler"):
        resolve([f"{file(tmp_path, noisy)}:f"], order=1)
    idle = head + "def f(p, g):\n    t = Tape()\n    return t.plan(x=t.input('x', g[0]))\n"
    with pytest.raises(TargetError, match="f never evaluates the model"):
        resolve([f"{file(tmp_path, idle, 'idle.py')}:f"], order=1)
    nameless = idle.replace("x=t.input", "y=t.input")
    with pytest.raises(TargetError, match="the plan of f must have the output 'x'"):
        resolve([f"{file(tmp_path, nameless, 'nameless.py')}:f"], order=1)


def test_an_order_without_a_bare_function_is_refused():
    with pytest.raises(TargetError, match="--order 2 is for a bare function"):
        resolve(["ddim"], order=2)
