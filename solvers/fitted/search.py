"""Search over plans: random, evolutionary, and evolutionary with a learned predictor of the error.

The error of a genome is the root mean square distance of its samples to the exact flow (or a fine
run) from common starts. It is a function of the starts: a search that is judged on the starts it
used overfits, so :func:`search` is given an error on training starts and the caller keeps others.

* :func:`search` with ``strategy="random"``: genomes at random.
* ``"evolution"``: (mu + lambda); children are mutations of the best mu found so far.
* ``"predictor"``: as before, but of many children those are tried that a regression of log error
  on the encoded genome, fitted to all trials so far, ranks first (the S^3 of Liu et al. 2024,
  arXiv:2312.07243, in small). What matters is the ranking: see :func:`ranking_quality`.

Trials come in batches whose size does not depend on ``jobs``, so results do not either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from torch import Tensor

from ..checks import check_state
from ..errors import FokkerError, InvalidGridError, NonFiniteError
from ..grids import Grid, uniform_lam
from ..model import Model
from ..plan import Plan
from ..process import Array, Process
from ..registry import get
from ..run import run
from .search_space import Genome, Space

STRATEGIES = ("random", "evolution", "predictor")
LEAST_STARTS = 8
POOL = 16
"""How many children the predictor chooses one from."""
REFERENCE_STEPS = 256


class SearchError(FokkerError, ValueError):
    """A search is asked for nothing, or from too few starts."""


@dataclass(frozen=True)
class Target:
    """Starts and where the exact flow takes them; calling it gives the error of a plan.

    The error is ``sqrt(mean |x - truth|^2)`` over samples and coordinates, infinite for a plan
    that overflows.
    """

    model: Model
    starts: Tensor
    truth: Tensor

    def __call__(self, plan: Plan) -> float:
        """Root mean square error of the plan from these starts."""
        try:
            x = run(plan, self.model, self.starts).x
        except NonFiniteError:
            return math.inf
        return float((x - self.truth).double().square().mean().sqrt())

    def part(self, rows: slice) -> Target:
        """The same with some of the starts."""
        return Target(self.model, self.starts[rows], self.truth[rows])


def target(model: Model, process: Process, grid: Grid, starts: Tensor) -> Target:
    """Starts with the samples of a fine run over the same levels in place of an exact flow.

    The fine run is exponential Adams-Bashforth 3 with a Runge-Kutta start, 256 steps uniform in
    lam, and the grid's step to ``sigma = 0`` if it has one. ``model`` gives the data prediction.

    Raises
    ------
    SearchError
        For fewer than 8 starts.
    InvalidGridError
        For a grid without finite steps.
    """
    check_state(starts, "starts")
    if len(starts) < LEAST_STARTS:
        msg = f"a search needs at least {LEAST_STARTS} starts to be judged on, got {len(starts)}"
        raise SearchError(msg)
    lams = [node.lam for node in grid.nodes if node.sigma > 0]
    if len(lams) < 2 or not math.isfinite(lams[0]):
        msg = f"a search needs a grid with finite steps, got lams {lams}"
        raise InvalidGridError(msg)
    fine = uniform_lam(process, lams[0], lams[-1]).grid(REFERENCE_STEPS, to_zero=grid.to_zero)
    plan = get("exp_ab3_data_rkstart")(process, fine)
    return Target(model, starts, run(plan, model, starts).x)


@dataclass(frozen=True)
class Found(Generic[Genome]):
    """What a search found.

    Attributes
    ----------
    genome, error
        The best genome and its error on the training starts.
    genomes, errors : tuple
        Every trial in order; the first is the neutral genome.
    """

    genome: Genome
    error: float
    genomes: tuple[Genome, ...]
    errors: tuple[float, ...]

    @property
    def best_so_far(self) -> Array:
        """Smallest error after each trial."""
        return np.minimum.accumulate(np.array(self.errors))


def search(
    space: Space[Genome],
    error: Callable[[Plan], float],
    *,
    budget: int,
    seed: int,
    strategy: str = "predictor",
    parents: int = 8,
    children: int = 8,
    jobs: int = 1,
) -> Found[Genome]:
    """Try ``budget`` genomes, the neutral one first, and keep the best.

    Parameters
    ----------
    error : callable
        ``error(plan)``, smaller is better; see :class:`Target`.
    budget : int
        True evaluations of the error.
    parents, children : int
        mu and lambda; a batch of trials is ``children`` genomes.
    jobs : int
        Threads (joblib); the result is the same for any number.

    Raises
    ------
    SearchError
        For a budget, mu, lambda or number of jobs less than 1, or an unknown strategy.
    """
    if strategy not in STRATEGIES:
        msg = f"strategy must be one of {STRATEGIES}, got {strategy!r}"
        raise SearchError(msg)
    if min(budget, parents, children, jobs) < 1:
        msg = (
            "a search needs budget, parents, children and jobs of at least 1, "
            f"got {budget}, {parents}, {children} and {jobs}"
        )
        raise SearchError(msg)
    rng = np.random.default_rng(seed)
    genomes, errors = [space.neutral()], [error(space.plan(space.neutral()))]
    codes: list[Array] = []
    while len(errors) < budget:
        count = min(children, budget - len(errors))
        best = [genomes[i] for i in np.argsort(errors, kind="stable")[:parents].tolist()]
        if strategy == "random" or len(errors) < 2 * children:
            batch = [space.draw(rng) for _ in range(count)]
        elif strategy == "evolution":
            batch = [_child(space, best, rng) for _ in range(count)]
        else:
            codes += [space.encode(g) for g in genomes[len(codes) :]]
            predict = fitted_predictor(np.stack(codes), errors, seed)
            batch = [_child(space, best, rng) for _ in range(count)]
            for k in range(0, count, 2):  # every other child is the best of a pool
                pool = [batch[k], *(_child(space, best, rng) for _ in range(POOL - 1))]
                guess = predict(np.stack([space.encode(g) for g in pool]))
                batch[k] = pool[int(np.argmin(guess))]
        genomes += batch
        errors += _tried(error, [space.plan(g) for g in batch], jobs)
    at = int(np.argmin(errors))
    return Found(genomes[at], errors[at], tuple(genomes), tuple(errors))


def _child(space: Space[Genome], best: Sequence[Genome], rng: np.random.Generator) -> Genome:
    return space.mutate(best[int(rng.integers(len(best)))], rng)


def _tried(error: Callable[[Plan], float], plans: Sequence[Plan], jobs: int) -> list[float]:
    if jobs == 1:
        return [error(plan) for plan in plans]
    from joblib import Parallel, delayed

    done: Any = Parallel(n_jobs=jobs, prefer="threads")(delayed(error)(plan) for plan in plans)
    return list(done)


def fitted_predictor(codes: Array, errors: Sequence[float], seed: int) -> Callable[[Array], Array]:
    """A regression of log error on encoded genomes: mean of random trees and a smooth kernel.

    The trees rank genomes from far apart better, the kernel those near each other. ``codes`` are
    the rows of ``space.encode``.
    """
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    trees = ExtraTreesRegressor(n_estimators=60, min_samples_leaf=2, random_state=seed)
    kernel = make_pipeline(StandardScaler(), SVR(C=3.0, epsilon=0.02))
    y = np.log(np.clip(np.array(errors), 1e-12, 1e3))
    for model in (trees, kernel):
        model.fit(codes, y)
    return lambda codes: (trees.predict(codes) + kernel.predict(codes)) / 2


def ranking_quality(space: Space[Genome], found: Found[Genome], *, train: int, seed: int) -> float:
    """Kendall's tau between predicted and true errors on trials that the predictor never saw.

    Raises
    ------
    SearchError
        If fewer than two trials would be left on either side.
    """
    from scipy.stats import kendalltau

    if not 2 <= train <= len(found.errors) - 2:
        msg = f"need 2 <= train <= {len(found.errors) - 2} trials, got {train}"
        raise SearchError(msg)
    order = np.random.default_rng(seed).permutation(len(found.errors))
    known, unknown = order[:train], order[train:]
    codes, errors = np.stack([space.encode(g) for g in found.genomes]), np.array(found.errors)
    guess = fitted_predictor(codes[known], errors[known].tolist(), seed)(codes[unknown])
    tau: Any = kendalltau(guess, errors[unknown])
    return float(tau.statistic)
