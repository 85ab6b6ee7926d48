"""All planted mistakes: each file ``in_<place>.py`` beside this one lists those of one place."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mutants.mutant import Mutant

PLACES = sorted(path.stem for path in Path(__file__).parent.glob("in_*.py"))

MUTANTS: list[Mutant] = [m for place in PLACES for m in import_module(f"mutants.{place}").MUTANTS]
