"""What a step costs beyond the model, in units of one ``torch.add(x, y, alpha=a, out=z)``.

A row of n terms summed in place moves ``3 n - 1`` vectors through memory (multiply: one read, one
write; each further term: two reads, one write), in one fused pass ``n + 1``; an axpy moves 3. So
the bytes of a plan set its time: ``sum (3n-1)/3`` axpys eager, ``sum (n+1)/3`` compiled. The bars
are 1.25 and 1.5 times that, everything included: the loop, the guards against a model that
overwrites or aliases, the check that every output is finite, the checks of start and sample.

The model returns a fixed tensor; the time of calling it is measured and subtracted. That is the
line with a bar. In a second line it returns one of as many fixed tensors as the plan holds at
once, as a network would: then a plan may need more memory than the cache holds, where an axpy does
not, and no bar is set. ``bare`` is the floor in either case: the same sums on tensors of the same
size, unrolled by hand, with no loop, no guard and no check.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from timing import in_turns, seconds, table, write
from torch import Tensor

from fokker.solvers.engine.executor import Executor
from fokker.solvers.engine.fused import FusedSum
from fokker.solvers.grids import uniform_lam
from fokker.solvers.plan import Eval, Lin, Plan
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear

SHAPES = ((64, 3, 32, 32), (8, 3, 256, 256))
SAMPLERS = ("dpmpp_2m", "dpmpp_3m", "unipc_2")
STEPS = 40
EAGER_BAR, COMPILED_BAR = 1.25, 1.5


@dataclass(frozen=True)
class Row:
    """One line of the table; times in units of one axpy on the same tensor."""

    shape: tuple[int, ...]
    sampler: str
    mode: str
    outputs: int
    axpy_us: float
    step: float
    typical: float
    bare: float
    bytes: float
    bar: float | None
    met: bool
    vectors: int
    peak_live: int


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    rows = [
        measure(shape, name, mode, distinct)
        for shape, name, mode, distinct in itertools.product(
            SHAPES, SAMPLERS, ("eager", "compiled"), (False, True)
        )
    ]
    head = ["shape, sampler", "mode", "outputs", "axpy us", "bytes", "bare", "step", "typical"]
    print(table([*head, "bar", "memory"], [_cells(row) for row in rows]))
    print("times of a step in axpys; memory: vectors held / the plan's peak of live vectors")
    records = [asdict(row) for row in rows]
    print(f"written to {write('executor', records)}")
    return records


def _cells(row: Row) -> list[str]:
    bar = "-" if row.bar is None else f"{row.bar:.2f}{'' if row.met else ' MISSED'}"
    return [
        f"{'x'.join(map(str, row.shape))} {row.sampler}",
        row.mode,
        str(row.outputs),
        f"{row.axpy_us:.1f}",
        *(f"{v:.2f}" for v in (row.bytes, row.bare, row.step, row.typical)),
        bar,
        f"{row.vectors}/{row.peak_live}",
    ]


def measure(shape: tuple[int, ...], name: str, mode: str, distinct: bool, rounds: int = 30) -> Row:
    """Time of a step of one plan over the time of one axpy."""
    process = VPLinear()
    plan = get(name)(process, uniform_lam(process, -4.0, 3.0).grid(STEPS))
    x, y, z = (torch.randn(shape) for _ in range(3))
    model = Fixed(shape, live_outputs(plan) if distinct else 1)
    compiled = mode == "compiled"
    count = max(4, 10_000_000 // x.numel())  # axpys in a row: some milliseconds

    def axpy() -> None:
        torch.add(x, y, alpha=0.3, out=z)

    def whole() -> None:
        run(plan, model, x, compiled=compiled)

    pair = in_turns(axpy, whole, base_count=count, rounds=rounds)
    floor = in_turns(axpy, unrolled(plan, model, x, compiled), base_count=count, rounds=rounds)
    own = min(seconds(lambda: model(x, 0.5), 1000) for _ in range(20)) * plan.nfe
    base = min(pair.base, floor.base)
    moved = [len(op.terms) for op in plan.ops if isinstance(op, Lin)]
    bytes_ = sum((n + 1) / 3 if compiled else (3 * n - 1) / 3 for n in moved) / STEPS
    bar = None if distinct else bytes_ * (COMPILED_BAR if compiled else EAGER_BAR)
    step = (pair.target - own) / STEPS / base
    return Row(
        shape=shape,
        sampler=name,
        mode=mode,
        outputs=len(model.outputs),
        axpy_us=base * 1e6,
        step=step,
        typical=(pair.typical_ratio - own / pair.base) / STEPS,
        bare=floor.target / STEPS / base,
        bytes=bytes_,
        bar=bar,
        met=bar is None or step <= bar,
        vectors=vectors_held(plan, x),
        peak_live=plan.peak_live,
    )


class Fixed:
    """A model that takes no time: its outputs are fixed tensors, returned in turns."""

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        self.outputs = [torch.randn(shape) for _ in range(count)]
        self.next = itertools.cycle(self.outputs).__next__

    def __call__(self, _x: Tensor, _t: float) -> Tensor:
        """Return the next one."""
        return self.next()


def live_outputs(plan: Plan) -> int:
    """Largest number of model outputs alive at once."""
    live = peak = 0
    for op, dead in zip(plan.ops, plan.deaths, strict=True):
        live += isinstance(op, Eval)
        peak = max(peak, live)
        live -= sum(isinstance(plan.ops[j], Eval) for j in dead)
    return peak


def unrolled(plan: Plan, model: Fixed, x: Tensor, compiled: bool) -> Callable[[], None]:
    """The sums of a plan and nothing else, on buffers laid out beforehand."""
    calls: list[Callable[[], object]] = []
    free: list[Tensor] = []
    live: dict[int, Tensor] = {}
    fused = FusedSum(x)
    for i, (op, dead) in enumerate(zip(plan.ops, plan.deaths, strict=True)):
        if isinstance(op, Lin):
            out = live[i] = free.pop() if free else torch.empty_like(x)
            weights, vectors = zip(*((w, live[j]) for j, w in op.terms), strict=True)
            if compiled:
                calls.append(partial(fused, weights, vectors, out))
            else:
                scale = torch.tensor(weights[0], dtype=x.dtype)
                calls.append(partial(torch.mul, vectors[0], scale, out=out))
                for v, w in zip(vectors[1:], weights[1:], strict=True):
                    calls.append(partial(out.add_, v, alpha=w))
        else:
            live[i] = model(x, 0.0) if isinstance(op, Eval) else x
        for j in dead:
            gone = live.pop(j)
            if isinstance(plan.ops[j], Lin):
                free.append(gone)

    def call() -> None:
        for c in calls:
            c()

    return call


def vectors_held(plan: Plan, x: Tensor) -> int:
    """Vectors that a run allocates: its buffers, and the outputs of the model it holds at once."""
    executor = Executor(
        plan,
        lambda v, _t: torch.zeros_like(v),
        x[:1],
        noise=0,
        callback=None,
        save_at=set(),
        compiled=False,
        grad=False,
    )
    with torch.no_grad():
        executor({"x": x[:1]})
    return executor.buffers + live_outputs(plan)


if __name__ == "__main__":
    main()
