"""``python -m fokker.paper_figs [NAME ...] [--out DIR]``: draw the figures, print their claims."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches

from ..solvers.errors import FokkerError
from ..solvers.files import writable_folder
from .cache import cached
from .figure import answers, drawn, figures, save, table


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what is asked for and return the exit status: 0 well, 2 bad input, 130 interrupted."""
    known = figures()
    parser = argparse.ArgumentParser(
        prog="python -m fokker.paper_figs", description="Draw the figures and check their claims."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"figures to draw (default: all): {_list(known)}"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="figures",
        help="folder for pictures and data, made if it is missing (default: %(default)s)",
    )
    parser.add_argument(
        "--small", action="store_true", help="fewer starts and samples, where a figure says how"
    )
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, n=3, cutoff=0.4)
        kind = "nearest" if near else "accepted"
        return _say(f"unknown figure {unknown[0]!r}; {kind}: {_list(near or known)}", 2)
    try:
        folder = writable_folder(args.out)
        store = writable_folder(folder / "cache")
        for name in args.names or known:
            begin = time.perf_counter()
            small = getattr(known[name], "SMALL", {}) if args.small else {}
            data, fresh = cached(known[name].data, name, store, **small)
            results = answers(known[name].CLAIMS, data)
            paths = save(name, drawn(known[name], data), data, results, folder)
            how = "computed" if fresh else "from the cache"
            print(f"{name}: data {how}, {time.perf_counter() - begin:.1f} s, {paths[0]}")
            if results:
                print(table(results))
    except FokkerError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("interrupted; finished figures are kept", 130)
    return 0


def _list(names: object) -> str:
    return ", ".join(names)  # pyright: ignore


def _say(sentence: str, status: int) -> int:
    print(f"fokker: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
