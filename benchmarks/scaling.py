"""How sampling scales: with the batch, with the resolution, and with processes.

A UNet of diffusers with random weights and DPM-Solver++(2M), 5 evaluations. Batch and resolution
are timed by the processor (on a GPU by the wall); ``relative`` is samples a second over those of
the first row, at another resolution pixels a second. Processes share one machine: each makes its
own samples, all begin together, and the wall clock runs until the last is done; on a machine
whose processors are busy with other work that says little, so its load is in the record.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from device import device, elapsed
from overhead import Size, make_unet
from timing import table, write
from torch import Tensor

from fokker.solvers.networks.network import Network
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear

STEPS = 5
SIZES = {"cpu": Size((16, 32, 32), 1, 4, 3), "cuda": Size((128, 256, 256, 256), 2, 64, 5)}
BATCHES = {"cpu": (1, 4, 16), "cuda": (1, 16, 64, 256)}
RESOLUTIONS = (16, 32, 64)
PROCESSES = (1, 2)
RUNS = {"cpu": 3, "cuda": 10}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    batch: int
    resolution: int
    processes: int
    seconds: float
    samples_per_second: float
    relative: float
    load: float


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    kind = device().type
    size = SIZES[kind]
    rows = _relative([single("batch", b, 32) for b in BATCHES[kind]])
    rows += _relative([single("resolution", size.batch, r) for r in RESOLUTIONS])
    rows += _relative([several(n, size.batch) for n in PROCESSES])
    head = ["", "batch", "resolution", "processes", "s", "samples/s", "relative", "load"]
    print(table(head, [_cells(row) for row in rows]))
    records = [asdict(row) for row in rows]
    print(f"written to {write('scaling', records)}")
    return records


def _cells(row: Row) -> list[str]:
    numbers = [row.batch, row.resolution, row.processes]
    return [
        row.what,
        *map(str, numbers),
        f"{row.seconds:.3f}",
        f"{row.samples_per_second:.1f}",
        f"{row.relative:.2f}",
        f"{row.load:.1f}",
    ]


def _relative(rows: list[Row]) -> list[Row]:
    """Throughput over that of the first; in pixels, so that resolutions compare."""
    pixels = [r.samples_per_second * r.resolution**2 for r in rows]
    return [
        Row(**{**asdict(r), "relative": p / pixels[0]}) for r, p in zip(rows, pixels, strict=True)
    ]


class Job:
    """One run of the sampler on a batch."""

    def __init__(self, batch: int, resolution: int) -> None:
        unet, process = make_unet(SIZES[device().type]), VPLinear()

        def call(x: Tensor, t: float, _: Any) -> Tensor:
            return unet(x, 1000.0 * t - 1.0, return_dict=False)[0]

        shape = (3, resolution, resolution)
        network = Network("UNet", call, process, "noise", shape, (-4.0, 4.0))
        self.model = network.model(prediction="data")
        self.plan = get("dpmpp_2m")(process, network.grid(STEPS))
        self.x = torch.randn((batch, *shape), generator=torch.Generator().manual_seed(0))
        self.x = self.x.to(device())

    def __call__(self) -> Tensor:
        """The samples."""
        return run(self.plan, self.model, self.x).x


def single(what: str, batch: int, resolution: int) -> Row:
    """One process."""
    job = Job(batch, resolution)
    elapsed(job)
    seconds = min(elapsed(job) for _ in range(SIZES[device().type].rounds))
    return Row(what, batch, resolution, 1, seconds, batch / seconds, 1.0, os.getloadavg()[0])


def several(count: int, batch: int) -> Row:
    """``count`` processes that begin together; the time until the last is done."""
    load = os.getloadavg()[0]
    command = [sys.executable, str(Path(__file__)), "--worker", str(batch)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
    pipes = [(w.stdin, w.stdout) for w in workers if w.stdin and w.stdout]
    if [out.readline().strip() for _, out in pipes] != ["ready"] * count:
        for w in workers:
            w.kill()
        msg = f"a worker did not come up; try {' '.join(command)}"
        raise RuntimeError(msg)
    begin = time.perf_counter()
    for into, _ in pipes:
        into.write("go\n")
        into.flush()
    for _, out in pipes:
        out.readline()
    seconds = time.perf_counter() - begin
    for w in workers:
        w.communicate()
    made = count * batch * RUNS[device().type]
    return Row("processes", batch, 32, count, seconds, made / seconds, 1.0, load)


def work(batch: int) -> None:
    """What a worker does: come up, wait, run, say so."""
    torch.set_num_threads(1)
    job = Job(batch, 32)
    job()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(RUNS[device().type]):
        out = job()
    print(float(out.sum()), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(int(sys.argv[2]))
    else:
        main()
