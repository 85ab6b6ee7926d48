"""What every figure is: data, a drawing of them, and claims that are checked on the data.

A figure is a module of this folder with

* ``data(**inputs) -> dict``: plain data, cached by a hash of the inputs and of the source;
* ``draw(data) -> matplotlib Figure``: a picture of the data, and nothing else;
* ``CLAIMS``: what papers say, how it is measured on the data, and whether it holds.

A figure that takes long may say with ``SMALL``, inputs of ``data``, how its claims are answered on
fewer starts or samples; the test suite draws it so.

That a claim does not hold is a finding, not a failure: papers measure the quality of images of a
trained network, we measure the distance to an exact solution.
"""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from ..solvers.files import write_bytes_atomic, write_text_atomic
from .cache import Data

STYLE = Path(__file__).with_name("fokker.mplstyle")

Verdict = Literal["holds", "does not hold", "not resolved"]
T = TypeVar("T")

INK, SOFT, FAINT = "#22252b", "#5b616b", "#d4d7dc"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa3f8f", "#b8860b", "#4b5563")
"""Six colours that colour-blind eyes tell apart (after Okabe & Ito 2008), dark enough for text."""
MARKERS = ("o", "s", "^", "D", "v", "P")


class Measured(NamedTuple):
    """What was measured, in a few words, and what it says about the claim."""

    text: str
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, in our words, and how the data of a figure answer it.

    Attributes
    ----------
    says : str
        What is said.
    source : str
        Who says it: authors, year, arXiv id.
    measure : callable
        ``measure(data) -> Measured``.
    """

    says: str
    source: str
    measure: Callable[[Data], Measured]


class FigureModule(Protocol):
    """What a module of this folder must define to be a figure; ``SMALL`` is optional."""

    @property
    def CLAIMS(self) -> Sequence[Claim]:
        """What papers say, and how it is measured on the data."""
        ...

    @property
    def data(self) -> Callable[..., Data]:
        """Compute the data; every input is a keyword and has a default."""
        ...

    def draw(self, data: Data) -> Figure:
        """Draw them."""
        ...


def figures() -> dict[str, FigureModule]:
    """All figures by name, in alphabetical order."""
    package = import_module(__package__ or "fokker.paper_figs")
    found = {}
    for name in sorted(info.name for info in iter_modules(package.__path__)):
        if name != "__main__":
            module = import_module(f"{package.__name__}.{name}")
            if hasattr(module, "draw") and hasattr(module, "data"):
                found[name] = cast(FigureModule, module)
    return found


def judge(low: float, high: float, *, least: float) -> Verdict:
    """Whether a number in the interval [low, high] is at least ``least``."""
    if low >= least:
        return "holds"
    return "does not hold" if high < least else "not resolved"


def progress(items: Iterable[T], what: str) -> Iterable[T]:
    """The items, with a bar on a terminal once they have taken two seconds."""
    return tqdm(items, desc=what, delay=2.0, leave=False, disable=None)


def drawn(module: FigureModule, data: Data) -> Figure:
    """The picture in the style of the house, without a window."""
    with style.context(["default", STYLE]):
        figure = module.draw(data)
        FigureCanvasAgg(figure)
        figure.canvas.draw()
        return figure


def picture(figure: Figure, kind: str) -> bytes:
    """The figure as ``"png"`` or ``"svg"``; equal data give equal bytes."""
    out = io.BytesIO()
    stamps = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with style.context(["default", STYLE]):
        figure.savefig(out, format=kind, metadata=stamps[kind])
    return out.getvalue()


def save(
    name: str, figure: Figure, data: Data, results: Sequence[dict[str, Any]], folder: Path
) -> list[Path]:
    """Write ``name.png``, ``name.svg``, and ``name.json`` with the data and the answers."""
    record = {"figure": name, "claims": list(results), "data": data}
    return [
        *(
            write_bytes_atomic(folder / f"{name}.{kind}", picture(figure, kind))
            for kind in ("png", "svg")
        ),
        write_text_atomic(folder / f"{name}.json", json.dumps(record, allow_nan=False) + "\n"),
    ]


def answers(claims: Sequence[Claim], data: Data) -> list[dict[str, Any]]:
    """Every claim with what was measured: plain dictionaries for JSON and tables."""
    rows = []
    for claim in claims:
        measured = claim.measure(data)
        rows.append({"says": claim.says, "source": claim.source, **measured._asdict()})
    return rows


def table(results: Sequence[dict[str, Any]], width: int = 96) -> str:
    """The answers for a terminal: a paragraph a claim, the verdict first."""
    lines = []
    for row in results:
        head = f"  {row['verdict']:<14}"
        body = f"{row['says']} [{row['source']}]"
        indent = " " * len(head)
        lines += textwrap.wrap(body, width, initial_indent=head, subsequent_indent=indent)
        found = f"{indent}measured: "
        lines += textwrap.wrap(row["text"], width, initial_indent=found, subsequent_indent=indent)
    return "\n".join(lines)
