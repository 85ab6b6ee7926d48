"""What a step of a general SDE costs beyond its drift, diffusion and noise, and beside torchsde.

Overhead is the time of a step less that of what it cannot avoid (the calls of drift and diffusion
and the drawing of its normals), in axpys ``y + a x`` on the same state. Bars: Euler at most 5,
SRA1 at most 8.

The second table is time to one accuracy: the root mean square strong error at the end, against
a solve with many more steps on the same path. Every method of either library
that suits the equation is timed at several numbers of steps, all in turns; what the accuracy costs
is read off the curve, and the cheapest method of each side counts, drawing included. Both sides
draw from a new path of the same kind: one that is asked in order, or a tree of halves that may be
asked anything. Bar: at least 3 times cheaper.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
import torchsde
from curves import Curve, race
from timing import in_turns, seconds, table, write
from torch import Tensor

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.noise import GridPath, NoiseSource
from fokker.solvers.ops import Noise
from fokker.solvers.sde.basic import euler_maruyama, milstein_free
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.order_three import sra3, sriw2
from fokker.solvers.sde.polygon import polygon
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.rungekutta import shark, sra1
from fokker.solvers.sde.solve import solve

SHAPE = (64, 3, 32, 32)
STEPS = 10
BARS = {"Euler-Maruyama": 5.0, "SRA1": 8.0}
CHEAPER = 3.0
ACCURACY = {"gbm": 2e-3, "ou": 1e-3, "mixture": 5e-3}
COUNTS = (2, 4, 8, 16, 32)
FINE = 256
TOLERANCE = 2.0**-10
RACE = (16, 3 * 32 * 32)
KINDS = ("in order", "tree")
ROUNDS = 3
OURS = {
    "gbm": (milstein_free, polygon, sriw2),
    "ou": (sra1, shark, sra3),
    "mixture": (sra1, shark, sra3),
}
THEIRS = {
    "gbm": ("milstein", "midpoint", "heun", "srk"),
    "ou": ("euler", "srk"),
    "mixture": ("euler", "srk"),
}


class _Given:
    """Normals that are there already: drawing costs nothing."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.field = torch.randn(shape)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:  # noqa: ARG002
        return self.field


def overhead() -> list[dict[str, Any]]:
    """Axpys of one step besides drift, diffusion and noise; f and g return what they hold."""
    x, f, g = torch.randn(SHAPE), torch.randn(SHAPE), torch.rand(SHAPE)
    one = torch.tensor(0.7)
    cases = (
        (euler_maruyama, SDE(lambda *_: f, lambda *_: g)),
        (euler_maruyama, SDE(lambda *_: f, lambda *_: one, noise="additive")),
        (sra1, SDE(lambda *_: f, lambda *_: one, noise="additive")),
    )
    times, source = [k / STEPS for k in range(STEPS + 1)], _Given(SHAPE)
    rows = []
    for method, sde in cases:
        pair = in_turns(
            lambda: torch.add(x, f, alpha=0.1),
            lambda m=method, s=sde: solve(s, m, times, x, noise=source),
            base_count=20,
            rounds=40,
        )
        axpys = pair.target / STEPS / pair.base
        rows.append({"method": method.name, "noise": sde.noise, "axpys": axpys})
    return rows


class _Foreign(torch.nn.Module):
    """An equation as torchsde wants it; constant noise is diagonal there too, which is cheaper."""

    noise_type = "diagonal"

    def __init__(self, sde: SDE) -> None:
        super().__init__()
        self.sde, self.sde_type = sde, sde.calculus

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        return self.sde.drift(float(t), y)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        return self.sde.raw_g(float(t), y).expand(y.shape)


def problems() -> dict[str, SDE]:
    """Geometric Brownian motion, an Ornstein-Uhlenbeck process, and a reverse diffusion."""
    return {
        "gbm": SDE(lambda _, x: 0.3 * x, lambda _, x: 0.5 * x, signed=True),
        "ou": SDE(lambda _, x: -1.5 * x, lambda *_: 0.8, noise="additive"),
        "mixture": SDE(_reverse_drift, lambda *_: math.sqrt(BETA), noise="additive"),
    }


STRATONOVICH = {
    "gbm": SDE(lambda _, x: 0.175 * x, lambda _, x: 0.5 * x, calculus="stratonovich", signed=True)
}
"""The same process in the other calculus: the drift less half of ``g' g``."""


def problem(name: str, method: Method | str) -> SDE:
    """The equation as the method, ours or one of torchsde by name, wants it written."""
    other = method in ("heun", "midpoint") or method is polygon
    return STRATONOVICH[name] if other else problems()[name]


BETA = 4.0


def _reverse_drift(t: float, x: Tensor) -> Tensor:
    """``beta (x/2 + score)`` for ``dx = -beta x/2 dt + sqrt(beta) dW`` run back from time 1.1.

    The data are 1 and -1 with deviation 0.5 in each coordinate, so that the score at time u is
    ``(a tanh(a x/v) - x)/v``, a = exp(-beta u/2), v = 1 - 0.75 a^2.
    """
    a = math.exp(-0.5 * BETA * (1.1 - t))
    v = 1 - 0.75 * a**2
    return torch.tanh(x * (a / v)).mul_(BETA * a / v).add_(x, alpha=BETA * (0.5 - 1 / v))


def our_path(kind: str, n: int) -> NoiseSource:
    """A new path: in order, with n cells; or a tree."""
    if kind == "tree":
        return TreePath([0.0, 1.0], 0, tolerance=TOLERANCE)
    return GridPath([k / n for k in range(n + 1)], 0)


def ours(sde: SDE, method: Method, n: int, x: Tensor, path: NoiseSource) -> Tensor:
    """The end of a solve with n steps."""
    return solve(sde, method, [k / n for k in range(n + 1)], x, noise=path).x


def their_path(kind: str, x: Tensor, *, areas: bool) -> Any:
    """The same by torchsde: what it makes for a solve by itself, or a tree of halves."""
    levy = "space-time" if areas else "none"
    how = {"halfway_tree": True, "tol": TOLERANCE} if kind == "tree" else {}
    return torchsde.BrownianInterval(
        0.0, 1.0, size=tuple(x.shape), dtype=x.dtype, entropy=1,
        levy_area_approximation=levy, **how,
    )  # fmt: skip


def theirs(sde: SDE, method: str, n: int, x: Tensor, path: Any) -> Tensor:
    """The same by torchsde."""
    ts = torch.tensor([0.0, 1.0])
    with torch.no_grad():
        return torchsde.sdeint(_Foreign(sde), x, ts, bm=path, method=method, dt=1 / n)[-1]


def errors(name: str, solver: Any, path: Any, x: Tensor, *, own: bool) -> list[float]:
    """RMS strong errors of a method at each count, all on one path."""
    run = ours if own else theirs
    best: Any = OURS[name][-1] if own else THEIRS[name][-1]
    exact = run(problem(name, best), best, FINE, x, path)
    ends = [run(problem(name, solver), solver, n, x, path) for n in COUNTS]
    return [float((end - exact).square().mean().sqrt()) for end in ends]


def at_equal_accuracy(name: str, kind: str) -> dict[str, Any]:
    """Both sides to one accuracy, all solves timed in turns."""
    x = torch.ones(RACE)
    few = x[:2]
    found, calls = {}, {}
    for method in OURS[name]:
        path = GridPath([k / FINE for k in range(FINE + 1)], 0)
        found[True, method.name] = errors(name, method, path, few, own=True)
        for n in COUNTS:
            calls[True, method.name, n] = lambda m=method, n=n: ours(
                problem(name, m), m, n, x, our_path(kind, n)
            )
    for method in THEIRS[name]:
        path = their_path("in order", few, areas=True)
        found[False, method] = errors(name, method, path, few, own=False)
        for n in COUNTS:
            calls[False, method, n] = lambda m=method, n=n: theirs(
                problem(name, m), m, n, x, their_path(kind, x, areas=m == "srk")
            )
    times = {key: [] for key in calls}
    for _ in range(ROUNDS):
        for key, call in calls.items():
            times[key].append(seconds(call))
    curves = {
        key: Curve(COUNTS, e, list(zip(*(times[(*key, n)] for n in COUNTS), strict=True)))
        for key, e in found.items()
    }
    sides = [{k[1]: c for k, c in curves.items() if k[0] == own} for own in (True, False)]
    result = asdict(race(sides[0], sides[1], ACCURACY[name]))
    record = {f"{'ours' if k[0] else 'torchsde'}: {k[1]}": asdict(c) for k, c in curves.items()}
    return {"problem": name, "path": kind, "accuracy": ACCURACY[name], **result, "curves": record}


def main() -> list[dict[str, Any]]:
    """Measure, print the tables, write the record."""
    torch.set_num_threads(1)
    steps = overhead()
    cells = [
        [r["method"], r["noise"], f"{r['axpys']:.1f}", f"{BARS[r['method']]:.0f}"] for r in steps
    ]
    print(table(["a step of a general SDE", "noise", "axpys", "bar"], cells))
    races = [at_equal_accuracy(name, kind) for name in problems() for kind in KINDS]
    cells = [
        [
            f"{r['problem']} to {r['accuracy']:g}, {r['path']}",
            f"{r['ours']}, {r['steps']:.1f}",
            f"{r['theirs']}, {r['their_steps']:.1f}",
            f"{r['seconds'] * 1e3:.1f}",
            f"{r['their_seconds'] * 1e3:.1f}",
            f"{r['least']:.2f}",
            f"{r['ratio']:.2f}",
        ]
        for r in races
    ]
    head = [
        "equal accuracy",
        "ours, steps",
        "torchsde, steps",
        "ms",
        "theirs",
        "cheaper",
        "median",
    ]
    print(table(head, cells))
    print(f"written to {write('sde', [*steps, *races])}")
    return [*steps, *races]


if __name__ == "__main__":
    main()
