"""``fokker cite``: where a sampler comes from, in words and as BibTeX."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping

HELP = "print the source of samplers, in words and as BibTeX"
_LABEL = re.compile(r"^([A-Za-z][\w ]*): (?=\S)")
_WORK = re.compile(r"^(?P<authors>.+?) (?P<year>(?:1[89]|20)\d\d)(?:,? (?P<rest>.*))?$")
_ARXIV = re.compile(r",? ?arXiv:(?P<id>\d{4}\.\d{4,5})")
_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}"} | {c: f"\\{c}" for c in "&%$#_"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sampler", metavar="SAMPLER", nargs="+", help="name of a sampler")


def run(args: argparse.Namespace) -> int:
    """Print one line a sampler, then the works, each once."""
    from ..solvers.registry import get

    entries = [get(name) for name in args.sampler]
    for entry in entries:
        print(f"{entry.name}: {entry.source}")
    print("\n% What the registry knows: family names, year, place. It knows no titles.")
    print("\n\n".join(bibtex([w for e in entries for w in e.source.split(";")])))
    return 0


def bibtex(sources: Iterable[str]) -> list[str]:
    """BibTeX entries of works, each once; a work cited for several places keeps all of them."""
    works: dict[tuple[str, ...], dict[str, str]] = {}
    for source in sources:
        found = fields(source)
        name = found.get("eprint") or found.get("note", "")
        work = works.setdefault((found.get("author", ""), found.get("year", ""), name), found)
        if found.get("note", "") not in work.get("note", ""):
            work["note"] = "; ".join(n for n in (work.get("note"), found["note"]) if n)
    used: dict[str, int] = {}
    out = []
    for work in works.values():
        key = _key(work)
        used[key] = turn = used.get(key, 0) + 1
        lines = "".join(f"  {name} = {{{_tex(value)}}},\n" for name, value in work.items())
        out.append(f"@misc{{{key}{'' if turn == 1 else chr(96 + turn)},\n{lines}}}")
    return out


def fields(source: str) -> dict[str, str]:
    """The BibTeX fields that a citation in words contains.

    Parameters
    ----------
    source : str
        ``"Lu et al. 2022, arXiv:2211.01095, Alg. 2"``: authors, year, and the rest; a word with a
        colon may stand before. What cannot be told apart goes into the note.
    """
    text = source.strip()
    label = _LABEL.match(text)
    text = text[label.end() :] if label else text
    arxiv = _ARXIV.search(text)
    text = _ARXIV.sub("", text, count=1).strip(" ,") if arxiv else text
    work = _WORK.match(text)
    found: dict[str, str] = {}
    if work:
        found |= {"author": _authors(work["authors"]), "year": work["year"]}
    if arxiv:
        found |= {"eprint": arxiv["id"], "archiveprefix": "arXiv"}
    rest = (work["rest"] or "") if work else text
    note = f"{label[1]}: {rest}".rstrip(": ") if label else rest
    return found | ({"note": note} if note else {})


def _key(work: Mapping[str, str]) -> str:
    first = re.split(r"\W", work.get("author", ""), maxsplit=1)[0].lower()
    parts = (f"{first}{work.get('year', '')}", work.get("eprint", ""))
    return "-".join(p for p in parts if p) or "unknown"


def _authors(text: str) -> str:
    """``Song, Meng & Ermon`` as BibTeX joins names; ``et al.`` is ``and others``."""
    names = re.split(r", | & ", text.removesuffix(" et al."))
    return " and ".join([*names, "others"] if text.endswith(" et al.") else names)


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)
