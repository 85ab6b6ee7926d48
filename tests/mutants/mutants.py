"""All planted mistakes, from the inside out: formulas, what they stand on, what stands on them."""

from __future__ import annotations

from mutants import in_formulas, in_levels, in_machinery
from mutants.mutant import Mutant

MUTANTS: list[Mutant] = [*in_formulas.MUTANTS, *in_levels.MUTANTS, *in_machinery.MUTANTS]
