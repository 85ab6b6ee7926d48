"""``fokker trace``: what a sampler of another library computes, as a plan."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .options import add_set, read_set

if TYPE_CHECKING:
    from ..analysis.compare_plans import Comparison, Search
    from ..solvers.adapters.trace import Trace
    from ..solvers.plan import Plan

SINGLE = 1e-5
"""What float32 leaves of the weights of a sampler read as shipped."""

HELP = "read a sampler of another library out as a plan, and say which sampler it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "sampler",
        metavar="LIBRARY:NAME",
        help="diffusers:DDIM, k-diffusion:dpmpp_2m, azula:zABSampler, or file.py:function",
    )
    parser.add_argument("--steps", metavar="N", type=int, default=4, help="default: %(default)s")
    parser.add_argument(
        "--against", metavar="X", help="compare with the sampler X of this project"
    )
    add_set(parser)
    parser.add_argument(
        "--as-shipped", action="store_true", help="in the library's own float32, not in float64"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read, compare, print."""
    from ..analysis.compare_plans import EQUAL, against, nearest
    from ..solvers.adapters.compress import TOLERANCE, compress
    from ..solvers.adapters.libraries import native
    from ..solvers.adapters.trace import trace
    from ..solvers.errors import AnalysisError

    if args.steps < 1:
        msg = f"--steps must be at least 1, got {args.steps}"
        raise AnalysisError(msg)
    options = read_set(args.set)
    found = trace(native(args.sampler, args.steps, exact=not args.as_shipped, **options))
    plan, search, chosen = None, None, None
    if found.plan is not None:
        foreign, end = found.foreign, found.foreign.end
        plan = compress(found.plan, tolerance=TOLERANCE if foreign.exact else SINGLE)
        tolerance = EQUAL if foreign.exact else SINGLE
        if args.against:
            chosen = against(found.plan, foreign.process, args.against, end, tolerance=tolerance)
        else:
            search = nearest(found.plan, foreign.process, end=end, tolerance=tolerance)
    if args.json:
        print(json.dumps(_record(args.sampler, found, plan, search, chosen)))
    else:
        print(_page(args.sampler, found, plan, search, chosen))
    return 0


def _verdict(search: Search | None, chosen: Comparison | None) -> str:
    if chosen is not None:
        return str(chosen)
    if search is None:
        return "it has no plan to compare"
    best = search.best
    if best is None:
        return "no registered sampler asks and draws as often as it does"
    return f"{best} (nearest of {search.tried} tried)"


def _page(
    name: str,
    found: Trace,
    plan: Plan | None,
    search: Search | None,
    chosen: Comparison | None,
) -> str:
    foreign = found.foreign
    lines = [
        f"{name} ({foreign.library} {foreign.version}): {len(found.calls)} evaluations of the "
        f"{foreign.prediction} prediction, {found.noises} noises, read in {found.seconds:.2f} s"
    ]
    if plan is not None:
        lines += [str(plan)]
    lines += [_verdict(search, chosen), *found.notes]
    return "\n".join(lines)


def _record(
    name: str,
    found: Trace,
    plan: Plan | None,
    search: Search | None,
    chosen: Comparison | None,
) -> dict[str, Any]:
    from ..solvers.plan_text import to_json

    foreign = found.foreign
    best = chosen or (search.best if search else None)
    return {
        "sampler": name,
        "library": foreign.library,
        "version": foreign.version,
        "prediction": foreign.prediction,
        "exact": foreign.exact,
        "nfe": len(found.calls),
        "noises": found.noises,
        "nonlinear": found.nonlinear,
        "gap": found.gap if found.plan is not None else None,
        "rounding": found.rounding,
        "calls": [_call(call) for call in found.calls],
        "notes": list(found.notes),
        "verdict": _verdict(search, chosen),
        "nearest": None if best is None else best.name,
        "equal": None if best is None else best.equal,
        "plan": None if plan is None else json.loads(to_json(plan)),
    }


def _call(call: Any) -> dict[str, Any]:
    denoted = None if call.denoted is None else call.denoted.lam
    return {"lam": call.node.lam, "label": call.label, "label_lam": denoted}
