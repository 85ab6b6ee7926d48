"""Every mistake can still be planted, and its judges exist; ``run.py`` then counts the killed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mutants.mutant import Mutant
from mutants.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"solvers", "toy_models", "analysis", "paper_figs", "src"}

each = pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])


def test_there_are_at_least_forty_mistakes_of_many_kinds_in_many_files():
    assert len(MUTANTS) >= 40
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    assert len({m.slip for m in MUTANTS}) >= 40
    assert len({m.file for m in MUTANTS}) >= 18


@each
def test_a_mistake_is_planted_in_one_place_and_leaves_python(mutant: Mutant):
    assert mutant.file.split("/")[0] in PACKAGES
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    planted = mutant.planted(source)
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(source))


@each
def test_the_judges_of_a_mistake_exist(mutant: Mutant):
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in source, test


def test_a_text_that_is_gone_or_there_twice_is_an_error():
    mutant = Mutant("solvers/rows.py", "h = 1", "h = 2", "any", ("tests",))
    assert mutant.planted("h = 1\n") == "h = 2\n"
    for source in ("h = 3\n", "h = 1\nh = 1\n"):
        with pytest.raises(ValueError, match=r"occurs [02] times"):
            mutant.planted(source)
