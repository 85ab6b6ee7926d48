"""``fokker certify``: the main job. Every sampler measured on exact models, written as a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .output import add_out, out_folder

HELP = "measure what samplers claim on exact models and write the certificate"
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="*",
        help="a sampler by name, or your own: my_file.py:my_sampler, or my_file.py for all that "
        "the file declares with @sampler; all registered samplers if none is given",
    )
    parser.add_argument(
        "--sampler", metavar="NAME", nargs="+", action="extend", default=[], help="the same"
    )
    parser.add_argument(
        "--problem",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="only these problems in the tables of errors",
    )
    parser.add_argument(
        "--order", metavar="N", type=int, help="the order that a bare function of yours claims"
    )
    parser.add_argument(
        "--kind",
        choices=("plan", "stepper", "blackbox", "sde"),
        help="only samplers of this kind; sde: all stochastic samplers, and the methods for "
        "general stochastic equations",
    )
    parser.add_argument("--quick", action="store_true", help="fewer problems and grids")
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=2, help="processes (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the certificate as JSON")
    add_out(parser, "certificate")


def run(args: argparse.Namespace) -> int:
    """Measure, write the three files, and say what is not met: 1 if anything is not."""
    chosen = _chosen(args)
    folder = out_folder(args)
    from ..analysis.certificate import certify

    methods = _methods(args)
    with Bar(len(chosen) + len(methods)) as bar:
        try:
            certificate = certify(
                chosen,
                methods=methods,
                problems=args.problem,
                quick=args.quick,
                jobs=args.jobs,
                out=folder,
                progress=bar,
            )
        except KeyboardInterrupt:
            done = bar.done
            bar.close()
            print(_resumable(done, len(chosen) + len(methods), args.out), file=sys.stderr)
            return INTERRUPTED
    page = write(certificate, folder)
    return report(certificate, page, as_json=args.json)


def _chosen(args: argparse.Namespace) -> Any:
    from ..analysis.targets import resolve
    from ..solvers.errors import AnalysisError

    if args.jobs < 1:
        msg = f"--jobs must be at least 1, got {args.jobs}"
        raise AnalysisError(msg)
    if args.order is not None and args.order < 1:
        msg = f"--order must be at least 1, got {args.order}"
        raise AnalysisError(msg)
    chosen = resolve([*args.target, *args.sampler], args.order)
    if args.kind is None:
        return chosen
    kept = [s for s in chosen if (s.stochastic if args.kind == "sde" else s.kind == args.kind)]
    if not kept:
        msg = f"none of {', '.join(s.name for s in chosen)} is of the kind {args.kind!r}"
        raise AnalysisError(msg)
    return tuple(kept)


def _methods(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The methods for general equations: all, unless others are asked for."""
    if args.target or args.sampler or args.kind not in (None, "sde"):
        return ()
    from ..analysis.stochastic.rows import all_methods

    return all_methods()


def _resumable(done: int, total: int, folder: str) -> str:
    return (
        f"fokker: interrupted after {done} of {total} samplers; what is finished is kept in "
        f"{folder!r}, and the same command goes on from there"
    )


def write(certificate: Mapping[str, Any], folder: Path) -> Path:
    """Write certificate.json, certificate.csv and index.html, each whole; return the page."""
    from ..analysis.page.write import render, to_csv
    from ..analysis.record import to_json
    from ..solvers.files import write_text_atomic

    # all texts before the first file, so that the three belong together
    texts = {
        "certificate.json": to_json(certificate),
        "certificate.csv": to_csv(certificate),
        "index.html": render(certificate),
    }
    for name, text in texts.items():
        write_text_atomic(folder / name, text)
    return folder / "index.html"


def report(certificate: Mapping[str, Any], page: Path, *, as_json: bool) -> int:
    """Print the outcome; 1 if a claim is not met or a sampler failed, else 0."""
    from ..analysis.record import plain, tally, to_json

    data = plain(certificate)
    counts = tally(data)
    if as_json:
        print(to_json(data), end="")
    else:
        print("\n".join([*summary(data), str(page)]))
    return 1 if counts["not met"] or counts["failed"] else 0


def summary(data: Mapping[str, Any]) -> list[str]:
    """Counts, and the lists of what is not met, not resolved or failed."""
    from ..analysis.page.text import claim_text
    from ..analysis.record import entries, tally, with_verdict

    counts = tally(data)
    total = sum(counts[v] for v in ("met", "not met", "not resolved"))
    lines = [
        f"samplers: {len(data['samplers'])}{_solvers(data)}; claims: {total}, of these "
        f"{counts['met']} met, {counts['not met']} not met, {counts['not resolved']} not resolved"
    ]
    for word in ("not met", "not resolved"):
        rows = with_verdict(data, word)
        lines += [f"{word}:"] if rows else []
        for r in rows:
            seen = "unsettled" if r["observed"] is None else f"observed {r['observed']:.2f}"
            claim = claim_text(r["claim"], r["declared"])
            lines.append(f"  {r['sampler']}: {claim}: {seen} ({r['where']})")
    failed = [s for s in entries(data) if s.get("failure")]
    lines += ["failed:"] if failed else []
    return lines + [f"  {s['name']}: {s['failure']}" for s in failed]


def _solvers(data: Mapping[str, Any]) -> str:
    methods = data.get("methods") or ()
    return f"; methods for equations, by noise: {len(methods)}" if methods else ""


class Bar:
    """A progress bar on stderr, called as ``bar(done, total, name)``."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        # a log file gets a line now and then, a person a smooth bar
        pause = 0.1 if sys.stderr.isatty() else 15.0
        self._bar: Any = tqdm(
            total=total, unit="sampler", file=sys.stderr, mininterval=pause, dynamic_ncols=True
        )
        self.done = 0

    def __call__(self, done: int, total: int, name: str) -> None:
        """Show how far we are."""
        self.done, self._bar.total = done, total
        self._bar.set_postfix_str(name, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
