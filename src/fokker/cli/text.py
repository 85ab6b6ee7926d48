"""Tables for the terminal (a helper, not a command)."""

from __future__ import annotations

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart, with a ruled heading."""
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[j]) for row in table) for j in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in table]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; upright bars in the cells are escaped."""
    table = [list(head), ["---"] * len(head), *[list(row) for row in rows]]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in table]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
