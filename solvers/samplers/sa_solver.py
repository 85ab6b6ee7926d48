"""SA-Solver: stochastic Adams predictor and corrector on the data prediction, eta of any shape.

A predictor of p outputs and a corrector of c outputs, the newest at the *predicted* state, share
the noise of their step::

    x_t = (sigma_t/sigma_s) e^{-E} x_s + alpha_t sum_j w_j D_j + sigma_t (1 - e^{-2E})^{1/2} xi

with ``w_j = int (1 + eta) K l_j`` exact (``step_kernel``). One noise a step: weak order 2 and
strong order 1, however many outputs; without noise it is UniPC, of the order UniPC has.

Its code differs from this in three ways, which ``published=True`` brings back: two-output rules
integrate the slope as ``h/2`` times the whole rate instead of exactly; eta is taken at the *end*
of each step for the whole of it; and a cold first step is not corrected. None costs an order when
there is noise; the second makes it the SDE of another shape.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from .eta_shapes import Eta, EtaShape, as_shape
from .multistep import given_history, named_history
from .step_kernel import StepKernel, mean_terms

_XUE = "Xue et al. 2023, arXiv:2309.05019"


def sa_solver(
    process: Process,
    grid: Grid,
    *,
    predictor: int,
    corrector: int,
    eta: Eta = 1.0,
    published: bool = False,
    correct_last: bool = False,
    history: Sequence[Node] = (),
) -> Plan:
    """SA-Solver in PEC mode: one evaluation a step.

    Parameters
    ----------
    predictor : int
        Outputs in the predictor, at least 1; the first steps use as many as there are.
    corrector : int
        Outputs in the corrector, the one at the end of the step included; 0 for none.
    eta : float, EtaShape or callable
        tau^2 as a number or as a function of lam.
    published : bool
        The rules of the reference code; see the module.
    correct_last : bool
        Correct the last step too, for one more evaluation.
    history : sequence of Node
        Nodes of exact history, newest first.

    Raises
    ------
    InvalidPlanError
        For a predictor below 1, a corrector of 1 output or less than 0, or an eta that is no
        amount of noise.
    """
    del process
    if predictor < 1 or corrector < 0 or corrector == 1:
        msg = (
            "SA-Solver needs a predictor of at least 1 output and a corrector of 0 or at least 2, "
            f"got {predictor} and {corrector}"
        )
        raise InvalidPlanError(msg)
    shape, rule = as_shape(eta), "half" if published else "exact"
    width = max(predictor, corrector - 1)
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[: width - 1], "data")
    m = None
    for i, (s, t) in enumerate(grid.steps()):
        m = tape.eval(x, s) if m is None else m
        past = [(m, s), *past][:width]
        if t.sigma == 0.0:
            x = tape.mark(tape.lin((m, t.alpha)), t)
            continue
        kernel = StepKernel(shape.at(t.lam) if published else _plain(shape), s, t)
        noise, before, m = kernel.noise(tape), x, None
        x = tape.lin(*mean_terms(kernel, x, past[:predictor], rule), *noise)
        cold = published and i == 0 and not history
        if corrector and (correct_last or i < len(grid) - 1) and not cold:
            new = (tape.eval(x, t), t)
            use = [new, *past[: corrector - 1]]
            x = tape.lin(*mean_terms(kernel, before, use, rule), *noise)
            m = new[0]
        tape.mark(x, t)
    return tape.plan(x=x, **named_history(past[: max(1, width - 1)]))


def _plain(shape: EtaShape) -> Eta:
    """A shape of one number as that number."""
    return shape.levels[0] if len(shape.levels) == 1 else shape


def _declare(name: str, predictor: int, corrector: int, *, published: bool, note: str) -> None:
    @sampler(
        name=name, weak=2, weak_cold=2, strong=1, sde_eta=1.0,
        history=max(predictor, corrector - 1) - 1,
        nfe=lambda n: n, prediction="data", family="SA-Solver", note=note,
        source=f"{_XUE}, Alg. 1" + (" as in its code" if published else ""),
    )  # fmt: skip
    def build(
        process: Process,
        grid: Grid,
        *,
        eta: Eta = 1.0,
        correct_last: bool = False,
        history: Sequence[Node] = (),
    ) -> Plan:
        return sa_solver(
            process, grid, predictor=predictor, corrector=corrector, eta=eta,
            published=published, correct_last=correct_last, history=history,
        )  # fmt: skip


_declare("sa_solver_2", 2, 2, published=False,
         note="SA-Solver: two outputs in predictor and corrector, exact weights.")  # fmt: skip
_declare("sa_solver_3", 3, 4, published=False,
         note="SA-Solver: three outputs in the predictor, four in the corrector.")  # fmt: skip
_declare("sa_solver_2_published", 2, 2, published=True,
         note="SA-Solver-2 as in its code: slopes as one half, eta at the end.")  # fmt: skip
_declare("sa_solver_3_published", 3, 4, published=True,
         note="SA-Solver-3 as in its code: eta at the end, no first correction.")  # fmt: skip
