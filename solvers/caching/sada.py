"""SADA: calls of the model are skipped where the trajectory bends back, sample by sample.

After a step of DPM-Solver++(2M) from s to t the end is compared with an Adams step in the time of
the process, ``x_hat = x_s + sum_j w_j y_j`` with the velocities ``y_j = dx/dt`` of the newest
three nodes. The next call is skipped if the sample is *stable*::

    <x_t - x_hat, y_0 - 2 y_1 + y_2> <= 0

(Jiang et al. 2025, arXiv:2507.17135). Two sets of weights:

* ``"ab3"``: the Adams-Bashforth weights of the actual times, ``(23, -16, 5)/12`` for equal steps.
* ``"published"``: ``(5, 6, -3)/8`` times the step, as in the reference code, whatever the times.
  Their sum is 1 but their first moment is 0 where 1/2 is needed, so ``x_hat`` has local error
  O(h^2), as Euler's has.

and two guesses of the output that was not asked for:

* ``"newton"``: the parabola in lam through the newest three real data predictions.
* ``"extrapolated"``: ``(x_hat - sigma eps)/alpha``, the newest noise prediction that was asked for
  at the extrapolated state, as published; off by O(h). It makes the velocity there, too.

The reference code takes one decision for the whole batch, by the mean of the products, so that a
sample depends on its company; here each has its own. What is not here: pruning of tokens, which
needs the inside of a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..asking import asked
from ..batch import column
from ..checks import check_finite, check_state
from ..errors import InvalidGridError, InvalidPlanError
from ..given import real_number, whole_number
from ..grids import Grid
from ..model import Model, for_rows
from ..process import Array, Node, Process
from ..quadrature import integral_weights, lagrange
from ..registry import Sampler, register
from ..rows import midpoint_weights
from ..stepper import StepperRun, march

CRITERIA = ("ab3", "published")
GUESSES = ("newton", "extrapolated")
PUBLISHED = (5 / 8, 6 / 8, -3 / 8)
_MEMORY = 3


class State(NamedTuple):
    """One node of the grid; lists are newest first."""

    x: Tensor
    step: int
    skip: Tensor  # (B,) whether the call at this node is skipped
    row: Tensor  # (B,) how many calls have been skipped in a row
    guess: Tensor  # the published guess of the data prediction, where skipped
    data: Tensor | None  # data prediction used in the last step, asked or guessed
    noise: Tensor | None  # noise prediction used in the last step
    real: tuple[Tensor, ...]  # real data predictions of each sample
    lams: tuple[Array, ...]  # where they were made, (B,) each
    velocities: tuple[Tensor, ...]  # dx/dt at the last nodes
    asked: tuple[Tensor, ...]  # (B,) for each node so far


@dataclass(frozen=True)
class Sada:
    """The stepper; see the module. ``first`` and ``last`` calls are always made."""

    process: Process
    grid: Grid
    criterion: str = "ab3"
    guess: str = "newton"
    first: int = 3
    last: int = 1
    most: int = 2
    slack: float = 0.0

    def init(self, x: Tensor) -> State:
        """Every sample at the first node, nothing known."""
        no = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
        return State(x, 0, no, no.long(), x, None, None, (), (), (), ())

    def done(self, state: State) -> bool:
        """Whether the grid has come to its end."""
        return state.step == len(self.grid)

    def step(self, model: Model, state: State) -> State:
        """Ask where it is needed, take one step of 2M, decide about the next call."""
        s, t = self.grid[state.step], self.grid[state.step + 1]
        state = self._ask(model, state, s)
        data = state.real[0] if not bool(state.skip.any()) else self._guessed(state, s)
        x = self._advance(state, s, t, data)
        made = (*state.asked, ~state.skip)
        noise = (state.x - s.alpha * data) / s.sigma
        if self.guess == "extrapolated" and state.noise is not None:
            noise = torch.where(column(state.skip, state.x), state.noise, noise)
        velocities = (self._velocity(state.x, noise, s), *state.velocities)[:_MEMORY]
        state = state._replace(data=data, noise=noise, velocities=velocities, asked=made)
        return self._decide(state._replace(step=state.step + 1), x, t, noise)

    def _ask(self, model: Model, state: State, s: Node) -> State:
        """New data predictions of the samples that do not skip; the others keep their memory."""
        busy = ~state.skip
        if not bool(busy.any()):
            return state
        if bool(busy.all()):
            out = asked(model, state.x, s.t, step=state.step + 1)
        else:
            places = busy.nonzero().flatten().cpu().numpy()
            ask = for_rows(model, places)
            out = asked(ask, state.x[busy], s.t, step=state.step + 1, ids=places.tolist())
        where, on_host = column(busy, state.x), busy.cpu().numpy()
        new = torch.zeros_like(state.x)
        new[busy] = out
        older, lams = state.real or (new,), state.lams or (np.full(len(busy), -math.inf),)
        real = [torch.where(where, new, older[0])]
        places = [np.where(on_host, s.lam, lams[0])]
        for j in range(min(len(older), _MEMORY - 1)):  # push down, of those that asked
            below = older[j + 1] if j + 1 < len(older) else older[j]
            under = lams[j + 1] if j + 1 < len(lams) else np.full(len(busy), -math.inf)
            real.append(torch.where(where, older[j], below))
            places.append(np.where(on_host, lams[j], under))
        return state._replace(real=tuple(real), lams=tuple(places))

    def _guessed(self, state: State, s: Node) -> Tensor:
        """Data predictions at s, asked or guessed."""
        if self.guess == "extrapolated":
            return torch.where(column(state.skip, state.x), state.guess, state.real[0])
        weights = _lagrange_each(state.lams, s.lam, state.skip.cpu().numpy())
        columns = [column(w, state.x) for w in weights]
        return torch.stack([w * d for w, d in zip(columns, state.real, strict=True)]).sum(0)

    def _advance(self, state: State, s: Node, t: Node, data: Tensor) -> Tensor:
        """DPM-Solver++(2M), its first step and one to ``sigma = 0`` DDIM."""
        if t.sigma == 0.0:
            return t.alpha * data
        h, before = t.lam - s.lam, self.grid[max(state.step - 1, 0)]
        tau = [0.0] if state.data is None else [0.0, (before.lam - s.lam) / h]
        w = t.alpha * h * midpoint_weights(tau, -h)
        x = math.exp(t.log_sigma - s.log_sigma) * state.x + float(w[0]) * data
        return x if state.data is None else x + float(w[1]) * state.data

    def _velocity(self, x: Tensor, noise: Tensor, node: Node) -> Tensor:
        """``dx/dt = f x + g^2 eps/(2 sigma)`` of the probability flow."""
        f, g2 = float(self.process.f(node.t)), float(self.process.g2(node.t))
        return f * x + g2 / (2 * node.sigma) * noise

    def _weights(self, step: int, t: Node) -> Sequence[float]:
        nodes = self.grid.nodes[step - _MEMORY : step][::-1]
        if self.criterion == "published":
            return [w * (t.t - nodes[0].t) for w in PUBLISHED]
        times = [node.t for node in nodes]
        return integral_weights(times, lambda r: r, times[0], t.t).tolist()

    def _decide(self, state: State, x: Tensor, t: Node, noise: Tensor) -> State:
        """Which samples skip the call at t."""
        none = torch.zeros_like(state.skip)
        early = state.step < max(self.first, _MEMORY)
        if early or state.step >= len(self.grid) - self.last:
            return state._replace(x=x, skip=none, row=state.row * 0)
        y = state.velocities
        w = self._weights(state.step, t)
        ahead = state.x + sum(wj * yj for wj, yj in zip(w, y, strict=True))
        bend = y[0] - 2 * y[1] + y[2]
        off = x - ahead
        size = off.flatten(1).norm(dim=1) * bend.flatten(1).norm(dim=1)
        stable = (off * bend).flatten(1).sum(1) <= self.slack * size
        skip = stable & (state.row < self.most)
        guess = (ahead - t.sigma * noise) / t.alpha
        return state._replace(x=x, skip=skip, row=(state.row + 1) * skip, guess=guess)


def _lagrange_each(lams: Sequence[Array], at: float, which: np.ndarray) -> Array:
    """Weights of each sample's outputs, (memory, B); one-hot where nothing is guessed."""
    weights = np.zeros((len(lams), len(which)))
    weights[0] = 1.0
    for b in np.flatnonzero(which):
        places = [column[b] for column in lams if math.isfinite(column[b])]
        weights[: len(places), b] = lagrange(places, at)
    return weights


@dataclass(frozen=True)
class SadaRun(StepperRun):
    """What a run gives back, with the pattern of its calls.

    Attributes
    ----------
    asked : Tensor
        Whether sample b called the model at node i, shape (steps, B), boolean.
    """

    asked: Tensor

    @property
    def skipped(self) -> float:
        """Fraction of calls that were skipped, over nodes and samples."""
        return float(1.0 - self.asked.double().mean())


def sada(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    criterion: str = "ab3",
    guess: str = "newton",
    first: int = 3,
    last: int = 1,
    most: int = 2,
    slack: float = 0.0,
) -> SadaRun:
    """DPM-Solver++(2M) on a grid, calling the model where a sample is not stable.

    Parameters
    ----------
    model : callable
        Data prediction; asked with the samples that need it, so its batch varies.
    criterion, guess : str
        See the module.
    first, last : int
        Calls at the two ends that are always made; at least three at the start, for the criterion
        needs three velocities, and one at the end.
    most : int
        Longest run of skipped calls (4 in the reference code).
    slack : float
        In [-1, 1], the largest cosine between the two vectors that still counts as stable; 0 is
        the published sign, 1 skips whenever ``most`` allows it.

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For options that do not exist, and a start at ``alpha = 0``, where dx/dt may be infinite.
    ShapeError, NonFiniteError
        If an answer does not fit or is not finite, or the sample overflows.
    """
    del noise
    if criterion not in CRITERIA or guess not in GUESSES:
        msg = f"criterion must be in {CRITERIA} and guess in {GUESSES}, got {criterion}, {guess}"
        raise InvalidPlanError(msg)
    first, last, most = (whole_number(n, "a number of calls") for n in (first, last, most))
    slack = real_number(slack, "slack")
    if first < 1 or last < 1 or most < 0:
        msg = f"need first >= 1, last >= 1 and most >= 0, got {first}, {last} and {most}"
        raise InvalidPlanError(msg)
    if not -1 <= slack <= 1:
        msg = f"slack is a cosine and must lie in [-1, 1], got {slack}"
        raise InvalidPlanError(msg)
    if grid[0].alpha == 0.0:
        msg = "sada needs a finite lam to start from, got alpha = 0"
        raise InvalidGridError(msg)
    check_state(x, "x")
    stepper = Sada(process, grid, criterion, guess, first, last, most, slack)
    with torch.no_grad():
        state = march(stepper, model, x)
    check_finite(state.x, "the sample", range(len(x)))
    made = torch.stack(state.asked)
    return SadaRun(state.x, int(made.sum(0).max()), len(grid), 0, made)


for _name, _options, _order, _note in (
    (
        "sada",
        {},
        2,
        "DPM-Solver++(2M) skipping calls where a sample's path is stable by SADA's criterion, the "
        "data prediction extrapolated meanwhile; each sample decides alone.",
    ),
    (
        "sada_published",
        {"criterion": "published", "guess": "extrapolated", "most": 4},
        1,
        "SADA with the weights (5, 6, -3)/8 and the newest noise prediction reused, as in its "
        "reference code but each sample deciding alone: order 1.",
    ),
):
    register(
        Sampler(
            name=_name,
            build=sada,
            kind="stepper",
            prediction="data",
            nfe=lambda steps: 0,  # noqa: ARG005 - it chooses its evaluations as it goes
            order=_order,
            order_cold=_order,
            options=_options,
            family="caching",
            source="Jiang et al. 2025, arXiv:2507.17135, Criterion 3.4 and reference code",
            note=_note,
        )
    )
