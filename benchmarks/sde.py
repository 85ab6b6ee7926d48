"""What a step of a general SDE costs beyond its drift, diffusion and noise, and beside torchsde.

Overhead is the time of a step less that of what it cannot avoid (the calls of drift and diffusion
and the drawing of its normals), in axpys ``y + a x`` on the same state. Bars: Euler at most 5,
SRA1 at most 8.

The second table is time to one accuracy. Each library solves the equation with noise of its own
(ours is keyed by sample), by every method that suits it: steps are doubled until the root mean
square of the last change, which is the error of the coarser solve, is at most the accuracy. The
cheapest method of each side counts, drawing included. Bar: at least 3 times cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchsde
from timing import in_turns, seconds, table, write
from torch import Tensor

from fokker.solvers.noise import GridPath, NoiseSource
from fokker.solvers.ops import Noise
from fokker.solvers.sde.basic import euler_maruyama, milstein, milstein_free
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.rungekutta import shark, sra1, srk15
from fokker.solvers.sde.solve import solve

SHAPE = (64, 3, 32, 32)
STEPS = 10
BARS = {"Euler-Maruyama": 5.0, "SRA1": 8.0}
CHEAPER = 3.0
ACCURACY = {"gbm": 2e-3, "ou": 1e-3}
OURS = {
    "gbm": (euler_maruyama, milstein, milstein_free, srk15),
    "ou": (euler_maruyama, sra1, shark),
}
THEIRS = {"gbm": ("euler", "milstein", "srk"), "ou": ("euler", "srk")}


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

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, sde: SDE) -> None:
        super().__init__()
        self.sde = sde

    def f(self, t: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        return self.sde.drift(0.0, y)

    def g(self, t: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        return self.sde.raw_g(0.0, y).expand(y.shape)


def problems() -> dict[str, SDE]:
    """Geometric Brownian motion and an Ornstein-Uhlenbeck process."""
    return {
        "gbm": SDE(lambda _, x: 0.3 * x, lambda _, x: 0.5 * x, signed=True),
        "ou": SDE(lambda _, x: -1.5 * x, lambda *_: 0.8, noise="additive"),
    }


def ours(sde: SDE, method: Method, n: int, x: Tensor, noise: NoiseSource | int = 0) -> Tensor:
    """The end of a solve with n steps."""
    return solve(sde, method, [k / n for k in range(n + 1)], x, noise=noise).x


def interval(x: Tensor, method: str) -> Any:
    """A path of torchsde, with areas where the method reads them."""
    levy = "space-time" if method == "srk" else "none"
    return torchsde.BrownianInterval(
        0.0, 1.0, size=tuple(x.shape), dtype=x.dtype, entropy=1, levy_area_approximation=levy
    )


def theirs(sde: SDE, method: str, n: int, x: Tensor, path: Any = None) -> Tensor:
    """The same by torchsde, on a fresh path unless one is given."""
    path = interval(x, method) if path is None else path
    ts = torch.tensor([0.0, 1.0])
    with torch.no_grad():
        return torchsde.sdeint(_Foreign(sde), x, ts, bm=path, method=method, dt=1 / n)[-1]


def steps_needed(runs: Callable[[int], tuple[Tensor, Tensor]], bar: float) -> int | None:
    """Steps at which the change to twice as many, on one path, is within the bar."""
    for n in (4, 8, 16, 32, 64, 128):
        coarse, fine = runs(n)
        if float((coarse - fine).square().mean().sqrt()) <= bar:
            return n
    return None


def our_steps(sde: SDE, method: Method, x: Tensor, bar: float) -> int | None:
    """Steps that ours needs."""

    def runs(n: int) -> tuple[Tensor, Tensor]:
        path = GridPath([k / (2 * n) for k in range(2 * n + 1)], seed=0)
        return ours(sde, method, n, x, path), ours(sde, method, 2 * n, x, path)

    return steps_needed(runs, bar)


def their_steps(sde: SDE, method: str, x: Tensor, bar: float) -> int | None:
    """Steps that torchsde needs; one path object, or two grids would see two paths."""

    def runs(n: int) -> tuple[Tensor, Tensor]:
        path = interval(x, method)
        return theirs(sde, method, n, x, path), theirs(sde, method, 2 * n, x, path)

    return steps_needed(runs, bar)


def at_equal_accuracy(name: str) -> dict[str, Any]:
    """The cheapest method of each side that keeps the bar, and their times in turns."""
    sde, bar, x = problems()[name], ACCURACY[name], torch.ones(SHAPE).flatten(1)
    few = x[:4]
    we = [(n, m) for m in OURS[name] if (n := our_steps(sde, m, few, bar)) is not None]
    they = [(n, m) for m in THEIRS[name] if (n := their_steps(sde, m, few, bar)) is not None]
    best = min(we, key=lambda c: seconds(lambda: ours(sde, c[1], c[0], x)))
    other = min(they, key=lambda c: seconds(lambda: theirs(sde, c[1], c[0], x)))
    pair = in_turns(
        lambda: ours(sde, best[1], best[0], x),
        lambda: theirs(sde, other[1], other[0], x),
        base_count=1,
        rounds=6,
    )
    return {
        "problem": name,
        "bar": bar,
        "ours": best[1].name,
        "steps": best[0],
        "torchsde": other[1],
        "their_steps": other[0],
        "ms": pair.base * 1e3,
        "their_ms": pair.target * 1e3,
        "ratio": pair.target / pair.base,
    }


def main() -> list[dict[str, Any]]:
    """Measure, print the tables, write the record."""
    torch.set_num_threads(1)
    steps = overhead()
    cells = [
        [r["method"], r["noise"], f"{r['axpys']:.1f}", f"{BARS[r['method']]:.0f}"] for r in steps
    ]
    print(table(["a step of a general SDE", "noise", "axpys", "bar"], cells))
    races = [at_equal_accuracy(name) for name in problems()]
    cells = [
        [
            f"{r['problem']} to {r['bar']:g}",
            f"{r['ours']}, {r['steps']}",
            f"{r['torchsde']}, {r['their_steps']}",
            f"{r['ms']:.1f}",
            f"{r['their_ms']:.1f}",
            f"{r['ratio']:.1f}",
        ]
        for r in races
    ]
    print(table(["equal accuracy", "ours", "torchsde", "ms", "theirs", "cheaper"], cells))
    print(f"written to {write('sde', [*steps, *races])}")
    return [*steps, *races]


if __name__ == "__main__":
    main()
