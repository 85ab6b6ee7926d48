"""``fokker recommend``: which sampler to use for a network and a budget of evaluations."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_device, device_of
from .output import add_out, out_folder

if TYPE_CHECKING:
    from ..analysis.recommend import Recommendation, Settings

HELP = "rank samplers on a network's own trajectories, and save the best as a plan"
SMALL = 2**16
"""Numbers of a state below which one thread of the CPU is the fastest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        required=True,
        help="a network by name (digits), a folder, or file.py:function",
    )
    parser.add_argument("--nfe", metavar="N", type=int, default=10, help="default: %(default)s")
    parser.add_argument(
        "--starts", metavar="N", type=int, default=64, help="starts (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--sampler", metavar="NAME", nargs="+", action="extend", default=[], help="only these"
    )
    parser.add_argument(
        "--spacing",
        metavar="S",
        nargs="+",
        default=["lam", "karras", "time"],
        help="grids: lam, karras, time (default: all)",
    )
    parser.add_argument(
        "--class", metavar="K", dest="label", type=int, help="one class (default: all in turn)"
    )
    parser.add_argument("--guidance", metavar="W", type=float, default=1.0, help="default: 1")
    parser.add_argument(
        "--stochastic", action="store_true", help="samplers that draw noise too, by their law"
    )
    parser.add_argument(
        "--keep-last-level", action="store_true", help="stop at the last level, not at sigma 0"
    )
    parser.add_argument(
        "--confirm", action="store_true", help="run the best once more, from as many other starts"
    )
    parser.add_argument(
        "--by",
        choices=("typical", "rms"),
        default="typical",
        help="rank by the geometric mean of errors over starts, or by their root mean square",
    )
    parser.add_argument(
        "--reference-steps", metavar="N", type=int, default=128, help="default: %(default)s"
    )
    add_device(parser)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="of the states")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    add_out(parser, "recommendation")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write the record, the plan, the picture and the scheduler."""
    import torch

    from ..analysis.recommend import Settings, recommend
    from ..solvers.jobs.limits import MOST_IMAGES, within
    from ..toy_models.networks import find_network

    within("--starts", args.starts, MOST_IMAGES)
    network = find_network(args.model)
    settings = Settings(
        nfe=args.nfe,
        starts=args.starts,
        seed=args.seed,
        names=tuple(args.sampler),
        spacings=tuple(args.spacing),
        stochastic=args.stochastic,
        to_zero=not args.keep_last_level,
        reference_steps=args.reference_steps,
        labels=None if args.label is None else [args.label] * args.starts,
        guidance=args.guidance,
        dtype=getattr(torch, args.dtype) if args.dtype else None,
        device=device_of(args),
        confirm=args.confirm,
        by=args.by,
    )
    folder = out_folder(args)
    with _few_threads(network.shape, settings):
        found = _with_bar(recommend, network, settings)
    data, note = write(found, folder)
    if args.json:
        import json

        print(json.dumps(data))
    else:
        from ..analysis.recommend.report import text

        print("\n".join([text(data), note, str(folder / "plan.json")]))
    return 0


def _few_threads(shape: Sequence[int], settings: Settings) -> AbstractContextManager[None]:
    """One thread for a small state on the CPU: threads wait for each other longer than they work.

    A state is all starts of one evaluation; a small one fits into the cache of a core.
    """
    from ..analysis.threads import one_thread

    small = settings.device == "cpu" and settings.starts * math.prod(shape) <= SMALL
    return one_thread() if small else nullcontext()


def _with_bar(recommend: Any, network: Any, settings: Settings) -> Recommendation:
    from tqdm import tqdm

    with tqdm(
        total=1, unit="candidate", file=sys.stderr, disable=None, leave=False, dynamic_ncols=True
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        return recommend(network, settings, progress=progress)


def write(found: Recommendation, folder: Path) -> tuple[dict[str, Any], str]:
    """Write what was found; the record, and a sentence about the scheduler."""
    from ..analysis.recommend import picture
    from ..analysis.recommend.report import record
    from ..analysis.recommend.scheduler import save_scheduler
    from ..analysis.record import to_json
    from ..paper_figs.figure import drawn
    from ..paper_figs.figure import picture as rendered
    from ..solvers.files import write_bytes_atomic, write_text_atomic
    from ..solvers.plan_text import to_json as plan_json

    data = record(found)
    winner, zero = found.winner.candidate, found.settings.to_zero
    scheduler = save_scheduler(found.network, winner, folder / "scheduler", to_zero=zero)
    data["scheduler"] = {"config": scheduler.config, "note": scheduler.sentence}
    write_text_atomic(folder / "plan.json", plan_json(found.plan) + "\n")
    write_text_atomic(folder / "recommendation.json", to_json(data))
    image = rendered(drawn(picture, data), "png")  # type: ignore[arg-type]
    write_bytes_atomic(folder / "recommendation.png", image)
    about = "scheduler of diffusers: " + scheduler.sentence
    return data, about
