"""Every example in a docstring runs as printed."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("solvers", "toy_models", "analysis", "paper_figs")
WITH_EXAMPLES = sorted(
    file.relative_to(ROOT)
    for room in ROOMS
    for file in (ROOT / room).rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=str)
def test_the_examples_of_a_module_run_as_printed(file: Path):
    module = importlib.import_module(".".join(("fokker", *file.with_suffix("").parts)))
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0
