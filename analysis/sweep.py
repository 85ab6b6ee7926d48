"""Sweeps: samplers x evaluations x networks, on one machine or many, with nothing lost on the way.

A sweep is a list of frozen :class:`Config`; each is measured by :func:`run_one`, anywhere, and its
result is one JSON file, written whole by whoever asked. What is there is not measured again: a
sweep that lost a worker is finished by running it again. The same list runs in joblib's processes
on one machine and on a Dask cluster on many; the machines share no disk.

Nothing heavy is imported here, so that a new process is ready soon; what :func:`run_one` needs it
imports itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..solvers.errors import AnalysisError, FokkerError
from ..solvers.files import writable_folder
from .sweep_config import Config as Config
from .sweep_config import configs as configs
from .sweep_results import Identities, Kept
from .sweep_workers import Result, Results, here, in_processes, on_dask

if TYPE_CHECKING:
    from ..solvers.networks.identity import Identity

Progress = Callable[[int, int], None]
MOST_JOBS = 1024
_ONE_AT_A_TIME = threading.Lock()


def identify(networks: Iterable[str]) -> Identities:
    """Facts and probes of networks by name, on this machine.

    Raises
    ------
    FokkerError
        For a name that is none.
    """
    from ..solvers.networks.identity import identity_of
    from ..toy_models.networks import find_network

    return {name: identity_of(find_network(name)) for name in dict.fromkeys(networks)}


def run_one(cfg: Config, known: Identities | None = None) -> Result:
    """Measure one configuration.

    Parameters
    ----------
    cfg : Config
        Which.
    known : mapping, optional
        What the networks are to be, see :func:`identify`: one of that name that is another on
        this machine, or by now, is not measured.

    Returns
    -------
    dict
        ``rms`` and ``median`` over the starts of ``|x_i - r_i|/sqrt(d)``, the distance to the end
        of a fine solution from the same start; ``reference_error``, what that solution may be off
        itself; ``nfe`` and ``steps`` as taken; or ``failed``, a sentence.
    """
    import numpy as np

    from .evaluation.paired import errors_of

    wanted = (known or {}).get(cfg.network)
    words = (cfg.network, cfg.count, cfg.seed, cfg.guidance, cfg.reference)
    try:
        with _ONE_AT_A_TIME:  # a worker of Dask may have several threads
            starts, reference = _reference(*words, wanted)
        x, steps, nfe = _ends(cfg, starts)
        errors = errors_of(x, reference.ends)
    except FokkerError as error:
        return {"failed": str(error)}
    return {
        "rms": float(np.sqrt(np.mean(errors**2))),
        "median": float(np.median(errors)),
        "reference_error": reference.error,
        "nfe": nfe,
        "steps": steps,
    }


@functools.lru_cache(maxsize=4)
def _reference(
    network: str,
    count: int,
    seed: int,
    guidance: float,
    steps: int,
    wanted: Identity | None = None,
) -> Any:
    """Starts and the fine solution from them: once for each network in each process."""
    from ..solvers.networks.identity import identity_of
    from ..toy_models.networks import find_network
    from .recommend.reference import reference
    from .recommend.starts import Starts

    found = find_network(network)
    other = wanted and wanted.difference(identity_of(found))
    if other:
        where = platform.node() or "this machine"
        msg = f"{network!r} is another network on {where} than where the sweep was begun: {other}"
        raise AnalysisError(msg)
    starts = Starts(found, count=count, seed=seed, guidance=guidance)
    return starts, reference(starts, steps=steps)


def _ends(cfg: Config, starts: Any) -> tuple[Any, int, int]:
    from ..solvers.jobs.spacing import SPACINGS, grid_of
    from ..solvers.registry import get
    from .budget import steps_within
    from .paired import sample

    sampler = get(cfg.sampler)
    if sampler.stochastic:
        msg = f"{cfg.sampler} draws noise: a sweep is paired with the path of the ODE"
        raise AnalysisError(msg)
    if cfg.grid not in SPACINGS:
        msg = f"unknown grid {cfg.grid!r}; accepted: {', '.join(SPACINGS)}"
        raise AnalysisError(msg)
    steps = steps_within(sampler, cfg.nfe) if cfg.nfe > 0 else None
    if steps is None:
        msg = f"{cfg.sampler} does not fit into {cfg.nfe} evaluations"
        raise AnalysisError(msg)
    network = starts.network
    grid = grid_of(network, cfg.grid, steps)
    model = starts.model(sampler.prediction, 0, starts.count)
    x = sample(sampler, model, network.process, grid, starts.x)
    return x.to(starts.x.dtype), steps, sampler.nfe(steps)


def sweep(
    todo: Sequence[Config],
    folder: str | os.PathLike[str],
    *,
    jobs: int = 1,
    dask: str | None = None,
    one: Callable[[Config], Result] | None = None,
    networks: Identities | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and give all results in the order of ``todo``.

    Parameters
    ----------
    todo : sequence of Config
        What to measure.
    folder : str or path
        Where the results are, one file each. A result belongs to a network, not to a name: what
        was measured with other weights stays in its file and is measured anew beside it.
    jobs : int
        Processes on this machine.
    dask : str, optional
        Address of a Dask scheduler, whose workers are used in their place.
    one : callable, optional
        What measures one configuration; :func:`run_one` with ``networks`` by default.
    networks : mapping, optional
        What the networks are, if :func:`identify` was asked already.
    progress : callable, optional
        ``progress(done, total)`` after each.

    Returns
    -------
    list of dict
        ``{"config": ..., "network": ..., **result}``.

    Raises
    ------
    AnalysisError
        For fewer than one process, without Dask where it is asked for, and if workers are lost;
        what was measured is kept. For a result of a network of other behaviour, see
        :mod:`fokker.solvers.networks.identity`.
    OutputError
        If the folder cannot be written.
    """
    if not 1 <= jobs <= MOST_JOBS:
        msg = f"a sweep takes at least one process, at most {MOST_JOBS}, got {jobs}"
        raise AnalysisError(msg)
    place = writable_folder(folder)
    known = _known(todo) if networks is None else networks
    kept = Kept(place, known)
    there = ((cfg, kept.read(cfg)) for cfg in todo)
    left = [cfg for cfg, found in there if found is None or "failed" in found]
    done = len(todo) - len(left)
    show = progress or (lambda _done, _total: None)
    show(done, len(todo))
    one = one or functools.partial(run_one, known=known)
    with contextlib.closing(_results(left, one, jobs, dask)) as results:
        for cfg, result in results:
            kept.write(cfg, result)
            done += 1
            show(done, len(todo))
    return [found for cfg in todo if (found := kept.read(cfg)) is not None]


def _results(
    todo: Sequence[Config], one: Callable[[Config], Result], jobs: int, dask: str | None
) -> Results[Config]:
    """Results as they come, whoever finds them."""
    if not todo:
        return here(todo, one)
    if dask is not None:
        return on_dask(todo, one, dask)
    return here(todo, one) if jobs == 1 else in_processes(todo, one, jobs)


def _known(todo: Iterable[Config]) -> Identities:
    """The networks that can be found; a name that is none fails when it is measured."""
    found: dict[str, Identity] = {}
    for name in dict.fromkeys(cfg.network for cfg in todo):
        with contextlib.suppress(FokkerError):
            found |= identify([name])
    return found
