"""One side of the bench of Sinkhorn, as a process: requests come in, measurements go out.

``python sinkhorn_sides.py SIDE`` reads one request a line, ``{"n", "iterations", "relaxation"}``
(iterations null: to the tolerance), and answers one line of JSON. The side of OTT-JAX runs in any
interpreter that has it and NumPy; nothing of this project is imported there.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

FRACTION, TOLERANCE = 0.05, 1e-6
Solve = Callable[[Any, Any, float, Any], "tuple[int, float]"]


def problem(n: int) -> tuple[Any, Any, float]:
    """Two clouds in the plane, and epsilon."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 2)), 0.7 * rng.normal(size=(n, 2)) + 0.5
    spread = x.var(0).sum() + y.var(0).sum() + ((x.mean(0) - y.mean(0)) ** 2).sum()
    return x, y, FRACTION * float(spread)


def ours() -> tuple[str, Solve]:
    """Ours, as it comes."""
    import torch

    from fokker import __version__
    from fokker.solvers.transport.sinkhorn import sinkhorn

    torch.set_num_threads(1)

    def solve(x: Any, y: Any, epsilon: float, request: Any) -> tuple[int, float]:
        plan = sinkhorn(
            torch.from_numpy(x),
            torch.from_numpy(y),
            epsilon=epsilon,
            tolerance=TOLERANCE,
            relaxation=request.get("relaxation"),
        )
        return plan.iterations, plan.marginal_error

    return __version__, solve


def pot() -> tuple[str, Solve]:
    """POT in logarithms, on torch; its L2 threshold as an L1 one of equal weights."""
    import ot
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")

    def solve(x: Any, y: Any, epsilon: float, request: Any) -> tuple[int, float]:
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        w = torch.full((len(x),), 1.0 / len(x), dtype=torch.float64)
        most, stop = request["iterations"] or 10_000, TOLERANCE / len(x) ** 0.5
        _, log = ot.bregman.sinkhorn_log(
            w, w, ot.dist(x, y), epsilon, numItermax=most, stopThr=stop, log=True
        )
        seen: Any = log
        return int(seen["niter"]) + 1, float(seen["err"][-1]) * len(x) ** 0.5

    return ot.__version__, solve


def ott() -> tuple[str, Solve]:
    """OTT-JAX as it comes: in logarithms, float64; its compilation is not counted."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax  # type: ignore[import-not-found]
    import ott as library  # type: ignore[import-not-found]
    from ott.geometry import pointcloud  # type: ignore[import-not-found]
    from ott.problems.linear import linear_problem  # type: ignore[import-not-found]
    from ott.solvers.linear import sinkhorn  # type: ignore[import-not-found]

    jax.config.update("jax_enable_x64", True)
    compiled: dict[Any, Any] = {}

    def run(x: Any, y: Any, epsilon: Any, exactly: Any) -> Any:
        clouds = pointcloud.PointCloud(x, y, epsilon=epsilon)
        limits = {"min_iterations": exactly, "max_iterations": exactly} if exactly else {}
        solver = sinkhorn.Sinkhorn(threshold=TOLERANCE, **limits)
        out = solver(linear_problem.LinearProblem(clouds))
        return out.f, out.errors, out.n_iters

    def solve(x: Any, y: Any, epsilon: float, request: Any) -> tuple[int, float]:
        count = request["iterations"]
        if (len(x), count) not in compiled:
            program = jax.jit(lambda x, y, e: run(x, y, e, count))
            compiled[len(x), count] = program.lower(x, y, epsilon).compile()
            raise Recompiled
        _, errors, count = jax.block_until_ready(compiled[len(x), count](x, y, epsilon))
        errors = np.asarray(errors)
        return int(count), float(errors[errors >= 0][-1])

    return f"{library.__version__}, jax {jax.__version__}", solve


class Recompiled(Exception):
    """The program was compiled just now: measure again."""


def peak() -> float:
    """Largest memory of the process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def answer(solve: Solve, request: Any) -> dict[str, Any]:
    """Processor seconds, iterations, error and the growth of the peak of memory."""
    x, y, epsilon = problem(request["n"])
    before = peak()
    for _ in range(2):
        begin = time.process_time()
        try:
            count, error = solve(x, y, epsilon, request)
        except Recompiled:
            continue
        spent = time.process_time() - begin
        return {"s": spent, "iterations": count, "error": error, "extra_mb": peak() - before}
    raise AssertionError


def main() -> None:
    """Answer until the input ends."""
    try:
        version, solve = {"ours": ours, "pot": pot, "ott": ott}[sys.argv[1]]()
    except ImportError as e:
        print(json.dumps({"missing": str(e)}), flush=True)
        return
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(solve, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
