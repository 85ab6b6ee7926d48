"""``fokker residual``: whether a wrong score still belongs to the density of the data."""

from __future__ import annotations

import argparse
import json

HELP = "the Fokker-Planck residual of a reference law under a score that is off by a known error"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("problem", metavar="PROBLEM", help="a reference problem, such as mixture")
    parser.add_argument(
        "--scale", metavar="C", type=float, default=1.0, help="use C times the exact score"
    )
    parser.add_argument(
        "--gauge", metavar="R", type=float, default=0.0, help="add R J score, J antisymmetric"
    )
    parser.add_argument("--eta", type=float, default=1.0, help="0 the ODE, 1 the reverse SDE")
    parser.add_argument("--lam", type=float, nargs="+", default=[-2.0, 0.0, 2.0], metavar="L")
    parser.add_argument("--samples", metavar="N", type=int, default=500, help="default: 500")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure at every level of noise and print."""
    from ..analysis.fokker_planck.report import residual_rows

    rows = residual_rows(
        args.problem, lams=args.lam, samples=args.samples, scale=args.scale, gauge=args.gauge,
        eta=args.eta,
    )  # fmt: skip
    if args.json:
        print(json.dumps({"problem": args.problem, "rows": rows}))
        return 0
    print("   lam        t   mean square R (± at 0.999)   largest |R|/terms   largest curl")
    for r in rows:
        print(
            f"{r['lam']:6.2f} {r['t']:8.4f}   {r['mean']:12.4g} ± {r['bar']:<10.2g} "
            f"{r['worst']:19.1e} {r['curl']:14.1e}"
        )
    return 0
