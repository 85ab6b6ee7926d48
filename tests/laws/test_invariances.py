"""What must not change a sample: process, name of the time, prediction, frame, unit, cuts.

Kinds: the laws of schedule, clock, prediction, unit and continuation are about plans; rotation is
about samplers of every kind.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from fokker.analysis.paired import sample
from fokker.solvers.errors import PredictionError
from fokker.solvers.grids import Grid, wavy_lam
from fokker.solvers.model import PREDICTIONS, Model
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Eval, Noise, Plan, Tape
from fokker.solvers.plan_algebra import compose, distance, to_prediction
from fokker.solvers.process import Array, Node, Process
from fokker.solvers.registry import Sampler
from fokker.solvers.run import run
from laws.zoo import (
    ALL,
    PLANS,
    PROCESSES,
    CallOrderNoise,
    bimodal_model,
    each,
    grid_of,
    starts,
    steps_of,
    variants,
)
from tolerances import EXACT

CLOSE: Any = {"rtol": 1e-10, "atol": 1e-10}
SEED = 3


def over_alpha(entry: Sampler, process: Process, **options: Any) -> Tensor:
    """``x/alpha`` at the end of one fixed grid of lams, from one fixed start in units of alpha."""
    grid = grid_of(process, steps_of(entry, 7), lams=(-2.0, 2.0))
    plan = entry(process, grid, **options)
    model = bimodal_model(process, entry.prediction)
    return run(plan, model, 2.0 * starts() * grid[0].alpha, noise=SEED).x / grid[-1].alpha


# -- the process ----------------------------------------------------------------------------------


def _free(entry: Sampler) -> bool:
    """Whether x/alpha knows the lams only: rows in lam that are exact, or on noise, are so."""
    return entry.clock == "lam" and (entry.semilinear or entry.prediction == "noise")


@each([e for e in PLANS if _free(e)])
def test_the_same_lams_on_another_process_give_the_same_x_over_alpha(entry):
    for options in variants(entry):
        truth = over_alpha(entry, PROCESSES["vp"], **options)
        assert truth.std() > 0.1
        for process in PROCESSES.values():
            torch.testing.assert_close(over_alpha(entry, process, **options), truth, **CLOSE)


@each([e for e in PLANS if not _free(e)])
def test_a_sampler_declared_to_depend_on_the_process_does_depend_on_it(entry):
    gap = over_alpha(entry, PROCESSES["vp"]) - over_alpha(entry, PROCESSES["flow"])
    assert gap.abs().max() > 1e-6


@dataclass(frozen=True)
class Relabelled(Process):
    """Another name for every instant: ``t = s^2`` of the base process."""

    base: Process = field(default_factory=lambda: PROCESSES["vp"])

    @property
    def t_max(self) -> float:
        return float(np.sqrt(self.base.t_max))

    def _old(self, t: Array) -> Array:
        return np.minimum(t**2, self.base.t_max)

    def _log_alpha(self, t: Array) -> Array:
        return self.base.log_alpha(self._old(t))

    def _log_sigma(self, t: Array) -> Array:
        return self.base.log_sigma(self._old(t))

    def _t_of_lam(self, lam: Array) -> Array:
        return np.sqrt(self.base.t_of_lam(lam))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        return self.base.log_alpha_of_lam(lam)

    def _f(self, t: Array) -> Array:
        return self.base.f(self._old(t)) * 2 * t

    def _dlam_dt(self, t: Array) -> Array:
        return self.base.dlam_dt(self._old(t)) * 2 * t

    def _g2(self, t: Array) -> Array:
        return self.base.g2(self._old(t)) * 2 * t


@each()
@pytest.mark.parametrize("name", ["vp", "subvp", "edm"])
def test_only_a_sampler_in_the_clock_t_knows_what_time_it_is(entry, name):
    process, steps = PROCESSES[name], steps_of(entry, 5)
    plan = entry(process, grid_of(process, steps))
    other = entry(Relabelled(process), grid_of(Relabelled(process), steps))
    if entry.clock != "t":
        assert distance(plan, other) < EXACT
    else:  # other weights, or other levels
        assert distance(plan, other) > 1e-6


# -- the prediction -------------------------------------------------------------------------------


@each()
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_the_prediction_asked_for_does_not_change_the_sample(entry, name):
    process = PROCESSES[name]
    grid = grid_of(process, steps_of(entry, 6))
    plan, x = entry(process, grid), starts() * grid[0].sigma
    truth = run(plan, bimodal_model(process, entry.prediction), x, noise=SEED).x
    for prediction in PREDICTIONS:
        converted = to_prediction(plan, prediction)
        assert converted.nfe == plan.nfe
        assert len(converted.marks) == len(plan.marks)
        got = run(converted, bimodal_model(process, prediction), x, noise=SEED).x
        torch.testing.assert_close(got, truth, **CLOSE)


@each()
def test_there_and_back_between_predictions_is_the_same_table(entry):
    process = PROCESSES["flow"]
    plan = entry(process, grid_of(process, steps_of(entry, 5)))
    for prediction in PREDICTIONS:
        back = to_prediction(to_prediction(plan, prediction), entry.prediction)
        gap = distance(back, plan)
        assert gap < 1e-11, prediction


def test_a_copy_of_a_plan_draws_the_same_noises():
    """Increment and space-time area of one cell are two noises, in every copy."""
    start, end = grid_of(PROCESSES["vp"], 1).nodes
    tape = Tape()
    x = tape.input("x", start)
    w, h = (tape.noise("lam", start.lam, end.lam, kind) for kind in ("W", "H"))
    x = tape.mark(tape.lin((x, 0.5), (tape.eval(x, start), 0.5), (w, 0.3), (h, 0.2)), end)
    plan = tape.plan(x=x)
    noises = [op for op in plan.ops if isinstance(op, Noise)]
    for copy in (to_prediction(plan, "noise"), compose(plan, _nothing(end))):
        assert [op for op in copy.ops if isinstance(op, Noise)] == noises


def _nothing(node: Node) -> Plan:
    tape = Tape()
    return tape.plan(x=tape.input("x", node))


# -- the frame and the unit -----------------------------------------------------------------------


def _turned(model: Model, turn: Tensor) -> Model:
    return lambda x, t: model(x @ turn, t) @ turn.T


class TurnedNoise:
    """The noise of another source, seen in a turned frame."""

    def __init__(self, source: Any, turn: Tensor) -> None:
        self.source, self.turn = source, turn

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        return self.source.draw(cell, like) @ self.turn.T


def _rotation() -> Tensor:
    q, _ = torch.linalg.qr(starts(3, seed=7))
    return q


@each(ALL)
def test_a_rotation_of_the_data_commutes_with_sampling(entry):
    process, turn = PROCESSES["vp"], _rotation()
    grid = grid_of(process, steps_of(entry, 4))
    model, x = bimodal_model(process, entry.prediction), starts(4)
    plain = sample(entry, model, process, grid, x, noise=CellNoise(SEED))
    moved = sample(
        entry, _turned(model, turn), process, grid, x @ turn.T,
        noise=TurnedNoise(CellNoise(SEED), turn),
    )  # fmt: skip
    # where the steps are chosen by the size of coordinates, the answer turns within its tolerance
    close: Any = CLOSE if entry.nfe(8) else {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(moved, plain @ turn.T, **close)


@each()
def test_the_unit_of_the_data_is_a_unit(entry):
    """On EDM, data, start and every level times c give the sample times c: no hidden scale.

    A sampler that is not scale free says so, and has one indeed.
    """
    process, c = PROCESSES["edm"], 3.0
    lams, steps = (-1.5, 1.5), steps_of(entry, 6)
    moved = (lams[0] - float(np.log(c)), lams[1] - float(np.log(c)))
    for options in variants(entry):
        outputs = []
        for span, unit in ((lams, 1.0), (moved, c)):
            grid = wavy_lam(process, *span).grid(steps)
            model = bimodal_model(process, entry.prediction, unit=unit)
            x = starts() * grid[0].sigma
            plan = entry(process, grid, **options)
            outputs.append(run(plan, model, x, noise=CallOrderNoise()).x / unit)
        if entry.scale_free:
            torch.testing.assert_close(outputs[1], outputs[0], **CLOSE)
        else:
            assert float((outputs[1] - outputs[0]).abs().max()) > 1e-6


# -- continuation ---------------------------------------------------------------------------------


def _is_prefix(entry: Sampler, process: Process, grid: Grid, cut: int) -> bool:
    """Whether the first steps are the same rows when more are to follow.

    They are not where a sampler looks ahead: at the number of steps (churn), or at which is the
    last one (UniPC does not correct it).
    """
    part, whole = entry(process, grid.part(0, cut)), entry(process, grid)
    return whole.ops[: len(part.ops)] == part.ops and whole.marks[:cut] == part.marks


def _continued(entry: Sampler, process: Process, grid: Grid, cut: int) -> Any:
    takes_over = "resume" in inspect.signature(entry.build).parameters
    first = entry(process, grid.part(0, cut), **({"carry": True} if takes_over else {}))
    given = [first.outputs[f"m-{j}"] for j in range(1, 1 + min(cut, entry.history))]
    nodes = [op.node for op in (first.ops[i] for i in given) if isinstance(op, Eval)]
    options: dict[str, Any] = {"history": nodes} if nodes else {}
    if takes_over:  # more than the state and model outputs goes over
        options["resume"] = grid[cut - 1]
    return compose(first, entry(process, grid.part(cut, len(grid)), **options))


@each()
def test_a_run_cut_anywhere_and_continued_is_the_whole_run(entry):
    process = PROCESSES["flow"]
    steps = steps_of(entry, 7)
    grid = grid_of(process, steps)
    whole = entry(process, grid)
    for cut in range(entry.multiple, steps, entry.multiple):
        if _is_prefix(entry, process, grid, cut):
            both = _continued(entry, process, grid, cut)
            assert distance(both, whole) < EXACT
            assert [m.node for m in both.marks] == [m.node for m in whole.marks]
        else:  # it looks ahead: the parts are another, coarser informed sampler of the same levels
            both = compose(
                entry(process, grid.part(0, cut)), entry(process, grid.part(cut, steps))
            )
            assert distance(both, whole) > 1e-9
            assert both.marks[-1].node == whole.marks[-1].node


def test_a_prediction_that_does_not_exist_at_alpha_zero_is_refused_by_name():
    process = PROCESSES["flow"]
    grid = wavy_lam(process, -1.5, 1.5).grid(2)
    start = process.node(1.0)
    plan = next(e for e in PLANS if e.name == "ddim")(process, Grid((start, *grid.nodes)))
    with pytest.raises(PredictionError, match=r"'data' cannot be had from 'noise' at alpha = 0"):
        to_prediction(plan, "noise")
