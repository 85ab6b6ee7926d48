r"""A chain over (x, level): Langevin steps at a level of noise, and levels drawn given the state.

Kim & Ye 2023, arXiv:2209.14593 (Langevin-Gibbs). The chain lives on the joint law of a level k out
of a list and a state at that level,

    p(y, k) ~ prior_k p_k(y),        y = x/alpha,  p_k the law of  x_0 + rho_k eps

and alternates a Langevin step in y at the level k with a draw of k given y. Levels of much noise
carry it from mode to mode, so it does not stay where it began, as Langevin dynamics at one small
level does.

Everything is in y, so the process does not matter. The conditional law of the level given y is
``softmax_k(log prior_k + log p_k(y))``: exact where densities are known, a classifier of noise
levels otherwise. Two ways to read it:

* ``levels="drawn"``: a draw, as in the paper. ``levels="likeliest"``: its mode, as in the public
  code. That is no Gibbs step: the chain keeps another law.

States of one chain are correlated; different chains are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..batch import column
from ..checks import bad_samples, check_like, check_state
from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError, ShapeError
from ..model import Model
from ..noise import NoiseSource
from ..plan import Noise
from ..process import Node
from .correctors import accepted, mala_log_ratio
from .predictor_corrector import source_of
from .steps import langevin_step, positive

LevelLogits = Callable[[Tensor], Tensor]
"""``log prior_k + log p_k(y)`` up to a number that depends on y alone, (B, *D) -> (B, K)."""
LEVELS = ("drawn", "likeliest")


class Chain(NamedTuple):
    """Where the chains are: ``y = x/alpha``, (B, *D), and the number of the level, (B,)."""

    y: Tensor
    level: Tensor


@dataclass(frozen=True)
class LangevinGibbs:
    """One sweep of the chain: a Langevin step at the level of each chain, then new levels.

    Parameters
    ----------
    model : callable
        Noise prediction ``model(x, t)``, asked with one time for each sample, (B,).
    nodes : sequence of Node
        The levels, in any order, ``alpha > 0`` and ``sigma > 0``.
    logits : callable
        See :data:`LevelLogits`.
    step : float
        The step is ``e = step rho_k^2`` (with ``relative=False`` it is ``step`` at every level, as
        published; a step above ``2 rho_k^2`` throws narrow modes away from their level).
    adjusted : bool
        Accept the Langevin step by the ratio of the densities, which the logits are: then the
        chain keeps the joint law exactly, for one more evaluation a sweep.
    levels : {"drawn", "likeliest"}
        See the module.
    """

    model: Model
    nodes: Sequence[Node]
    logits: LevelLogits
    step: float = 0.5
    relative: bool = True
    adjusted: bool = False
    levels: str = "drawn"

    def __post_init__(self) -> None:
        positive(self.step, "the step")
        if self.levels not in LEVELS:
            msg = f"levels must be in {LEVELS}, got {self.levels!r}"
            raise InvalidPlanError(msg)
        if not self.nodes or not all(n.alpha > 0 and n.sigma > 0 for n in self.nodes):
            lams = [n.lam for n in self.nodes]
            msg = f"a chain needs levels of finite lam, at least one, got {lams}"
            raise InvalidGridError(msg)

    @property
    def evaluations(self) -> int:
        """Calls of the model in one sweep."""
        return 2 if self.adjusted else 1

    def column(self, name: str, state: Chain) -> Tensor:
        """A coefficient of each chain's level, (B, 1, ..., 1)."""
        values = torch.tensor([getattr(n, name) for n in self.nodes], dtype=torch.float64)
        return column(values.to(state.y.device)[state.level], state.y)

    def score(self, state: Chain) -> Tensor:
        """Score of y at the level of each chain: ``-eps(alpha y)/rho``."""
        times = torch.tensor([n.t for n in self.nodes], dtype=torch.float64)
        x = self.column("alpha", state) * state.y
        eps = self.model(x, times.to(state.y.device)[state.level]).to(state.y.dtype)
        check_like(eps, x, "the model's output")
        _finite(eps, "the model's output")
        return -eps / self.column("rho", state)

    def sweep(self, state: Chain, draw: Callable[[int], Tensor]) -> Chain:
        """The state after one sweep; ``draw(j)`` gives independent fields (B, *D)."""
        y = self._moved(state, draw)
        logits = self._logits(y)
        if self.levels == "likeliest":
            return Chain(y, logits.argmax(1))
        return Chain(y, drawn_levels(logits, draw(2)))

    def _moved(self, state: Chain, draw: Callable[[int], Tensor]) -> Tensor:
        rho, score = self.column("rho", state), self.score(state)
        step = self.step * (rho**2 if self.relative else torch.ones_like(rho))
        y = langevin_step(state.y, score, step, draw(0))
        _finite(y, "the state of the chain")
        if not self.adjusted:
            return y
        at = state.level[:, None]
        now = (state.y, score, self._logits(state.y).gather(1, at)[:, 0])
        new = (y, self.score(Chain(y, state.level)), self._logits(y).gather(1, at)[:, 0])
        return accepted(now, new, mala_log_ratio(now, new, step), draw(1))[0]

    def _logits(self, y: Tensor) -> Tensor:
        logits = self.logits(y)
        if tuple(logits.shape) != (len(y), len(self.nodes)):
            msg = (
                f"the logits of {len(self.nodes)} levels must have shape "
                f"({len(y)}, {len(self.nodes)}), got {tuple(logits.shape)}"
            )
            raise ShapeError(msg)
        _finite(logits, "a logit of the levels")
        return logits


def _finite(value: Tensor, what: str) -> None:
    bad = bad_samples(value)
    if bool(bad.any()):
        ids = bad.nonzero().flatten().tolist()
        msg = f"{what} is not finite in samples {ids[:8]}; a smaller step may help"
        raise NonFiniteError(msg, sample_ids=ids)


def drawn_levels(logits: Tensor, field: Tensor) -> Tensor:
    """A draw from the softmax of each row, (B,), by its distribution function.

    The uniform number is the normal distribution function of the field's first number.
    """
    edges = logits.softmax(1).cumsum(1)
    u = torch.special.ndtr(field.flatten(1)[:, :1].to(edges)) * edges[:, -1:]
    return torch.searchsorted(edges, u).clamp_max(logits.shape[1] - 1)[:, 0]


def chain(
    kernel: LangevinGibbs, start: Chain, sweeps: int, noise: NoiseSource | int, *, first: int = 0
) -> Iterator[Chain]:
    """The states after each of ``sweeps`` sweeps; sweep n draws the noise of sweep ``first + n``.

    Raises
    ------
    ShapeError
        If the start is no state, or its levels are not whole numbers (B,) of the list.
    InvalidPlanError
        Without noise.
    """
    source, state = source_of(noise), start
    check_state(start.y, "y")
    level, count = start.level, len(kernel.nodes)
    # torch takes whole numbers of 8 bits for a mask
    whole = tuple(level.shape) == (len(start.y),) and level.dtype in (torch.int32, torch.int64)
    if not whole or not bool(((level >= 0) & (level < count)).all()):
        msg = f"the levels of {len(start.y)} chains must be whole numbers 0 .. {count - 1}, (B,)"
        raise ShapeError(msg)

    for n in range(first, first + sweeps):

        def draw(j: int, at: float = float(n)) -> Tensor:
            return source.draw(Noise("churn", at + j / 4, at + (j + 1) / 4), start.y)

        with torch.no_grad():
            state = kernel.sweep(state, draw)
        yield state
