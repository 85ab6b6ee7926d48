"""``fokker bridge``: the Schrodinger bridge between two clouds of points, and paths of it."""

from __future__ import annotations

import argparse
import json
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
from .text import columns

if TYPE_CHECKING:
    from torch import Tensor

    from ..analysis.cloud_bridge import CloudBridge
    from ..solvers.transport.clouds import Cloud

HELP = "bridge two files of points by the likeliest noisy motion, and sample its paths"
METHODS = ("gaussian", "points")
WIDE = 3  # coordinates that a table shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_points(parser)
    parser.add_argument(
        "--method", choices=METHODS, default="points", help="points: between the clouds, by "
        "Sinkhorn; gaussian: between Gaussians of the same moments, closed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--reference", choices=("brownian", "ou"), default="brownian", help="default: %(default)s"
    )
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument("--sigma", type=float, metavar="S", help="strength of the noise")
    noise.add_argument(
        "--epsilon", type=float, metavar="E", help="2 sigma^2 in units of the mean squared "
        "distance (default: 0.05)",
    )  # fmt: skip
    parser.add_argument("--kappa", type=float, metavar="K", help="rate of the pull of ou")
    parser.add_argument("--centre", type=float, metavar="C", help="where ou pulls to (default: 0)")
    parser.add_argument(
        "--times", type=float, nargs="+", metavar="U", help="times in [0, 1] (default: 0 to 1 by "
        "tenths)",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=200, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add_effort(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Bridge, print, write: 0, or 1 if the ends are not met to the tolerance."""
    from ..analysis.cloud_bridge import TIMES, bridge_clouds
    from ..solvers.files import writable_folder

    options = _options(args)
    a, b = clouds_of(args)
    folder = None if args.out is None else writable_folder(args.out)
    effort, begin = effort_of(args), time.perf_counter()
    with SweepBar() as bar:
        found = bridge_clouds(
            a, b, args.method, times=args.times or TIMES, count=args.count, seed=args.seed,
            effort={**effort, "progress": bar}, **options,
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    asked = {"method": args.method, "reference": args.reference, **options, **effort}
    asked |= {"times": list(found.times), "count": args.count, "seed": args.seed}
    record = {**heading(args, "bridge", **asked), "result": result(found, seconds)}
    lines = page(a, b, found, args.reference, seconds)
    if folder is not None:
        image, words = _picture(a, b, found)
        record["picture"] = words
        files = {"bridge.npz": saved(found, record), "bridge.png": image}
        lines += [f"shown: {words}", str(write_all(folder, files, record, "bridge.json"))]
    print(json.dumps(record) if args.json else "\n".join(lines))
    plan = found.plan
    if plan is not None and not plan.converged:
        return missed(plan.marginal_error, plan.tolerance, plan.iterations)
    return 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What the reference is made of; an option that would be ignored is refused."""
    from ..solvers.errors import AnalysisError

    if args.reference == "brownian" and (args.kappa is not None or args.centre is not None):
        msg = "--kappa and --centre are options of --reference ou, and the reference is brownian"
        raise AnalysisError(msg)
    if args.reference == "ou" and (args.kappa is None or not args.kappa > 0):
        msg = f"--reference ou needs a positive --kappa, got {args.kappa}"
        raise AnalysisError(msg)
    if args.method == "gaussian" and effort_of(args):
        msg = f"--method gaussian is a closed form and takes no {', '.join(effort_of(args))}"
        raise AnalysisError(msg)
    given = {"sigma": args.sigma, "fraction": args.epsilon}
    given |= {"kappa": args.kappa, "centre": args.centre}
    return {name: value for name, value in given.items() if value is not None}


def result(found: CloudBridge, seconds: float) -> dict[str, Any]:
    """All numbers of the result but the paths."""
    laws = [
        {
            "u": law.u, "mean": law.mean.tolist(), "cov": law.cov.tolist(),
            "mean_of_paths": law.seen_mean.tolist(), "cov_of_paths": law.seen_cov.tolist(),
        }
        for law in found.marginals
    ]  # fmt: skip
    plan = found.plan
    met = {"iterations": None, "marginal_error": None, "tolerance": None, "converged": True}
    return {
        "method": found.method, "sigma": found.sigma, "squared_distance": found.transport,
        **{name: value if plan is None else getattr(plan, name) for name, value in met.items()},
        "relative_entropy": _entropy(found), "seconds": seconds, "marginals": laws,
    }  # fmt: skip


def _entropy(found: CloudBridge) -> float | None:
    """Of a Gaussian bridge to its reference; between clouds it is infinite."""
    from ..solvers.transport.gaussian_bridge import GaussianBridge

    bridge = found.bridge
    return bridge.relative_entropy() if isinstance(bridge, GaussianBridge) else None


def page(a: Cloud, b: Cloud, found: CloudBridge, reference: str, seconds: float) -> list[str]:
    """The result for a person: numbers, and the law at each time beside that of the paths."""
    entropy, plan = _entropy(found), found.plan
    rows = [
        *cloud_rows(a, b),
        ("method", f"{found.method}, {reference} reference, sigma {found.sigma:.6g}"),
        ("E|X1 - X0|^2", f"{found.transport:.9g}"),
        ("relative entropy", "-" if entropy is None else f"{entropy:.9g} to the reference"),
        ("iterations", "-" if plan is None else str(plan.iterations)),
        ("marginal error", "-" if plan is None else marginal_words(plan)),
        ("paths", f"{len(found.paths)} at {len(found.times)} times"),
        ("time", f"{seconds:.3g} s"),
    ]
    head = ["u", "mean", "of paths", "std", "of paths"]
    laws = [
        [f"{law.u:g}", _row(law.mean), _row(law.seen_mean), _std(law.cov), _std(law.seen_cov)]
        for law in found.marginals
    ]
    note = [] if a.dim <= WIDE else [f"(the first {WIDE} of {a.dim} coordinates)"]
    return [f"{name:<17} {value}" for name, value in rows] + [columns(head, laws), *note]


def _row(values: Tensor) -> str:
    return " ".join(f"{float(v):10.4g}" for v in values[:WIDE])  # in any unit


def _std(cov: Tensor) -> str:
    return _row(cov.diagonal().clamp_min(0.0).sqrt())


def saved(found: CloudBridge, record: dict[str, Any]) -> bytes:
    """The file of arrays: paths, laws, the reference, and what makes the drift."""
    from ..solvers.transport.point_bridge import PointBridge

    bridge = found.bridge
    reference = found.reference
    kept: dict[str, Any] = {
        "times": list(found.times), "paths": found.paths,
        "means": [law.mean.tolist() for law in found.marginals],
        "covs": [law.cov.tolist() for law in found.marginals],
        "drift_matrix": reference.drift_matrix, "diffusion": reference.diffusion,
        "offset": reference.offset, "cross": bridge.cross,
    }  # fmt: skip
    if isinstance(bridge, PointBridge):
        plan = bridge.plan
        kept |= {"a": bridge.x, "b": bridge.y, "weights_a": plan.a, "weights_b": plan.b}
        kept |= {"f": plan.f, "g": plan.g}
        formula = "P = weights_a weights_b exp((f + g - |S(b - Phi a - shift)|^2)/2), S = Q^(-1/2)"
    else:
        names = ("mean_a", "cov_a", "mean_b", "cov_b")
        kept |= {name: getattr(bridge, name) for name in names}
        formula = "GaussianBridge(mean_a, cov_a, mean_b, cov_b, reference), cross = Cov(X0, X1)"
    return arrays_as_bytes(kept, record, formula)


def _picture(a: Cloud, b: Cloud, found: CloudBridge) -> tuple[bytes, str]:
    from ..paper_figs.figure import picture
    from .cloud_plots import bridge_picture

    title = f"{found.method} bridge, sigma = {found.sigma:.4g}"
    figure, words = bridge_picture(a, b, found.times, found.paths, title)
    return picture(figure, "png"), words
