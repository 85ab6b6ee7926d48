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
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..solvers.errors import AnalysisError, FokkerError
from ..solvers.files import writable_folder, write_text_atomic

Result = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Config:
    """One measurement: a deterministic sampler on a network within a number of evaluations.

    Attributes
    ----------
    network : str
        As :func:`fokker.toy_models.networks.find_network` takes it.
    sampler : str
        Name of a registered sampler that draws no noise.
    nfe : int
        Evaluations at most; the sampler takes as many steps as fit.
    grid : str
        One of :data:`fokker.solvers.jobs.spacing.SPACINGS`; the last step goes to sigma = 0.
    guidance : float
        Weight of classifier-free guidance.
    count, seed : int
        Number of starts, and their seed.
    reference : int
        Steps of the fine solution.
    """

    network: str
    sampler: str
    nfe: int
    grid: str = "uniform-lam"
    guidance: float = 1.0
    count: int = 32
    seed: int = 0
    reference: int = 128

    def __post_init__(self) -> None:
        if not math.isfinite(self.guidance):
            msg = f"the guidance of a sweep must be a finite number, got {self.guidance}"
            raise AnalysisError(msg)

    @property
    def file(self) -> str:
        """Name of its result: readable, and different for different configurations."""
        text = json.dumps(asdict(self), sort_keys=True)
        words = (Path(self.network).name, self.sampler, str(self.nfe))
        plain = "-".join(re.sub(r"[^A-Za-z0-9_]+", "_", w)[:40] for w in words)
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def configs(
    networks: Iterable[str], samplers: Iterable[str], nfes: Iterable[int], **common: Any
) -> list[Config]:
    """All combinations, network by network; equal ones once."""
    found = itertools.product(networks, samplers, nfes)
    return list(dict.fromkeys(Config(n, s, k, **common) for n, s, k in found))


def run_one(cfg: Config) -> Result:
    """Measure one configuration.

    Returns
    -------
    dict
        ``rms`` and ``median`` over the starts of ``|x_i - r_i|/sqrt(d)``, the distance to the end
        of a fine solution from the same start; ``reference_error``, what that solution may be off
        itself; ``nfe`` and ``steps`` as taken; or ``failed``, a sentence.
    """
    import numpy as np

    from .evaluation.paired import errors_of

    try:
        starts, reference = _reference(
            cfg.network, cfg.count, cfg.seed, cfg.guidance, cfg.reference
        )
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
def _reference(network: str, count: int, seed: int, guidance: float, steps: int) -> Any:
    """Starts and the fine solution from them: once for each network in each process."""
    from ..toy_models.networks import find_network
    from .recommend.reference import reference
    from .recommend.starts import Starts

    starts = Starts(find_network(network), count=count, seed=seed, guidance=guidance)
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
    one: Callable[[Config], Result] = run_one,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and give all results in the order of ``todo``.

    Parameters
    ----------
    todo : sequence of Config
        What to measure.
    folder : str or path
        Where the results are, one file each.
    jobs : int
        Processes on this machine.
    dask : str, optional
        Address of a Dask scheduler, whose workers are used in their place.
    one : callable
        What measures one configuration.
    progress : callable, optional
        ``progress(done, total)`` after each.

    Returns
    -------
    list of dict
        ``{"config": ..., **result}``.

    Raises
    ------
    AnalysisError
        For fewer than one process, without Dask where it is asked for, and if a worker is lost;
        what was measured is kept.
    OutputError
        If the folder cannot be written.
    """
    if jobs < 1:
        msg = f"a sweep needs at least one process, got {jobs}"
        raise AnalysisError(msg)
    place = writable_folder(folder)
    there = ((cfg, _read(place, cfg)) for cfg in todo)
    left = [cfg for cfg, found in there if found is None or "failed" in found]
    done = len(todo) - len(left)
    show = progress or (lambda _done, _total: None)
    show(done, len(todo))
    with contextlib.closing(_results(left, one, jobs, dask)) as results:
        for cfg, result in results:
            record = {"config": asdict(cfg), **result}
            write_text_atomic(place / cfg.file, json.dumps(record, indent=1) + "\n")
            done += 1
            show(done, len(todo))
    return [found for cfg in todo if (found := _read(place, cfg)) is not None]


def _results(
    todo: Sequence[Config], one: Callable[[Config], Result], jobs: int, dask: str | None
) -> Generator[tuple[Config, Result], None, None]:
    """Results as they come, whoever finds them."""
    if jobs == 1 and dask is None:
        for cfg in todo:
            yield cfg, one(cfg)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with _engine(jobs, dask):
        parallel: Any = Parallel(return_as="generator_unordered")
        try:
            yield from parallel(delayed(_pair)(cfg, one) for cfg in todo)
        except TerminatedWorkerError as error:
            msg = "a worker was lost; what was measured is kept, run the sweep again for the rest"
            raise AnalysisError(msg) from error


def _pair(cfg: Config, one: Callable[[Config], Result]) -> tuple[Config, Result]:
    return cfg, one(cfg)


@contextlib.contextmanager
def _engine(jobs: int, dask: str | None) -> Iterator[None]:
    """Processes here, or the workers of a Dask cluster."""
    from joblib import parallel_config

    if dask is None:
        with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
            yield
        return
    try:
        from dask.distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        msg = "a sweep on many machines needs Dask: pip install 'distributed', here and on them"
        raise AnalysisError(msg) from error
    try:
        client = Client(dask, timeout=20)
    except (OSError, ValueError) as error:
        msg = f"no Dask scheduler answers at {dask!r}: {error}"
        raise AnalysisError(msg) from error
    with client, parallel_config(backend="dask"):
        yield


def _read(place: Path, cfg: Config) -> dict[str, Any] | None:
    """The result of a configuration, if it is there and whole."""
    try:
        found = json.loads((place / cfg.file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(found, dict) and found.get("config") == asdict(cfg)
    return found if same else None
