"""What a step costs in another library, and when its own plan is run by our executor.

The sampler is read out (``trace``), given short recurrences (``compress``) and run on the same
start with the same model, which returns fixed tensors and takes no time. On the other side stands
the library's own loop in float32 as a pipeline runs it, the setting of its times not counted; on
ours everything is: checks of start, model outputs and sample included. ``ours`` is the executor
that sums each row in one fused pass, ``eager`` the one that does not. Bars: at least 3 times
cheaper a step (fused) on latents of a common image model, memory not above the library's.

Memory is the largest number of bytes that are alive at once in tensors made by either side during
a run, in states; the outputs of the model are nobody's.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timing import in_turns, table, write
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fokker.solvers.adapters import diffusers_box, kdiffusion_box
from fokker.solvers.adapters.compress import compress
from fokker.solvers.adapters.trace import trace
from fokker.solvers.plan import Eval, Lin, Plan
from fokker.solvers.run import run

SHAPES = ((1, 4, 64, 64), (8, 4, 64, 64))
STEPS = 20
BAR = 3.0
SAMPLERS = (
    ("diffusers", "DDIM"),
    ("diffusers", "EulerDiscrete"),
    ("diffusers", "DPMSolverMultistep"),
    ("diffusers", "UniPCMultistep"),
    ("diffusers", "HeunDiscrete"),
    ("k-diffusion", "dpmpp_2m"),
    ("k-diffusion", "heun"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table; times in microseconds a step, memory in states."""

    sampler: str
    shape: tuple[int, ...]
    library_us: float
    ours_us: float
    eager_us: float
    ratio: float
    typical: float
    library_states: float
    our_states: float
    terms: int
    met: bool


class Fixed:
    """A model that takes no time: a few fixed tensors, returned in turns."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.next = itertools.cycle([torch.randn(shape) for _ in range(4)]).__next__

    def __call__(self, *_: Any, **__: Any) -> Tensor:
        """Return the next one."""
        return self.next()


class Live(TorchDispatchMode):
    """The most bytes alive at once in tensors that appear inside."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what is new in the output of one operation."""
        out = func(*args, **(kwargs or {}))
        before = {a.untyped_storage()._cdata for a in args if isinstance(a, Tensor)}
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self._count(tensor, before)
        return out

    def _count(self, tensor: Tensor, before: set[int]) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in before or key in self.known:
            return
        self.known.add(key)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.bytes -= size


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    rows = [measure(*name, shape) for shape in SHAPES for name in SAMPLERS]
    head = [
        "sampler",
        "shape",
        "library us",
        "ours us",
        "eager us",
        "ratio",
        "typical",
        "terms",
        "memory",
    ]
    print(table(head, [_cells(row) for row in rows]))
    print("memory in states: library, ours")
    records = [asdict(row) for row in rows]
    print(f"written to {write('foreign', records)}")
    return records


def _cells(row: Row) -> list[str]:
    return [
        row.sampler,
        "x".join(map(str, row.shape)),
        f"{row.library_us:.0f}",
        f"{row.ours_us:.0f}",
        f"{row.eager_us:.0f}",
        f"{row.ratio:.2f}{'' if row.met else ' MISSED'}",
        f"{row.typical:.2f}",
        str(row.terms),
        f"{row.library_states:.1f}, {row.our_states:.1f}",
    ]


def measure(library: str, name: str, shape: tuple[int, ...], rounds: int = 30) -> Row:
    """One sampler at one shape."""
    plan, make = prepared(library, name)
    x, model = torch.randn(shape), Fixed(shape)
    loops = iter([make() for _ in range(rounds + 2)])  # a loop is good for one run

    def ours() -> None:
        run(plan, model, x, compiled=True)

    def eager() -> None:
        run(plan, model, x)

    plain = in_turns(ours, eager, base_count=1, rounds=rounds)
    pair = in_turns(ours, lambda: next(loops)(model, x), base_count=1, rounds=rounds)
    terms = max(len(op.terms) for op in plan.ops if isinstance(op, Lin))
    states = [_states(call, x) for call in (lambda: next(loops)(model, x), eager)]
    ratio = pair.target / pair.base
    return Row(
        sampler=f"{library} {name}",
        shape=shape,
        library_us=pair.target / STEPS * 1e6,
        ours_us=pair.base / STEPS * 1e6,
        eager_us=plain.target / STEPS * 1e6,
        ratio=ratio,
        typical=pair.typical_ratio,
        library_states=states[0],
        our_states=states[1],
        terms=terms,
        met=ratio >= BAR and states[1] <= states[0],
    )


Loop = Callable[[Any, Tensor], Tensor]


def prepared(library: str, name: str) -> tuple[Plan, Callable[[], Loop]]:
    """The compressed plan, and a maker of the library's own loop, its times set."""
    options: dict[str, Any] = {"clip_sample": False} if name == "DDIM" else {}
    box = kdiffusion_box if library == "k-diffusion" else diffusers_box
    plan = compress(trace(box.native(name, STEPS, **options)).require_plan())
    if library == "diffusers":
        return plan, lambda: _pipeline(diffusers_box.scheduler(name, **options))
    levels = sorted({op.node.rho for op in plan.ops if isinstance(op, Eval)}, reverse=True)
    sigmas, f = torch.tensor([*levels, 0.0]), kdiffusion_box.function(name)
    return plan, lambda: lambda model, x: f(model, x, sigmas, disable=True)


def _pipeline(scheduler: Any) -> Loop:
    scheduler.set_timesteps(STEPS)

    def loop(model: Any, x: Tensor) -> Tensor:
        sample = x
        for t in scheduler.timesteps:
            out = model(scheduler.scale_model_input(sample, t), t)
            sample = scheduler.step(out, t, sample).prev_sample
        return sample

    return loop


def _states(call: Callable[[], object], x: Tensor) -> float:
    with Live() as live:
        call()
    return live.peak / (x.numel() * x.element_size())


if __name__ == "__main__":
    main()
