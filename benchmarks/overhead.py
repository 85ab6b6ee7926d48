"""What a run costs beyond the calls of a real network, and the same in other libraries' loops.

The network is a UNet of diffusers with random weights, which costs what a trained one costs. Three
things take turns: its bare calls, one after another on one state; our run of a plan; and the loop
of the library, as a pipeline runs it. The plan is the library's own sampler, read out and given
short recurrences, so that both ask the same network the same questions; ``gap`` is how far their
samples are apart. The rows of the house run registered samplers that ask for another prediction
than the network gives.

On a CPU the calls of the network are also timed inside of every run: what is left is the overhead,
the least over rounds since other work on the machine can only add, and the scatter of the
network's own time does not enter it. On a GPU the whole run is compared with the bare calls, by
the median over rounds. The bar is 2 %.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from device import device, in_rotation
from timing import table, write
from torch import Tensor

from fokker.solvers.adapters import diffusers_box, kdiffusion_box
from fokker.solvers.adapters.compress import compress
from fokker.solvers.adapters.trace import trace
from fokker.solvers.model import Model
from fokker.solvers.networks.network import Network
from fokker.solvers.plan import Eval, Input, Plan
from fokker.solvers.process import Process
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, VPLinear

BAR = 0.02
SAMPLERS = (
    ("fokker", "dpmpp_2m", 10),
    ("fokker", "unipc_2", 10),
    ("diffusers", "DDIM", 10),
    ("diffusers", "DPMSolverMultistep", 10),
    ("diffusers", "HeunDiscrete", 5),
    ("k-diffusion", "dpmpp_2m", 10),
    ("k-diffusion", "heun", 5),
)
OF_UNIT_SIGNAL = ("HeunDiscrete",)
"""Schedulers that hold ``x/alpha``."""


@dataclass(frozen=True)
class Size:
    """A network and a batch for a device."""

    channels: tuple[int, ...]
    layers: int
    batch: int
    rounds: int


SIZES = {
    "cpu": Size((32, 32, 32), 1, 8, 4),
    "cuda": Size((128, 256, 256, 256), 2, 64, 20),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; times in seconds, overheads as shares of the network's time."""

    sampler: str
    batch: int
    parameters: int
    evaluations: int
    bare: float
    ours: float
    library: float | None
    ours_over_bare: float
    library_over_ours: float | None
    overhead: float
    library_overhead: float | None
    gap: float | None
    met: bool


class Asked:
    """The UNet, asked with time labels; it sums up the time that it takes."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.clock = time.thread_time if device().type == "cpu" else None
        self.inside = 0.0

    def __call__(self, x: Tensor, label: Any) -> Tensor:
        """The answer at a label."""
        if self.clock is None:
            return self.unet(x, label, return_dict=False)[0]
        begin = self.clock()
        out = self.unet(x, label, return_dict=False)[0]
        self.inside += self.clock() - begin
        return out


def make_unet(size: Size) -> Any:
    """A UNet for images 3 x 32 x 32 with attention below the first level, random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers.models.unets.unet_2d import UNet2DModel

    torch.manual_seed(0)
    deeper = len(size.channels) - 1
    net: Any = UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        block_out_channels=size.channels,
        layers_per_block=size.layers,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", *["AttnDownBlock2D"] * deeper),
        up_block_types=(*["AttnUpBlock2D"] * deeper, "UpBlock2D"),
    )
    return net.to(device()).eval().requires_grad_(False)


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    size = SIZES[device().type]
    asked = Asked(make_unet(size))
    rows = [measure(asked, size, *sampler) for sampler in SAMPLERS]
    head = ["sampler", "evals", "bare s", "ours s", "library s", "overhead", "library's"]
    print(table([*head, "library/ours", "gap"], [_cells(row) for row in rows]))
    missed = [row.sampler for row in rows if not row.met]
    print(f"overhead over {BAR:.0%}: {', '.join(missed) or 'nobody'}")
    records = [asdict(row) for row in rows]
    print(f"written to {write('overhead', records)}")
    return records


def _cells(row: Row) -> list[str]:
    def cell(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return [
        row.sampler,
        str(row.evaluations),
        f"{row.bare:.3f}",
        f"{row.ours:.3f}",
        cell(row.library, ".3f"),
        f"{row.overhead:.2%}{'' if row.met else ' MISSED'}",
        cell(row.library_overhead, ".2%"),
        cell(row.library_over_ours, ".3f"),
        cell(row.gap, ".1e"),
    ]


Loop = Callable[[Tensor], Tensor]


def measure(asked: Asked, size: Size, library: str, name: str, steps: int) -> Row:
    """One sampler: bare calls, our run, the library's loop, in turns."""
    plan, model, labels, loop = prepared(asked, library, name, steps)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((size.batch, 3, 32, 32), generator=generator).to(device())
    shares: list[list[float]] = [[], []]

    def bare() -> None:
        for label in labels:
            asked(x, label)

    def timed(call: Callable[[], object], into: list[float]) -> Callable[[], None]:
        def whole() -> None:
            asked.inside, begin = 0.0, time.thread_time()
            call()
            into.append((time.thread_time() - begin) / max(asked.inside, 1e-9) - 1.0)

        return whole

    with torch.no_grad():
        calls = [bare, timed(lambda: run(plan, model, x), shares[0])]
        if loop is not None:
            calls.append(timed(lambda: loop(x), shares[1]))
        turns = in_rotation(calls, rounds=size.rounds)
        gap = None if loop is None else _gap(run(plan, model, x).x, loop(x))
    inside = asked.clock is not None
    overheads = [
        min(s[1:]) if inside else turns.typical(k, 0) - 1.0 for k, s in enumerate(shares, 1) if s
    ]
    return Row(
        sampler=f"{library} {name}",
        batch=size.batch,
        parameters=sum(p.numel() for p in asked.unet.parameters()),
        evaluations=len(labels),
        bare=turns.least[0],
        ours=turns.least[1],
        library=turns.least[2] if loop is not None else None,
        ours_over_bare=turns.ratio(1, 0),
        library_over_ours=turns.ratio(2, 1) if loop is not None else None,
        overhead=overheads[0],
        library_overhead=overheads[1] if loop is not None else None,
        gap=gap,
        met=overheads[0] <= BAR,
    )


def _gap(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the root mean square."""
    return float((ours - theirs).abs().max() / theirs.square().mean().sqrt())


def prepared(
    asked: Asked, library: str, name: str, steps: int
) -> tuple[Plan, Model, list[Any], Loop | None]:
    """The plan, our model for it, the labels that it asks at, and the library's own loop."""
    if library == "fokker":
        return own(asked, name, steps)
    if library == "k-diffusion":
        return kdiffusion(asked, name, steps)
    options: dict[str, Any] = {"clip_sample": False} if name == "DDIM" else {}
    found = trace(diffusers_box.native(name, steps, **options))
    plan = compress(found.require_plan())
    told = {c.node.t: _tensor(c.label) for c in found.calls}
    process, prediction = found.foreign.process, found.foreign.prediction
    network = _network(process, prediction, lambda x, t: asked(x, told[t]))
    loop = _pipeline(asked, name, steps, options)
    first = plan.ops[plan.inputs["x"]]
    unit = first.node.alpha if name in OF_UNIT_SIGNAL and isinstance(first, Input) else 1.0
    return plan, network.model(), _labels(plan, told), lambda x: loop(x / unit)


def own(asked: Asked, name: str, steps: int) -> tuple[Plan, Model, list[Any], None]:
    """A registered sampler on a network that gives the noise."""
    process = VPLinear()
    told: dict[float, Tensor] = {}
    network = _network(process, "noise", lambda x, t: asked(x, told[t]))
    plan = get(name)(process, network.grid(steps))
    for op in plan.ops:
        if isinstance(op, Eval):
            told[op.node.t] = _tensor(1000.0 * op.node.t - 1.0)
    return plan, network.model(prediction=get(name).prediction), _labels(plan, told), None


def kdiffusion(asked: Asked, name: str, steps: int) -> tuple[Plan, Model, list[Any], Loop]:
    """A sampler of k-diffusion: the UNet gives the noise of ``x_0 + sigma eps``, scaled to one."""
    plan = compress(trace(kdiffusion_box.native(name, steps)).require_plan())
    nodes = [op.node for op in plan.ops if isinstance(op, Eval)]
    told = {n.t: _tensor(62.5 * math.log(n.rho) + 400.0) for n in nodes}
    sigmas = torch.tensor([*sorted({n.rho for n in nodes}, reverse=True), 0.0], device=device())
    function = kdiffusion_box.function(name)

    def noise(x: Tensor, t: float) -> Tensor:
        return asked(x / math.hypot(t, 1.0), told[t])

    def loop(x: Tensor) -> Tensor:
        levels = iter(nodes)

        def denoise(x: Tensor, _sigma: Tensor, **_: Any) -> Tensor:
            t = next(levels).t
            return x - t * noise(x, t)

        return function(denoise, x, sigmas, disable=True)

    network = _network(EDM(), "noise", noise)
    return plan, network.model(prediction="data"), _labels(plan, told), loop


def _network(process: Process, prediction: str, ask: Model) -> Network:
    return Network(
        "UNet", lambda x, t, _: ask(x, t), process, prediction, (3, 32, 32), (-4.0, 4.0)
    )


def _tensor(label: Any) -> Tensor:
    """A label on the device, so that no call copies it there."""
    return torch.tensor(float(label), device=device())


def _labels(plan: Plan, told: dict[float, Tensor]) -> list[Any]:
    return [told[op.node.t] for op in plan.ops if isinstance(op, Eval)]


def _pipeline(asked: Asked, name: str, steps: int, options: dict[str, Any]) -> Loop:
    scheduler = diffusers_box.scheduler(name, **options)

    def loop(x: Tensor) -> Tensor:
        scheduler.set_timesteps(steps, device=device())
        sample = x
        for t in scheduler.timesteps:
            out = asked(scheduler.scale_model_input(sample, t), t)
            sample = scheduler.step(out, t, sample).prev_sample
        return sample

    return loop


if __name__ == "__main__":
    main()
