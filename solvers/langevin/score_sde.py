r"""The predictor-corrector samplers by name: Score-SDE's, its relatives, annealed dynamics.

Only :func:`pc_langevin` has a limit on fine grids, so it alone declares a weak order. The others
take steps that the level decides, not the grid.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor

from ..grids import Grid
from ..model import Model
from ..process import Node, Process
from ..registry import Sampler, register
from ..stepper import StepperRun
from .correctors import Corrector, DampedLangevin, Langevin, check_steps
from .predictor_corrector import predictor_corrector
from .steps import LamRule, LevelRule, SnrPublished, SnrRule, positive


def with_predictor(corrector: Callable[..., Corrector]) -> Callable[..., StepperRun]:
    """A sampler of a function that makes a corrector: that corrector before each step.

    The sampler takes the function's options, all by name, and ``noise`` and ``predictor`` beside
    them; its signature says so, which is where the registry's readers look.
    """

    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: Any = None,
        predictor: str = "reverse_diffusion",
        **options: Any,
    ) -> StepperRun:
        return predictor_corrector(
            model,
            process,
            grid,
            x,
            noise=noise,
            corrector=corrector(**options),
            predictor=predictor,
        )

    shared = signature(build)
    *first, predictor, _ = shared.parameters.values()
    own = signature(corrector).parameters.values()
    build.__name__ = build.__qualname__ = corrector.__name__
    build.__module__, build.__doc__ = corrector.__module__, corrector.__doc__
    build.__dict__["__signature__"] = shared.replace(parameters=[*first, *own, predictor])
    return build


@with_predictor
def pc_langevin(*, kappa: float = 1.0, steps: int = 1) -> Corrector:
    """Predictor-corrector with a Langevin step that shrinks with the grid: the SDE of eta + kappa.

    ``kappa`` is shared among the corrector's ``steps``. Weak order 1 towards the reverse SDE whose
    eta is the predictor's plus kappa.
    """
    check_steps(steps)
    positive(kappa, "the share of noise kappa")
    return Langevin(LamRule(kappa / steps), steps)


@with_predictor
def pc_score_sde(*, snr: float = 0.16, steps: int = 1) -> Corrector:
    """Score-SDE's predictor-corrector with the norms of each sample by itself.

    In d dimensions its correctors aim at a variance ``((d + 2)/d)^2`` times too large: negligible
    for images, ruinous in the plane. :func:`pc_annealed` has no such aim.
    """
    return Langevin(SnrRule(snr), steps)


@with_predictor
def pc_score_sde_published(*, snr: float = 0.16, steps: int = 1) -> Corrector:
    """The same with norms averaged over the batch, as in the public code.

    A sample depends on what else is in its batch; it is a function for comparisons and not in the
    registry, where a law says that no sample does.
    """
    return Langevin(SnrPublished(snr), steps)


@with_predictor
def pc_annealed(*, snr: float = 0.16, steps: int = 1) -> Corrector:
    """Predictor-corrector with steps ``2 a (snr sigma)^2``, the same for every sample."""
    return Langevin(LevelRule(snr), steps)


@with_predictor
def pc_lml(*, snr: float = 0.16, steps: int = 1, damping: float = 10.0) -> Corrector:
    """Predictor-corrector with steps shortened along the score by a Levenberg-Marquardt matrix."""
    return DampedLangevin(LevelRule(snr), steps, damping)


@dataclass(frozen=True)
class AnnealedRule:
    """``step sigma^2/(2 sigma_L^2)``: Song & Ermon 2019, Alg. 1, whose step is twice our e.

    ``last`` is sigma_L, the least level.
    """

    step: float
    last: float

    def __post_init__(self) -> None:
        positive(self.step, "the step")
        positive(self.last, "the least level")

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> float:
        """See :class:`~.steps.StepRule`."""
        del score, z, t
        return 0.5 * self.step * (s.sigma / self.last) ** 2


def annealed_langevin(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: Any = None,
    step: float | None = None,
    steps: int = 10,
) -> StepperRun:
    """Annealed Langevin dynamics (Song & Ermon 2019, arXiv:1907.05600, Alg. 1): correctors alone.

    At each level but the end of the grid ``steps`` times ``x + a_i/2 score + sqrt(a_i) z`` with
    ``a_i = step sigma_i^2/sigma_L^2``, sigma_L the last level that is visited; the published step
    2e-5 is for ``sigma_L = 0.01``, so the default is ``0.2 sigma_L^2``. The state is carried to
    the next level as it is; a step to ``sigma = 0`` denoises, which the paper does not.

    Raises
    ------
    InvalidPlanError
        Without noise, for a step that is not positive, and for ``steps < 1``.
    """
    last = grid[-2].sigma
    rule = AnnealedRule(0.2 * last**2 if step is None else step, last)
    return predictor_corrector(
        model, process, grid, x, noise=noise, corrector=Langevin(rule, steps), predictor=None
    )


_SONG = "Song et al. 2021, arXiv:2011.13456, Alg. 1"
register(
    Sampler(
        name="pc_langevin", build=pc_langevin, kind="stepper", prediction="noise",
        nfe=lambda n: 2 * n, weak=1, sde_eta=2.0, source=_SONG,
        family="predictor-corrector (Langevin)",
        note="Predictor-corrector with a Langevin step that shrinks with the grid: the reverse "
        "SDE of eta = 2, not a correction of that of eta = 1.",
    )
)  # fmt: skip
for _build, _evaluations, _source, _note in (
    (
        pc_score_sde, 2, f"{_SONG} and 4",
        "Predictor-corrector with the published signal-to-noise step, norms of each sample by "
        "itself: far off in few dimensions, where pc_annealed is not; no weak order, for no grid "
        "cures its bias.",
    ),
    (
        pc_annealed, 2, f"{_SONG} and 5",
        "Predictor-corrector with steps 2 a (snr sigma)^2, the same for every sample; its bias "
        "does not shrink with the grid.",
    ),
    (
        pc_lml, 2, "Wang et al. 2025, arXiv:2505.24222, with the noise of its matrix",
        "Predictor-corrector with Langevin steps shortened along the score by a "
        "Levenberg-Marquardt matrix; its correctors aim at too large a variance.",
    ),
    (
        annealed_langevin, 10, "Song & Ermon 2019, arXiv:1907.05600, Alg. 1",
        "Annealed Langevin dynamics: ten Langevin steps a level and no predictor.",
    ),
):  # fmt: skip
    register(
        Sampler(
            name=_build.__name__, build=_build, kind="stepper", prediction="noise", noisy=True,
            nfe=partial(operator.mul, _evaluations), source=_source, note=_note,
            family="predictor-corrector (Langevin)",
        )
    )  # fmt: skip
