"""The table of tools is true: each is there, cites what it declares, and has the test it names."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from fokker.solvers.tools import TOOLS, Tool

UNIT = Path(__file__).resolve().parents[1]
FIGURES = UNIT.parents[1] / "paper_figs"
each = pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.name)


@each
def test_a_tool_is_a_documented_function_that_cites_its_source(tool: Tool):
    function = tool.function()
    assert callable(function)
    assert function.__name__ == tool.name
    assert function.__doc__
    (number,) = re.findall(r"arXiv:(\d{4}\.\d{5})", tool.source)
    assert number in inspect.getsource(importlib.import_module(function.__module__))
    assert re.search(r"\S \d{4}, arXiv:", tool.source)
    assert tool.keeps[0].islower() or tool.keeps[0].isdigit()
    assert not tool.keeps.endswith(".")


@each
def test_the_test_that_it_names_exists_and_is_about_it(tool: Tool):
    file, _, name = tool.measured.partition("::")
    text = (UNIT / f"{file}.py").read_text(encoding="utf-8")
    assert f"def {name}(" in text
    assert re.search(rf"\b{tool.name}\b", text)
    if tool.figure:
        assert "CLAIMS" in (FIGURES / f"{tool.figure}.py").read_text(encoding="utf-8")


def test_no_tool_is_declared_twice():
    places = [t.place for t in TOOLS]
    assert len(set(places)) == len(places)
