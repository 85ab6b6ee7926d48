"""The two assertions that need no exact law: independence of the batch, and the edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..solvers.errors import NonFiniteError
from ..solvers.grids import Grid, uniform_lam
from ..solvers.model import Model
from ..solvers.noise import CellNoise
from ..solvers.registry import Sampler
from .order_rows import order_grid, order_problem
from .paired import sample
from .testing_samplers import as_sampler, quoted

EDGES = (
    "one step",
    "one step to sigma 0",
    "2 steps",
    "3n - 1 steps",
    "3n + 1 steps",
    "a step to sigma 0",
    "a very short step",
    "float32",
    "a model that returns its input",
)
"""The edges of :func:`assert_finite_at_edges`."""


def assert_batch_independent(
    sampler: Any, *, prediction: str = "data", steps: int = 12, rounding: float = 1e-9
) -> None:
    """Each sample is what it would be alone: in a batch of one, and in another order.

    The noise of a sample belongs to the sample. Compared to ``rounding``, relative to the size of
    the samples, in float64: a batch changes the order of sums inside a matrix product.

    Raises
    ------
    AssertionError
        With the sample that changed and by how much.
    """
    entry = as_sampler(sampler, prediction=prediction)
    where = order_problem("product")
    steps += -steps % entry.multiple
    grid = order_grid(where.process, "wavy-lam").grid(steps)
    model, x = where.model(entry.prediction), where.starts()[:5]
    x = torch.cat([x[:4], 3.0 * x[4:]])  # one sample is not like the others

    def run(ids: list[int]) -> Tensor:
        noise = CellNoise(7, sample_ids=ids)
        return sample(entry, model, where.process, grid, x[ids], noise=noise)

    whole = _called(entry, "a batch of 5", lambda: run([0, 1, 2, 3, 4]))
    size = float(whole.abs().max())
    for ids in ([0], [3], [4], [4, 2, 0], [3, 2, 1, 0]):
        part = _called(entry, f"the samples {ids}", lambda ids=ids: run(ids))
        gap = (part - whole[ids]).abs().reshape(len(ids), -1).amax(1) / size
        worst = int(gap.argmax())
        if not float(gap[worst]) <= rounding:
            msg = (
                f"{entry.name} is not independent of the batch: sample {ids[worst]} of a batch of "
                f"5 moves by {float(gap[worst]):.1e} (relative) when it is sampled as {ids}"
            )
            raise AssertionError(msg)


def _called(entry: Sampler, what: str, action: Callable[[], Tensor]) -> Tensor:
    return quoted(f"{entry.name} fails with {what}", action)


def _edges(entry: Sampler) -> Iterator[tuple[str, Grid, torch.dtype, Model | None]]:
    """Name, grid, dtype, and a model in place of the exact one."""
    where = order_problem("product")
    m, double = entry.multiple, torch.float64
    maps = uniform_lam(where.process, -1.5, 1.5)

    def count(n: int) -> int:
        return n + -n % m

    def zero(n: int) -> Grid:
        total = count(n + 1)  # the step to sigma 0 counts
        return maps.grid(max(total - 1, 1), to_zero=total > 1)

    last = grid_to_zero_only(where.process.node_at_lam(1.5))
    yield "one step", maps.grid(count(1)), double, None
    if m == 1:
        yield "one step to sigma 0", last, double, None
    for name, n in (("2 steps", 2), ("3n - 1 steps", 8), ("3n + 1 steps", 10)):
        yield name, maps.grid(count(n)), double, None
    yield "a step to sigma 0", zero(9), double, None
    tiny = uniform_lam(where.process, -1.5, -1.5 + 1e-9)
    yield "a very short step", tiny.grid(count(1)), double, None
    yield "float32", zero(9), torch.float32, None
    yield "a model that returns its input", maps.grid(count(6)), double, lambda x, _t: x


def grid_to_zero_only(node: Any) -> Grid:
    """One step, from a level to sigma = 0."""
    from ..solvers.process import DATA

    return Grid((node, DATA))


def assert_finite_at_edges(
    sampler: Any, *, prediction: str = "data", may_refuse: tuple[str, ...] = ()
) -> None:
    """A finite sample of the right shape and dtype at each edge of :data:`EDGES`.

    Step counts are rounded up to what the sampler says it needs. At an edge named in
    ``may_refuse`` a ``ValueError`` (which every error of this library for bad input is) is an
    answer, too; NaN never is.

    Raises
    ------
    AssertionError
        With the edge and what happened there.
    """
    entry = as_sampler(sampler, prediction=prediction)
    where = order_problem("product")
    exact = where.model(entry.prediction)
    for name, grid, dtype, other in _edges(entry):
        x = where.starts()[:3].to(dtype)
        before = x.clone()
        try:
            out = sample(entry, other or exact, where.process, grid, x, noise=3)
        except NonFiniteError as error:
            msg = f"{entry.name} is not finite at {name}: {error}"
            raise AssertionError(msg) from error
        except ValueError as error:
            if name in may_refuse:
                continue
            msg = f"{entry.name} refuses {name}: {type(error).__name__}: {error}"
            raise AssertionError(msg) from error
        except Exception as error:  # anybody's code
            msg = f"{entry.name} fails at {name}: {type(error).__name__}: {error}"
            raise AssertionError(msg) from error
        _check_edge(entry.name, name, out, x, before)


def _check_edge(who: str, edge: str, out: Tensor, x: Tensor, before: Tensor) -> None:
    bad = int((~torch.isfinite(out)).sum())
    if bad:
        msg = f"{who} is not finite at {edge}: {bad} of {out.numel()} entries"
        raise AssertionError(msg)
    if out.shape != x.shape or out.dtype != x.dtype:
        msg = (
            f"{who} returns {tuple(out.shape)} {out.dtype} at {edge}, "
            f"got {tuple(x.shape)} {x.dtype}"
        )
        raise AssertionError(msg)
    if not torch.equal(x, before):
        msg = f"{who} changes its start at {edge}"
        raise AssertionError(msg)
