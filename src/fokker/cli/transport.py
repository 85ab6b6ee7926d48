"""``fokker transport``: the optimal map from one cloud of points to another."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from .clouds_out import (
    SweepBar,
    add_effort,
    add_output,
    arrays_as_bytes,
    cloud_rows,
    effort_of,
    heading,
    marginal_words,
    missed,
    write_all,
)
from .points import add_points, clouds_of

if TYPE_CHECKING:
    from ..solvers.transport.cloud_transport import CloudTransport
    from ..solvers.transport.clouds import Cloud

HELP = "transport one file of points to another: Gaussian, exact, Sinkhorn or quantile map"
METHODS = ("gaussian", "exact", "sinkhorn", "quantile")
SILENT = 8_000_000
"""Entries of a plan from which the network simplex takes two seconds or more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_points(parser)
    parser.add_argument(
        "--method", choices=METHODS, default="sinkhorn", help="default: %(default)s; quantile is "
        "for points on a line",
    )  # fmt: skip
    parser.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help="weight of the entropy in units of the mean cost (Sinkhorn; default: 0.05)",
    )
    add_effort(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Transport, print, write: 0, or 1 if the marginals are not met to the tolerance."""
    from ..solvers.files import writable_folder
    from ..solvers.transport.cloud_transport import transport_clouds

    a, b = clouds_of(args)
    folder = None if args.out is None else writable_folder(args.out)
    effort, begin = effort_of(args), time.perf_counter()
    if args.method == "sinkhorn":
        with SweepBar() as bar:
            found = transport_clouds(a, b, fraction=args.epsilon, progress=bar, **effort)
    else:
        _warn_of_silence(args.method, len(a.points) * len(b.points))
        found = transport_clouds(a, b, args.method, fraction=args.epsilon, **effort)
    seconds = time.perf_counter() - begin
    options = {"method": args.method, "epsilon": args.epsilon, **effort}
    record = {**heading(args, "transport", **options), "result": result(a, b, found, seconds)}
    lines = page(a, b, found, seconds)
    if folder is not None:
        image, words = _picture(a, b, found)
        record["picture"] = words
        files = {"transport.npz": saved(a, b, found, record), "transport.png": image}
        lines += [f"shown: {words}", str(write_all(folder, files, record, "transport.json"))]
    print(json.dumps(record) if args.json else "\n".join(lines))
    if not found.converged and found.tolerance is not None:
        return missed(found.marginal_error, found.tolerance, found.iterations)
    return 0


def _warn_of_silence(method: str, entries: int) -> None:
    """The network simplex cannot be asked how far it is."""
    if method == "exact" and entries > SILENT:
        print(
            f"fokker: exact transport shows no progress; {entries:.2g} entries take some "
            f"{entries / SILENT:.0f} times 2 seconds or more",
            file=sys.stderr,
        )


def result(a: Cloud, b: Cloud, found: CloudTransport, seconds: float) -> dict[str, Any]:
    """All numbers of the result."""
    return {
        "points_a": len(a.points), "points_b": len(b.points), "dimension": a.dim,
        "method": found.method, "cost": found.cost, "root_cost": found.distance,
        "squared_w2_at_least": found.lower, "squared_w2_at_most": found.upper,
        "iterations": found.iterations, "marginal_error": found.marginal_error,
        "tolerance": found.tolerance, "converged": found.converged, "seconds": seconds,
        **found.facts,
    }  # fmt: skip


def page(a: Cloud, b: Cloud, found: CloudTransport, seconds: float) -> list[str]:
    """The result for a person."""
    of = "of the two Gaussians" if found.method == "gaussian" else "of the plan"
    named = {"gaussian": f", W2 {of}", "sinkhorn": ""}  # an entropic plan is not the best one
    w2 = named.get(found.method, ", W2 of the clouds")
    facts = found.facts
    extra = ""
    if facts:
        extra = f", epsilon {facts['fraction']:g} of the mean cost ({facts['epsilon']:.4g})"
    sides = [f"at least {found.lower:.6g}"]
    sides += [] if found.upper is None else [f"at most {found.upper:.6g}"]
    rows = [
        *cloud_rows(a, b),
        ("method", found.method + extra),
        ("cost", f"{found.cost:.9g}, the mean squared distance {of}"),
        ("root of the cost", f"{found.distance:.9g}{w2}"),
        ("W2^2 of the clouds", ", ".join(sides)),
        ("iterations", "-" if found.iterations is None else str(found.iterations)),
        ("marginal error", marginal_words(found)),
        ("time", f"{seconds:.3g} s"),
    ]
    return [f"{name:<19} {value}" for name, value in rows]


def saved(a: Cloud, b: Cloud, found: CloudTransport, record: dict[str, Any]) -> bytes:
    """The file of arrays: both clouds, the images, what makes the map, and how."""
    clouds = {"a": a.points, "weights_a": a.weights, "b": b.points, "weights_b": b.weights}
    kept = {k: v.detach().numpy() for k, v in (clouds | found.arrays).items()}
    return arrays_as_bytes({**kept, "mapped": found.mapped.numpy()}, record, found.formula)


def _picture(a: Cloud, b: Cloud, found: CloudTransport) -> tuple[bytes, str]:
    from ..paper_figs.figure import picture
    from .cloud_plots import transport_picture

    figure, words = transport_picture(
        a, b, found.mapped, f"{found.method}: root of the cost = {found.distance:.4g}"
    )
    return picture(figure, "png"), words
