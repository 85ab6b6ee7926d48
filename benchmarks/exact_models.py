"""Throughput of the exact image-sized models against the roofline of the machine.

Both models are two matrix products around a softmax. The roofline is the larger of two times: the
products' arithmetic at the rate of a large matrix product, and one reading of the model's arrays
from memory for each product, at the rate of a large copy; both rates are measured in the same run
(Williams, Waterman & Patterson 2009). ``share`` is that time over the measured one.

====================  =============================  ==============================
model                 multiplications and additions  arrays
====================  =============================  ==============================
low-rank mixture      ``4 B d K (r + 1)``            ``2 d K (r + 1)`` numbers
attention over data   ``4 B N d``                    ``2 N d`` numbers
====================  =============================  ==============================

B samples, d numbers each, K components of rank r, N points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from device import device, elapsed
from timing import table, write
from torch import Tensor

from fokker.toy_models.digits import digits_empirical
from fokker.toy_models.empirical import Empirical
from fokker.toy_models.images import image_mixture, smooth_fields
from fokker.toy_models.lowrank import LowRankMixture

ALPHA, SIGMA = 0.8, 0.6
ROUNDS = {"cpu": 7, "cuda": 50}


@dataclass(frozen=True)
class Rates:
    """What the machine does at its best: operations and bytes a second."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    model: str
    batch: int
    dim: int
    seconds: float
    samples_per_second: float
    flops: float
    bytes: float
    roofline: float
    share: float
    peak_flops: float
    peak_bytes: float


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    rates = measure_rates()
    rows = []
    for name, law in cases():
        moved = law.to(device(), torch.float32)
        rows += [measure(name, moved, batch, rates) for batch in (16, 64)]
    print(f"matrix products {rates.flops / 1e9:.0f} GFLOP/s, copies {rates.bytes / 1e9:.1f} GB/s")
    head = ["model", "batch", "ms", "samples/s", "roofline ms", "share"]
    print(table(head, [_cells(row) for row in rows]))
    records = [asdict(row) for row in rows]
    print(f"written to {write('exact_models', records)}")
    return records


def _cells(row: Row) -> list[str]:
    return [
        f"{row.model}, d = {row.dim}",
        str(row.batch),
        f"{row.seconds * 1e3:.2f}",
        f"{row.samples_per_second:.0f}",
        f"{row.roofline * 1e3:.2f}",
        f"{row.share:.0%}",
    ]


def measure_rates() -> Rates:
    """Rates of a large matrix product and of a large copy, float32."""
    host = device().type == "cpu"
    n, size = (1024, 2**24) if host else (8192, 2**28)
    a, b, out = (torch.randn(n, n, device=device()) for _ in range(3))
    x, y = (torch.zeros(size, device=device()) for _ in range(2))
    product = _least(lambda: torch.mm(a, b, out=out))
    copy = _least(lambda: y.copy_(x))
    return Rates(2.0 * n**3 / product, 2.0 * 4 * size / copy)


def _least(call: Callable[[], object]) -> float:
    elapsed(call)
    return min(elapsed(call) for _ in range(ROUNDS[device().type]))


def work_of(law: LowRankMixture | Empirical, batch: int) -> tuple[float, float]:
    """Operations of the matrix products of one evaluation, and bytes of the model's arrays."""
    if isinstance(law, LowRankMixture):
        count, dim, rank = law.factors.shape
        numbers = dim * count * (rank + 1)
    else:
        numbers = law.points.numel()
    return 4.0 * batch * numbers, 2.0 * numbers * law.mean.element_size()


def cases() -> Iterator[tuple[str, LowRankMixture | Empirical]]:
    """The models: low-rank mixtures at two sizes, attention over digits and over 10 000 images."""
    for size in (32, 64):
        yield f"low-rank mixture 3x{size}x{size}", image_mixture(size=size)
    yield "attention, N = 1797", digits_empirical()
    yield "attention, N = 10000", _images(10_000)


def _images(count: int) -> Empirical:
    """Smooth random images 3 x 32 x 32 as a data set: mixtures of 64 fields."""
    base = smooth_fields(64, size=32, channels=3, seed=0, label="images").reshape(64, -1)
    weights = torch.randn(count, 64, generator=torch.Generator().manual_seed(0)) / 8.0
    return Empirical(weights @ torch.from_numpy(base).float())


def measure(name: str, law: Any, batch: int, rates: Rates) -> Row:
    """One denoiser at one level."""
    x = _state(law, batch)
    with torch.no_grad():
        seconds = _least(lambda: law.denoiser(x, ALPHA, SIGMA))
    flops, moved = work_of(law, batch)
    moved += 2.0 * x.numel() * x.element_size()
    roofline = max(flops / rates.flops, moved / rates.bytes)
    return Row(
        model=name,
        batch=batch,
        dim=law.dim,
        seconds=seconds,
        samples_per_second=batch / seconds,
        flops=flops,
        bytes=moved,
        roofline=roofline,
        share=roofline / seconds,
        peak_flops=rates.flops,
        peak_bytes=rates.bytes,
    )


def _state(law: Any, batch: int) -> Tensor:
    data = law.sample(batch, seed=1)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(2))
    return ALPHA * data + SIGMA * noise.to(data)


if __name__ == "__main__":
    main()
