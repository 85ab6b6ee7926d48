"""One planted mistake: a patch of the source, what kind of slip it is, and who should notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LAWS = "tests/laws/"
UNIT = "tests/unit/"


@dataclass(frozen=True)
class Mutant:
    """A small wrong patch.

    Attributes
    ----------
    file : str
        Source file, from the top of the repository.
    old, new : str
        Exact text, found once in the file, and what is put in its place.
    slip : str
        The class of mistake, in words.
    tests : tuple of str
        Test files, or tests by ``file::name``, one of which should fail.
    """

    file: str
    old: str
    new: str
    slip: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """File and class of mistake."""
        return f"{self.file}: {self.slip}"

    def planted(self, source: str) -> str:
        """The source with the mistake in it."""
        count = source.count(self.old)
        if count != 1:
            msg = f"{self.name}: its text occurs {count} times in the file, not once: {self.old!r}"
            raise ValueError(msg)
        return source.replace(self.old, self.new)

    def plant(self, root: Path) -> None:
        """Write the mistake into a copy of the repository."""
        path = root / self.file
        path.write_text(self.planted(path.read_text(encoding="utf-8")), encoding="utf-8")
