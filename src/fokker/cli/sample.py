"""``fokker sample``: images of a network in a folder, resumable and in any number of processes."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_device, add_set, device_of, read_set
from .output import add_out

if TYPE_CHECKING:
    from ..solvers.jobs.job import Job
    from ..solvers.jobs.shards import Shard
    from ..solvers.jobs.work import Report

HELP = "sample images of a network into a folder, with one manifest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        required=True,
        help="a network: a name such as digits, a folder, a hub name, or file.py:function",
    )
    parser.add_argument("--sampler", metavar="NAME", default="dpmpp_2m", help=_DEFAULT)
    parser.add_argument("--steps", metavar="N", type=int, default=20, help=_DEFAULT)
    parser.add_argument("--grid", metavar="NAME", default="uniform-lam", help=_DEFAULT)
    parser.add_argument(
        "--stop-before-zero", action="store_true", help="no last step to sigma = 0"
    )
    parser.add_argument("--guidance", metavar="W", type=float, default=1.0, help=_DEFAULT)
    parser.add_argument(
        "--interval",
        metavar=("LOW", "HIGH"),
        type=float,
        nargs=2,
        default=(-math.inf, math.inf),
        help="levels lam at which guidance acts (default: all)",
    )
    parser.add_argument(
        "--labels",
        metavar="RULE",
        help="none, cycle, a class, or a list such as 3,1,4 (default: cycle where there are "
        "classes)",
    )
    parser.add_argument("--eta", metavar="ETA", type=float, help="the option eta of the sampler")
    add_set(parser)
    parser.add_argument("--count", metavar="N", type=int, default=16, help=_DEFAULT)
    parser.add_argument("--seed", metavar="S", type=int, default=0, help=_DEFAULT)
    parser.add_argument("--size", metavar="HxW", help="size of the images, of networks that allow")
    parser.add_argument("--batch", metavar="N", type=int, default=64, help=_DEFAULT)
    add_device(parser)
    parser.add_argument("--dtype", default="float32", help="of the state: float32 or float64")
    parser.add_argument("--autocast", metavar="DTYPE", help="bfloat16 or float16, in the network")
    parser.add_argument(
        "--save-every", metavar="S", type=int, default=0, help="steps between checkpoints; 0: none"
    )
    parser.add_argument("--shard", metavar="I/N", help="part I = 0 .. N-1; torchrun gives its own")
    add_out(parser, "samples")


_DEFAULT = "default: %(default)s"


def run(args: argparse.Namespace) -> int:
    """Sample: 0, or 1 if an image could not be made."""
    from ..solvers.jobs.work import run_job
    from ..toy_models.networks import find_network

    shard = _shard(args)
    network = find_network(args.model)
    job = job_of(args, network.classes)
    with Bar() as bar:
        report = run_job(
            job, network, args.out, shard=shard, save_every=args.save_every, progress=bar
        )
    print(summary(report, Path(args.out)))
    for failure in report.failures:
        print(f"fokker: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


def job_of(args: argparse.Namespace, classes: int) -> Job:
    """The job that the options ask for; classes in turn unless told otherwise."""
    from ..solvers.jobs.job import Job
    from ..solvers.jobs.labels import CYCLE, parse_labels

    labels = parse_labels(args.labels) if args.labels else CYCLE if classes else None
    options: dict[str, Any] = read_set(args.set)
    if args.eta is not None:
        options["eta"] = args.eta
    return Job(
        network=args.model,
        sampler=args.sampler,
        steps=args.steps,
        count=args.count,
        options=options,
        grid=args.grid,
        to_zero=not args.stop_before_zero,
        guidance=args.guidance,
        interval=tuple(args.interval),
        labels=labels,
        size=_size(args.size),
        seed=args.seed,
        batch=args.batch,
        dtype=args.dtype,
        autocast=args.autocast,
        device=device_of(args),
    )


def _size(text: str | None) -> tuple[int, ...] | None:
    from ..solvers.jobs.errors import JobError

    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip().lower())
    if not found:
        msg = f"--size is a height and a width such as 32x32, got {text!r}"
        raise JobError(msg)
    height, width = found.groups()
    return int(height), int(width or height)


def _shard(args: argparse.Namespace) -> Shard | None:
    from ..solvers.jobs.errors import JobError
    from ..solvers.jobs.shards import parse_shard, torchrun_shard

    given = torchrun_shard()
    if args.shard and given:
        msg = f"torchrun gives each process its shard; leave out --shard {args.shard}"
        raise JobError(msg)
    return parse_shard(args.shard) if args.shard else given


def summary(report: Report, folder: Path) -> str:
    """What was done, and what is there now."""
    there = report.manifest
    text = f"{report.made} images made, {report.found} found; {there['made']} of {there['count']} "
    return f"{text}are in {str(folder)!r}, see {str(folder / 'manifest.json')!r}"


class Bar:
    """A progress bar on stderr with rate and time left, called as ``bar(done, total)``."""

    def __init__(self, unit: str = "image") -> None:
        self._bar: Any = None
        self._unit = unit

    def __call__(self, done: float, total: int) -> None:
        """Show how far we are; images on their way count in part."""
        if self._bar is None:
            from tqdm import tqdm

            pause = 0.1 if sys.stderr.isatty() else 15.0  # a log file gets a line now and then
            self._bar = tqdm(
                total=total,
                unit=self._unit,
                file=sys.stderr,
                mininterval=pause,
                dynamic_ncols=True,
            )
        self._bar.update(int(done) - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
