"""Editing a given sample: noise that leads to it, and edits that need no inversion.

*Noise maps.* A stochastic sampler whose steps each add one noise can be led anywhere: given a
state for every level, the noise of each step is what is left to explain. With the states drawn
*independently* for each level, ``x_t = alpha x_0 + sigma e_t`` (edit-friendly inversion), the maps
carry the sample itself: ``z ~ (e_t - e_s) sigma/std``, so neighbours correlate by -1/2 and are
much larger than normal noise. Running with the maps gives the sample back; running with another
model edits it.

*Virtual inversion.* If a step keeps nothing of its state but what the model says, ``x_t =
alpha_t D + sigma_t z``, the noise consistent with a known x_0 is ``(x - alpha x_0)/sigma``: no
inversion, and an edit is a difference of two models along the way (InfEdit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..asking import asked
from ..checks import check_finite, check_like, check_state
from ..engine.weights import usable
from ..errors import InvalidPlanError, NotInvertibleError
from ..given import whole_number
from ..grids import Grid
from ..heads import check_heads, head_of
from ..model import Model
from ..noise import CellNoise
from ..plan import Lin, Noise, Plan, Tape, Weight, combine, interpret
from ..process import Node, Process
from ..registry import get
from ..run import run
from ..samplers.onestep import one_step


class RecordedNoise:
    """Noises known beforehand, by cell; a source of noise for :func:`.run.run`.

    Parameters
    ----------
    fields : mapping
        A tensor for each cell (a row ``Noise`` of a plan).

    Raises
    ------
    InvalidPlanError
        If a cell is asked that is not among them.
    """

    def __init__(self, fields: Mapping[Noise, Tensor]) -> None:
        self.fields = dict(fields)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """The recorded field of the cell, cast to the dtype and device of ``like``."""
        if cell not in self.fields:
            msg = (
                f"no noise was recorded for the cell [{cell.a}, {cell.b}] of clock "
                f"{cell.clock!r}; sample on levels of the recording"
            )
            raise InvalidPlanError(msg)
        return self.fields[cell].to(like)

    def stacked(self) -> Tensor:
        """All fields in the order of the plan, shape (cells, B, *D)."""
        return torch.stack(list(self.fields.values()))


def independent_states(grid: Grid, x0: Tensor, seed: int) -> list[Tensor]:
    """``alpha x_0 + sigma e`` with its own e for every level but the last, which is ``alpha x_0``.

    Not a path of the forward process: neighbouring levels share x_0 and nothing else.
    """
    check_state(x0, "x0")
    source = CellNoise(seed)
    states = []
    for i, node in enumerate(grid.nodes[:-1]):
        e = source.draw(Noise("churn", float(i), float(i + 1)), x0)
        states.append(node.alpha * x0 + node.sigma * e)
    return [*states, grid[-1].alpha * x0]


def noise_maps(plan: Plan, model: Model, states: Sequence[Tensor]) -> RecordedNoise:
    """The noises with which a plan visits the given states, one after each step.

    ``z = (x_t - what the step does without noise)/std`` (Huberman-Spiegelglas, Kulikov & Michaeli
    2024, arXiv:2304.06140), for any plan whose steps end in a row with one noise of its own. Each
    state is replaced by what its z gives in floating point, so errors do not add up and
    ``run(plan, model, states[0], noise=maps)`` ends in ``states[-1]`` to rounding. The authors'
    code is this for ``ancestral``; for DDIM with a part of the noise it has eta where eta^2
    belongs, and it drops the noise of the last step.

    Parameters
    ----------
    plan : Plan
        Such as ``ancestral`` or ``sde_dpmpp_2m``; its last step must draw noise too.
    model : callable
        Of the prediction that the plan asks for.
    states : sequence of Tensor
        The start and a state for each step, each (B, *D).

    Raises
    ------
    NotInvertibleError
        If a step draws no noise, more than one, or one with a vanishing weight.
    InvalidPlanError
        If there is not one state more than steps, or the plan begins with history.
    ShapeError, NonFiniteError
        If a state or an answer of the model does not fit or is not finite.
    """
    ends = {mark.vector: mark.step for mark in plan.marks}
    if len(states) != len(ends) + 1:
        msg = f"a plan of {len(ends)} steps needs {len(ends) + 1} states, got {len(states)}"
        raise InvalidPlanError(msg)
    if set(plan.inputs) != {"x"}:
        msg = f"noise maps are for plans of one state, this one takes {sorted(plan.inputs)}"
        raise InvalidPlanError(msg)
    check_heads(plan, model)
    for k, state in enumerate(states):
        check_state(state, f"state {k}")
        check_like(state, states[0], f"state {k}")
    drawn = {row: _own_noise(plan, row, step) for row, step in ends.items()}
    found: dict[Noise, Tensor] = {}

    def add(row: int, weights: tuple[Weight, ...], vectors: tuple[Tensor, ...]) -> Tensor:
        weights = tuple(usable(w, states[0]) for w in weights)
        if row not in ends:
            return combine(weights, vectors)
        k, cell = drawn[row]
        rest = combine(weights[:k] + weights[k + 1 :], vectors[:k] + vectors[k + 1 :])
        found[cell] = (states[ends[row]] - rest) / weights[k]
        return combine(weights, (*vectors[:k], found[cell], *vectors[k + 1 :]))

    with torch.no_grad():
        interpret(
            plan,
            inputs={"x": states[0]},
            evaluate=lambda _, op, x: asked(head_of(model, op.head), x, op.node.t),
            draw=lambda _row, _op: torch.zeros_like(states[0]),
            add=add,
        )
    return RecordedNoise(found)


def _own_noise(plan: Plan, row: int, step: int) -> tuple[int, Noise]:
    """Place in the row, and the cell, of the one noise that ends a step."""
    op = plan.ops[row]
    terms = op.terms if isinstance(op, Lin) else ()
    cells = [
        (k, plan.ops[j], w) for k, (j, w) in enumerate(terms) if isinstance(plan.ops[j], Noise)
    ]
    if len(cells) != 1 or len(terms) < 2 or not np.all(np.asarray(cells[0][2]) != 0):
        msg = (
            f"step {step} does not end in a row with one noise of nonzero weight, so no noise "
            "leads to a given state; end the grid before sigma = 0 and sample with eta > 0"
        )
        raise NotInvertibleError(msg)
    k, cell, _ = cells[0]
    return k, cell  # pyright: ignore[reportReturnType]


def edit_friendly(
    process: Process,
    grid: Grid,
    x0: Tensor,
    source: Model,
    target: Model,
    *,
    seed: int,
    sampler: str = "ancestral",
    skip: int = 0,
) -> Tensor:
    """Edit x_0: noise maps under the model ``source``, resampled under ``target``.

    Parameters
    ----------
    grid : Grid
        Ends before sigma = 0; many steps (100) are usual.
    x0 : Tensor
        Data, shape (B, *D).
    source, target : callable
        Models of the prediction that the sampler asks for. With ``target = source`` the answer is
        ``alpha x_0`` of the last level, to rounding.
    skip : int
        Resampling begins at this level of the grid; later is nearer to x_0.

    Returns
    -------
    Tensor
        State at the last level of the grid, (B, *D).

    Raises
    ------
    InvalidPlanError
        For a level to begin at that is none, or a seed that is no whole number.
    NotInvertibleError, ShapeError, NonFiniteError
        As of :func:`noise_maps`.
    """
    skip = whole_number(skip, "skip")
    if not 0 <= skip < len(grid):
        msg = f"skip must be a level of the grid before its last, 0 .. {len(grid) - 1}, got {skip}"
        raise InvalidPlanError(msg)
    entry, states = get(sampler), independent_states(grid, x0, seed)
    if entry.kind != "plan":
        msg = f"noise maps are read off a plan; {sampler} chooses its steps from the data"
        raise NotInvertibleError(msg)
    rest = entry(process, grid.part(skip, len(grid)))
    maps = noise_maps(rest, source, states[skip:])
    return run(rest, target, states[skip], noise=maps).x


def ddcm(process: Process, grid: Grid) -> Plan:
    """Consistent-model sampling: ``x_t = alpha_t D + sigma_t z``, all noise new in every step.

    DDIM with ``sigma_ddim = sigma_t`` (Xu et al. 2024, arXiv:2312.04965), and multistep sampling
    of a consistency model (Song et al. 2023, arXiv:2303.01469, Alg. 1). No discretisation of the
    eta-SDE: with more steps the variance ``sigma_t^2 + alpha_t^2 Var D`` does not approach that of
    x_t. It is a sampler where the model jumps to the data by itself, and a tool for edits.
    """
    del process

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        d = tape.eval(x, s, "data")
        if t.sigma == 0.0:
            return tape.lin((d, t.alpha))
        return tape.lin((d, t.alpha), (tape.noise("churn", s.lam, t.lam), t.sigma))

    return one_step(grid, step)


def infedit(grid: Grid, x0: Tensor, source: Model, target: Model, *, seed: int) -> Tensor:
    """Edit x_0 without inversion: two streams that share their noise (InfEdit).

    At each level, with z new, ``x_src = alpha x_0 + sigma z`` and ``x_tgt = alpha y + sigma z``
    for the edit y so far (x_0 at first), the noise consistent with x_0 is z itself, and::

        eps = eps_target(x_tgt) - eps_source(x_src) + z,    y <- (x_tgt - sigma eps)/alpha

    so that equal models give x_0 back exactly. Two evaluations a level.

    Parameters
    ----------
    grid : Grid
        The model is asked at every level but the last.
    x0 : Tensor
        Data, shape (B, *D).
    source, target : callable
        Models of the noise prediction.
    seed : int
        Seed of the shared noise.

    Returns
    -------
    Tensor
        The edited data y, (B, *D).

    Raises
    ------
    ShapeError, NonFiniteError
        If x_0 or an answer of a model does not fit or is not finite.

    References
    ----------
    Xu, Huang, Pan, Ma & Chai 2024, arXiv:2312.04965.
    """
    check_state(x0, "x0")
    noise, y = CellNoise(seed), x0
    with torch.no_grad():
        for i, node in enumerate(grid.nodes[:-1]):
            if node.alpha == 0.0:
                continue  # the two streams are one noise there: nothing to learn
            z = noise.draw(Noise("churn", float(i), float(i + 1)), x0)
            start, edited = node.alpha * x0 + node.sigma * z, node.alpha * y + node.sigma * z
            moved = asked(target, edited, node.t, step=i + 1)
            moved -= asked(source, start, node.t, step=i + 1)
            y = y - (node.sigma / node.alpha) * moved
    check_finite(y, "the edit", range(len(y)))
    return y if y is not x0 else x0.clone()
