"""``fokker cite``: where a sampler comes from, in words and as BibTeX."""

from __future__ import annotations

import argparse
import re

HELP = "print the source of samplers, in words and as BibTeX"
_LABEL = re.compile(r"^([A-Za-z][\w ]*): (?=\S)")
_WORK = re.compile(r"^(?P<authors>.+?) (?P<year>(?:1[89]|20)\d\d)(?:, (?P<rest>.*))?$")
_ARXIV = re.compile(r",? ?arXiv:(?P<id>\d{4}\.\d{4,5})")
_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}"} | {c: f"\\{c}" for c in "&%$#_"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sampler", metavar="SAMPLER", nargs="+", help="name of a sampler")


def run(args: argparse.Namespace) -> int:
    """Print one paragraph a sampler, then the entries, each once."""
    from ..solvers.registry import get

    entries = [get(name) for name in args.sampler]
    works: dict[str, str] = {}
    for entry in entries:
        print(f"{entry.name}: {entry.source}")
        works |= {bibtex(work): "" for work in entry.source.split(";")}
    print("\n% What the registry knows: family names, year, place. It knows no titles.")
    print("\n\n".join(works))
    return 0


def bibtex(source: str) -> str:
    """One work as a BibTeX entry, with the fields that its citation in words contains.

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
    fields: dict[str, str] = {}
    if work:
        fields["author"] = _authors(work["authors"])
        fields["year"] = work["year"]
    if arxiv:
        fields |= {"eprint": arxiv["id"], "archiveprefix": "arXiv"}
    rest = (work["rest"] or "") if work else text
    note = f"{label[1]}: {rest}".rstrip(": ") if label else rest
    if note:
        fields["note"] = note
    first = re.split(r"\W", fields.get("author", ""), maxsplit=1)[0].lower()
    key = f"{first}{fields.get('year', '')}" or (f"arxiv{arxiv['id']}" if arxiv else "unknown")
    lines = "".join(f"  {name} = {{{_tex(value)}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{lines}}}"


def _authors(text: str) -> str:
    """``Song, Meng & Ermon`` as BibTeX joins names; ``et al.`` is ``and others``."""
    names = re.split(r", | & ", text.removesuffix(" et al."))
    return " and ".join([*names, "others"] if text.endswith(" et al.") else names)


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)
