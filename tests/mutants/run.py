"""Plant every mistake, one at a time, in a copy of the project, and count those that tests notice.

``python tests/mutants/run.py [WORD ...] [--jobs N]``: with words, only the mistakes whose file or
description contains one of them. The working tree is never touched.

A mistake is killed if a named test *fails* on the copy that holds it; a copy that cannot be
imported, or whose tests cannot be collected, kills nothing. Before anything is planted the same
tests must pass on a clean copy. Exit status 1 if a mistake survives or can no longer be planted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
if __name__ == "__main__":
    sys.path[0] = str(TESTS)  # not this folder: its mutants.py is mutants.mutants

from mutants.mutant import Mutant  # noqa: E402
from mutants.mutants import MUTANTS  # noqa: E402

COPIED = ("solvers", "toy_models", "analysis", "paper_figs", "src", "tests", "pyproject.toml")
LIMIT = 240
"""Seconds after which a run is given up (a clean run of all tests is given four times as much)."""

FOREIGN = 97
"""Exit status of a run that imported another copy."""

_MAIN = f"""
import os, sys
import fokker.solvers.plan, fokker.analysis.order, fokker.toy_models.law
here = os.path.realpath(os.getcwd()) + os.sep
used = [m for n, m in sys.modules.items() if n.split(".")[0] == "fokker" and m.__file__]
if not all(os.path.realpath(m.__file__).startswith(here) for m in used):
    sys.exit({FOREIGN})
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Outcome:
    """What the tests said: ``killed``, ``survived``, or why neither can be told."""

    verdict: str
    seconds: float
    detail: str = ""


def copy_project(target: Path) -> None:
    """Copy what tests need; links stay links, so that they point into the copy."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, target / name)


def run_tests(root: Path, tests: Sequence[str], limit: float) -> tuple[int, str]:
    """Exit status and output of pytest on a copy that comes first on the path."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    env = {
        **os.environ,
        **threads,
        "PYTHONPATH": str(root / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-m", "not gpu"]
    command = [sys.executable, "-c", _MAIN, *options, *tests]
    try:
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"no answer within {limit:g} s"
    return done.returncode, done.stdout + done.stderr


def judge(status: int, output: str, seconds: float) -> Outcome:
    """Killed means that tests ran and one failed."""
    last = output.strip().splitlines()[-1] if output.strip() else "no output"
    if status == 0:
        return Outcome("survived", seconds, last)
    if status == 1 and re.search(r"\b\d+ failed\b", output):
        failed = re.findall(r"^FAILED (\S+)", output, re.MULTILINE)
        return Outcome("killed", seconds, failed[0] if failed else last)
    if status == FOREIGN:
        return Outcome("broken", seconds, "the copy was not what was imported")
    return Outcome("broken", seconds, last)


def try_mutant(mutant: Mutant) -> Outcome:
    """Plant one mistake and ask its tests."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fokker-mutant-") as folder:
        root = Path(folder)
        copy_project(root)
        try:
            mutant.plant(root)
        except ValueError as error:
            return Outcome("stale", time.perf_counter() - begin, str(error))
        status, output = run_tests(root, mutant.tests, LIMIT)
    return judge(status, output, time.perf_counter() - begin)


def clean_run(mutants: Sequence[Mutant]) -> Outcome:
    """The same tests without any mistake: all must pass, or no failure means anything."""
    begin = time.perf_counter()
    files = {t for m in mutants for t in m.tests if "::" not in t}
    parts = {t for m in mutants for t in m.tests if t.split("::")[0] not in files}
    with tempfile.TemporaryDirectory(prefix="fokker-clean-") as folder:
        copy_project(Path(folder))
        status, output = run_tests(Path(folder), sorted(files | parts), 4 * LIMIT)
    seconds = time.perf_counter() - begin
    return Outcome("clean", seconds) if status == 0 else judge(status, output, seconds)


def report(mutants: Sequence[Mutant], outcomes: Sequence[Outcome]) -> bool:
    """Print the table and the score; whether every mistake was killed."""
    width = max(len(m.name) for m in mutants)
    for m, o in zip(mutants, outcomes, strict=True):
        print(f"{o.verdict:9s} {m.name:{width}s} {o.seconds:6.1f} s  {o.detail}")
    killed = sum(o.verdict == "killed" for o in outcomes)
    print(f"\n{killed} of {len(mutants)} killed")
    for m, o in zip(mutants, outcomes, strict=True):
        if o.verdict != "killed":
            print(f"{o.verdict}: {m.name}; asked {', '.join(m.tests)}; {o.detail}")
    return killed == len(mutants)


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("words", nargs="*", help="only mistakes whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=2, help="copies tested at once (default 2)")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if not args.words or any(w in m.name for w in args.words)]
    if not chosen or args.jobs < 1:
        parser.error("no mistake has such a name" if not chosen else "--jobs must be at least 1")
    begin, outcomes = time.perf_counter(), []
    with ThreadPoolExecutor(args.jobs) as pool:
        clean = pool.submit(clean_run, chosen)
        for i, outcome in enumerate(pool.map(try_mutant, chosen), 1):
            outcomes.append(outcome)
            print(f"[{i}/{len(chosen)}] {outcome.verdict}: {chosen[i - 1].name}", flush=True)
        verdict = clean.result()
    print(f"\nwithout mistakes: {verdict.verdict} {verdict.detail} ({verdict.seconds:.0f} s)\n")
    well = report(chosen, outcomes) and verdict.verdict == "clean"
    print(f"{time.perf_counter() - begin:.0f} s")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
