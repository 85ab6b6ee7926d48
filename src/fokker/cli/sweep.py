"""``fokker sweep``: error against evaluations, of many samplers on many networks."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

from .output import add_out, out_folder
from .text import columns

HELP = "measure samplers x evaluations x networks, resumable, on one machine or many"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    many: dict[str, Any] = {"nargs": "+", "action": "extend"}
    parser.add_argument("--model", metavar="NAME", required=True, **many, help="networks")
    parser.add_argument("--sampler", metavar="NAME", required=True, **many, help="samplers")
    parser.add_argument(
        "--nfe", metavar="N", type=int, nargs="+", default=[5, 10, 20, 40], help=_DEFAULT
    )
    parser.add_argument("--grid", metavar="NAME", default="uniform-lam", help=_DEFAULT)
    parser.add_argument("--guidance", metavar="W", type=float, default=1.0, help=_DEFAULT)
    parser.add_argument("--count", metavar="N", type=int, default=32, help="starts; " + _DEFAULT)
    parser.add_argument("--seed", metavar="S", type=int, default=0, help=_DEFAULT)
    parser.add_argument(
        "--reference", metavar="N", type=int, default=128, help="steps of the fine solution"
    )
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="processes here")
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    add_out(parser, "sweep")


_DEFAULT = "default: %(default)s"


def run(args: argparse.Namespace) -> int:
    """Measure, write, print: 0, or 1 if a configuration failed."""
    from ..analysis.sweep import configs, identify, sweep
    from ..analysis.sweep_picture import draw
    from ..solvers.files import write_bytes_atomic, write_text_atomic
    from ..solvers.registry import get
    from .sample import Bar

    for name in args.sampler:
        get(name)
    networks = identify(args.model)  # refuse what is unknown before anything is measured
    common = {k: getattr(args, k) for k in ("grid", "guidance", "count", "seed", "reference")}
    todo = configs(args.model, args.sampler, args.nfe, **common)
    folder = out_folder(args)
    with Bar("run") as bar:
        results = sweep(
            todo, folder / "results", jobs=args.jobs, dask=args.dask, networks=networks,
            progress=bar,
        )  # fmt: skip
    text = json.dumps(results, indent=1) + "\n"
    write_text_atomic(folder / "sweep.json", text)
    out = io.BytesIO()
    draw(results).savefig(out, format="png", dpi=150)
    write_bytes_atomic(folder / "error.png", out.getvalue())
    print(text if args.json else table(results), end="" if args.json else "\n")
    failed = {r["failed"] for r in results if "failed" in r}
    for sentence in sorted(failed):
        print(f"fokker: {sentence}", file=sys.stderr)
    return 1 if failed else 0


def table(results: Sequence[dict[str, Any]]) -> str:
    """RMS errors: a row for each sampler on each network, a column for each budget."""
    budgets = sorted({r["config"]["nfe"] for r in results})
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for r in results:
        c = r["config"]
        shown = "failed" if "failed" in r else f"{r['rms']:.3g}"
        if "failed" not in r and r["rms"] < 3 * r["reference_error"]:
            shown = f"<{3 * r['reference_error']:.2g}"  # the fine solution is not finer than that
        rows.setdefault((c["network"], c["sampler"]), {})[c["nfe"]] = shown
    head = ["network", "sampler", *(f"{n} evaluations" for n in budgets)]
    return columns(head, [[*key, *(row.get(n, "") for n in budgets)] for key, row in rows.items()])
