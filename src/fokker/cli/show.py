"""``fokker show``: the plan of a sampler row by row, or what tells it from another one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..analysis.explain import Difference
    from ..solvers.grids import Grid
    from ..solvers.plan import Plan
    from ..solvers.process import Process

HELP = "print the plan of a sampler, or its difference from another sampler"
GRIDS = ("uniform-lam", "wavy-lam", "uniform-t", "karras")
LAM = (-3.0, 3.0)
"""Stretch of lam of the grids; every process of this project contains it."""

TOP = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sampler", metavar="SAMPLER", help="name of a sampler that is a plan")
    parser.add_argument("--steps", metavar="N", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--process", metavar="NAME", default="VPLinear", help="default: %(default)s"
    )
    parser.add_argument(
        "--grid",
        choices=GRIDS,
        default="uniform-lam",
        help=f"from lam = {LAM[0]:g} to {LAM[1]:g} (default: %(default)s)",
    )
    parser.add_argument("--to-zero", action="store_true", help="append a step to sigma = 0")
    parser.add_argument("--against", metavar="OTHER", help="explain the difference from OTHER")
    parser.add_argument(
        "--top",
        metavar="K",
        type=int,
        default=TOP,
        help="differences shown (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the plan or the difference."""
    from ..analysis.explain import explain
    from ..solvers.errors import AnalysisError
    from ..solvers.plan_text import to_json

    if args.top < 1:
        msg = f"--top must be at least 1, got {args.top}"
        raise AnalysisError(msg)
    grid, process = _grid(args)
    plan = _plan(args.sampler, process, grid)
    facts: dict[str, Any] = {"sampler": args.sampler, "process": type(process).__name__}
    facts |= {"grid": args.grid, "steps": len(grid), "nfe": plan.nfe, "peak": plan.peak_live}
    if args.against is None:
        if args.json:
            print(json.dumps(facts | {"plan": json.loads(to_json(plan))}))
        else:
            print(f"{_title(facts)}\n{plan}")
        return 0
    other = _plan(args.against, process, grid)
    found = explain(plan, other)
    if args.json:
        facts |= {"against": args.against, "against_nfe": other.nfe, **_as_json(found)}
        print(json.dumps(facts))
    else:
        print(f"{_title(facts)}\n{sentences(found, args.sampler, args.against, args.top)}")
    return 0


def _title(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['sampler']} on {facts['process']}, {facts['grid']}, {facts['steps']} steps: "
        f"{facts['nfe']} evaluations, at most {facts['peak']} vectors at once"
    )


def processes() -> dict[str, type[Process]]:
    """The forward processes that need no parameters, by name."""
    from ..solvers import schedules
    from ..solvers.process import Process

    found = (v for v in vars(schedules).values() if isinstance(v, type) and issubclass(v, Process))
    return {c.__name__: c for c in found if not c.__name__.startswith("_") and c is not Process}


def _grid(args: argparse.Namespace) -> tuple[Grid, Process]:
    from ..solvers import grids
    from ..solvers.errors import InvalidProcessError

    known = processes()
    by_lower = {name.lower(): name for name in known}
    if args.process.lower() not in by_lower:
        nearest = get_close_matches(args.process.lower(), by_lower, n=3, cutoff=0.4)
        names = [by_lower[n] for n in nearest] or list(known)
        word = "nearest" if nearest else "accepted"
        msg = f"unknown process {args.process!r}; the {word} names are: {', '.join(names)}"
        raise InvalidProcessError(msg)
    process = known[by_lower[args.process.lower()]]()
    start, end = (process.node_at_lam(lam) for lam in LAM)
    maps = {
        "uniform-lam": lambda: grids.uniform_lam(process, *LAM),
        "wavy-lam": lambda: grids.wavy_lam(process, *LAM),
        "uniform-t": lambda: grids.power_t(process, start.t, end.t),
        "karras": lambda: grids.karras(process, start.rho, end.rho),
    }
    return maps[args.grid]().grid(args.steps, to_zero=args.to_zero), process


def _plan(name: str, process: Process, grid: Grid) -> Plan:
    from ..solvers.errors import InvalidPlanError
    from ..solvers.registry import get

    entry = get(name)
    if entry.kind != "plan":
        msg = (
            f"{name} is a {entry.kind}, so it has no plan to show; "
            "'fokker samplers' says which samplers are plans"
        )
        raise InvalidPlanError(msg)
    return entry(process, grid)


def sentences(found: Difference, first: str, second: str, top: int = TOP) -> str:
    """The difference of two samplers in words, largest entries first."""
    if found.equal:
        return (
            f"{first} and {second} are equal: the same evaluations at the same levels, the same "
            "noises, and the same weights to rounding, hence the same samples for every model"
        )
    lines = [f"{first} and {second} differ (both written for the {found.prediction} prediction)"]
    for name, only in ((first, found.only_first), (second, found.only_second)):
        if only:
            shown = "; ".join(only[:top]) + (
                f"; {len(only) - top} more" if len(only) > top else ""
            )
            lines.append(f"only in {name}: {shown}")
    for e in found.entries[:top]:
        lines.append(
            f"{e.row}: the weight of {e.leaf} is {e.first:.9g} in {first}, {e.second:.9g} in "
            f"{second} (difference {e.gap:.3g})"
        )
    if len(found.entries) > top:
        lines.append(f"{len(found.entries) - top} smaller differences are not shown (--top)")
    return "\n".join(lines)


def _as_json(found: Difference) -> dict[str, Any]:
    entries = [
        {"row": e.row, "leaf": e.leaf, "first": e.first, "second": e.second} for e in found.entries
    ]
    return {
        "equal": found.equal,
        "prediction": found.prediction,
        "only_first": list(found.only_first),
        "only_second": list(found.only_second),
        "differences": entries,
    }
