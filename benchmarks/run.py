"""Run every bench, print its table, and write ``results/*.json``: ``python benchmarks/run.py``."""

from __future__ import annotations

import exact_models
import executor
import fokker_planck
import foreign
import launches
import noise
import overhead
import scaling
import sde
import semi_discrete
import sinkhorn
import torch

BENCHES = (
    executor,
    overhead,
    launches,
    exact_models,
    scaling,
    noise,
    foreign,
    sde,
    fokker_planck,
    semi_discrete,
    sinkhorn,
)


def main() -> None:
    """All benches, one after another, on one thread."""
    torch.set_num_threads(1)
    for bench in BENCHES:
        print(f"-- {bench.__name__}: {(bench.__doc__ or '').splitlines()[0]}")
        bench.main()
        print()


if __name__ == "__main__":
    main()
