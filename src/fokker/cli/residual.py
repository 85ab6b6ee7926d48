"""``fokker residual``: whether a score belongs to any density that its process moves."""

from __future__ import annotations

import argparse
import json
from typing import Any

HELP = "the Fokker-Planck residual of a network, or of a reference law under a wrong score"
DESCRIPTION = """\
Of a reference problem: the residual of its exact density under a score that is off by a known
error. Of a network, which has no density: the residual at the level of the score and the curl,
over samples of its own, with error bars. Zero says that ODE and SDE make one law, not that it is
the law of the data."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a reference problem, such as mixture; or a network: a name such as digits, a "
        "folder, a hub name, or file.py:function",
    )
    parser.add_argument("--lam", type=float, nargs="+", default=[-2.0, 0.0, 2.0], metavar="L")
    parser.add_argument(
        "--samples", metavar="N", type=int, help="default: 500, and 64 for a network"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    exact = parser.add_argument_group("of a reference problem")
    exact.add_argument("--scale", metavar="C", type=float, help="use C times the exact score")
    exact.add_argument("--gauge", metavar="R", type=float, help="add R J score, J antisymmetric")
    exact.add_argument("--eta", type=float, help="0 the ODE, 1 the reverse SDE (default)")
    network = parser.add_argument_group("of a network")
    network.add_argument("--label", metavar="K", type=int, help="the class (default: none)")
    network.add_argument(
        "--probes",
        metavar="N",
        type=int,
        help="random signs of each of two estimates of the divergence, 0 for the exact sum "
        "(default: 0 to dimension 16, 4 beyond)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure at every level of noise and print."""
    from ..toy_models.problems import PROBLEMS

    asked = args.label is not None or args.probes is not None
    return _network(args) if asked or args.model not in PROBLEMS else _problem(args)


def _problem(args: argparse.Namespace) -> int:
    from ..analysis.fokker_planck.report import residual_rows

    given = {k: getattr(args, k) for k in ("samples", "scale", "gauge", "eta")}
    rows = residual_rows(
        args.model, lams=args.lam, **{k: v for k, v in given.items() if v is not None}
    )
    if args.json:
        print(json.dumps({"problem": args.model, "rows": rows}))
        return 0
    print("   lam        t   mean square R (± at 0.999)   largest |R|/terms   largest curl")
    for r in rows:
        print(
            f"{r['lam']:6.2f} {r['t']:8.4f}   {r['mean']:12.4g} ± {r['bar']:<10.2g} "
            f"{r['worst']:19.1e} {r['curl']:14.1e}"
        )
    return 0


def _network(args: argparse.Namespace) -> int:
    from ..analysis.fokker_planck.network import divergence_probes
    from ..analysis.fokker_planck.network_report import network_rows
    from ..solvers.errors import AnalysisError
    from ..toy_models.networks import find_network

    for name in ("scale", "gauge", "eta"):
        if getattr(args, name) is not None:
            msg = f"--{name} makes the score of a reference problem wrong; a network has an error "
            raise AnalysisError(msg + "of its own, so leave it out")
    network = find_network(args.model)
    rows = network_rows(
        network, lams=args.lam, samples=64 if args.samples is None else args.samples,
        label=args.label, probes=args.probes,
    )  # fmt: skip
    count = divergence_probes(network, args.probes)
    way = f"Hutchinson, 2 x {count} signs" if count else "the sum over all coordinates"
    if args.json:
        print(json.dumps({"network": args.model, "divergence": way, "rows": rows}))
        return 0
    _table(rows, way)
    return 0


def _table(rows: list[dict[str, Any]], way: str) -> None:
    """One line a level; r in units of the noise a unit of lam."""
    print(f"score level, r a coordinate, in units of the noise; divergence: {way}")
    print(
        "   lam        t   mean square r (± at 0.999; rounding)   share of terms   "
        "curl (± at 0.999)"
    )
    for r in rows:
        print(
            f"{r['lam']:6.2f} {r['t']:8.4f}   {r['mean']:12.4g} ± {r['bar']:<9.2g} "
            f"{r['rounding']:9.1e} {r['share']:20.2e}   {r['curl']:8.2e} ± {r['curl_bar']:.1e}"
        )
