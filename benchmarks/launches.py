"""What a sampler adds to a real network on a GPU, counted without one: launches and bytes.

The networks are those of published sizes, made on a device that is imagined
(``fokker.analysis.device_work``): every call that the run would make there is made, nothing is
computed. A kernel takes the time of its launch or of its bytes, whichever is longer; so on any
device, with its launch time L and its bandwidth W, n kernels that move b bytes take at most
``n L + b/W`` and at least the larger of the two. What the sampler adds to a network is therefore

    at most  n_sampler/n_network + b_sampler/b_network

as a share of the network's time. The bar is 2 %. Rows of a library are its own loop around the
same network, as its pipelines run it, with how often a step makes the host wait for the device. It
waits for numbers of the schedule only; those are known, so the run goes on. (A host that waits
launches nothing meanwhile: of a bound by counting, waits are no part.)
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timing import table, write
from torch import Tensor, nn

from fokker.analysis.device_work import DeviceWork, device_work, run_work
from fokker.solvers.adapters import diffusers_box
from fokker.solvers.grids import uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear

BAR = 0.02
STEPS = 10
OURS = ("ddim", "dpmpp_2m", "unipc_2", "unipc_3", "strip_adams_4", "sde_dpmpp_2m")
LIBRARY = ("DDIM", "EulerDiscrete", "DPMSolverMultistep", "UniPCMultistep", "HeunDiscrete")


@dataclass(frozen=True)
class Size:
    """A network of a published size and the batch it is asked with."""

    kind: str
    config: dict[str, Any]
    batch: int
    shape: tuple[int, ...]
    words: int = 0
    """Width of the text that it is told, 77 tokens long; 0 for none."""


SIZES = {
    "CIFAR-10, 36 M": Size(
        "UNet2DModel",
        {
            "sample_size": 32,
            "block_out_channels": (128, 256, 256, 256),
            "layers_per_block": 2,
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        },
        64,
        (3, 32, 32),
    ),
    "latent text-to-image, 860 M": Size(
        "UNet2DConditionModel",
        {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        4,
        (4, 64, 64),
        words=768,
    ),
}


@dataclass(frozen=True)
class Row:
    """One line of the table, per evaluation of the network."""

    network: str
    parameters: int
    batch: int
    sampler: str
    network_kernels: int
    network_bytes: int
    kernels: float
    bytes: float
    uploads: int
    at_most: float
    waits: float
    where: dict[str, int]

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.at_most <= BAR


def made(size: Size) -> nn.Module:
    """The network, without numbers and without memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        with torch.device("meta"):
            return getattr(diffusers, size.kind)(**size.config).eval().requires_grad_(False)


def call_of(size: Size, module: nn.Module) -> DeviceWork:
    """One call of the network on the device; all calls ask the same of it."""
    with device_work() as work, torch.no_grad():
        network: Any = work.moved_module(module)
        x, label = work.empty(size.batch, *size.shape), work.empty()
        told = {}
        if size.words:
            told["encoder_hidden_states"] = work.empty(size.batch, 77, size.words)
        network(x, label, return_dict=False, **told)
    return work


def main() -> list[dict[str, Any]]:
    """Count, print the table, write the record."""
    rows = []
    for name, size in SIZES.items():
        module = made(size)
        call = call_of(size, module)
        parameters = sum(p.numel() for p in module.parameters())
        for sampler in OURS:
            rows.append(
                row(name, parameters, size, call, f"fokker {sampler}", *ours(size, sampler))
            )
        for kind in LIBRARY:
            rows.append(
                row(name, parameters, size, call, f"diffusers {kind}", *theirs(size, kind))
            )
    head = ["network", "batch", "sampler", "kernels", "of network", "MB", "of network", "at most"]
    print(table([*head, "waits"], [_cells(row) for row in rows]))
    missed = [f"{row.sampler} on {row.network}" for row in rows if not row.met]
    print(f"over {BAR:.0%}: {', '.join(missed) or 'nobody'}")
    records = [asdict(row) for row in rows]
    print(f"written to {write('launches', records)}")
    return records


def _cells(row: Row) -> list[str]:
    return [
        row.network,
        str(row.batch),
        row.sampler,
        f"{row.kernels:.1f}",
        f"{row.network_kernels}",
        f"{row.bytes / 1e6:.2f}",
        f"{row.network_bytes / 1e6:.0f}",
        f"{row.at_most:.2%}{'' if row.met else ' OVER'}",
        f"{row.waits:.1f}",
    ]


def ours(size: Size, sampler: str) -> tuple[DeviceWork, int]:
    """What one of our plans asks for in our executor, and its number of evaluations."""
    process = VPLinear()
    plan = get(sampler)(process, uniform_lam(process, -4.0, 4.0).grid(STEPS))
    work = run_work(plan, lambda _: answer, (size.batch, *size.shape))
    return work.sampler, len(work.calls)


def theirs(size: Size, scheduler: str) -> tuple[DeviceWork, int]:
    """The same of a scheduler of diffusers, in the loop of its pipelines."""
    steps = diffusers_box.scheduler(scheduler)
    calls = 0
    with device_work(may_wait=True) as work, torch.no_grad():
        with work.preparing():
            sample = work.empty(size.batch, *size.shape)
            steps.set_timesteps(STEPS, device=sample.device)
        for t in steps.timesteps:
            out = answer(steps.scale_model_input(sample, t), t)
            calls += 1
            sample = steps.step(out, t, sample).prev_sample
    return work, calls


def answer(x: Tensor, _t: Any) -> Tensor:
    """In the place of the network, whose work is counted once for all: no work."""
    return torch.empty_like(x)


def row(
    name: str,
    parameters: int,
    size: Size,
    call: DeviceWork,
    sampler: str,
    beside: DeviceWork,
    calls: int,
) -> Row:
    """The counts of a run beside those of its calls of the network."""
    kernels, moved = beside.kernels.total() / calls, beside.moved / calls
    return Row(
        network=name,
        parameters=parameters,
        batch=size.batch,
        sampler=sampler,
        network_kernels=call.kernels.total(),
        network_bytes=call.moved,
        kernels=kernels,
        bytes=moved,
        uploads=beside.uploads,
        at_most=kernels / call.kernels.total() + moved / call.moved,
        waits=beside.waits.total() / calls,
        where=dict(beside.waits),
    )


if __name__ == "__main__":
    main()
