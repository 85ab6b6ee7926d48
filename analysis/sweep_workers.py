"""Who measures: this process, joblib's processes here, or the workers of a Dask cluster.

All give ``(configuration, result)`` as they come, in any order. What has come is the caller's, who
writes it down at once; so a worker that dies takes with it only what it was at.

A cluster gives the work of a dead worker to another one by itself, and gives up on what was on
several that died (three times, unless the cluster says otherwise): then all the rest is measured
first. It is asked through :class:`distributed.Client`, for joblib's bridge to Dask gives up on
everything at the first error and says nothing while no worker is there.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

from .. import __version__
from ..solvers.errors import AnalysisError

Task = TypeVar("Task")
Result = dict[str, Any]
Results = Generator[tuple[Task, Result], None, None]

CONNECT = 20.0
"""Seconds in which a scheduler must answer."""
PATIENCE = 60.0
"""Seconds for which a cluster may have no worker at all; one that grows needs some."""
_KEPT = "what was measured is kept, run the sweep again for the rest"
_LOOK = 1.0
_NAP = 0.02


def here(todo: Sequence[Task], one: Callable[[Task], Result]) -> Results[Task]:
    """One after another in this process."""
    for task in todo:
        yield task, one(task)


def in_processes(todo: Sequence[Task], one: Callable[[Task], Result], jobs: int) -> Results[Task]:
    """In processes of this machine, one thread for the numbers in each.

    Raises
    ------
    AnalysisError
        If a process is lost.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        parallel: Any = Parallel(return_as="generator_unordered")
        try:
            yield from parallel(delayed(_pair)(task, one) for task in todo)
        except TerminatedWorkerError as error:
            msg = f"a worker was lost; {_KEPT}"
            raise AnalysisError(msg) from error


def _pair(task: Task, one: Callable[[Task], Result]) -> tuple[Task, Result]:
    return task, one(task)


def on_dask(todo: Sequence[Task], one: Callable[[Task], Result], address: str) -> Results[Task]:
    """On the workers of the cluster whose scheduler is at an address.

    Raises
    ------
    AnalysisError
        Without Dask here or fokker there; if no scheduler answers, now or later; if there is no
        worker; and, after all others, if something was given up because workers died with it.
    """
    client = _client(address)
    with client:
        futures = client.map(functools.partial(_there, one, __version__), todo, pure=False)
        tasks = {future.key: task for future, task in zip(futures, todo, strict=True)}
        lost = 0
        for future in _finished(client, futures, address):
            task = tasks[future.key]
            if _is_lost(future, address):
                lost += 1
            else:
                yield task, future.result()
            future.release()
    if lost:
        msg = f"the workers that measured {lost} of {len(todo)} were lost each time; {_KEPT}"
        raise AnalysisError(msg)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        msg = (
            "a sweep on many machines needs Dask: pip install 'dask[distributed]', here and there"
        )
        raise AnalysisError(msg) from error
    try:
        return Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:160]
        msg = f"no Dask scheduler answers at {address!r}: {why}; give the address that it prints"
        raise AnalysisError(msg) from error


def _there(one: Callable[[Task], Result], version: str, task: Task) -> Result:
    """Measure, if the worker has the program of who asked."""
    if version != __version__:
        msg = f"a worker has fokker {__version__}, the sweep was begun with {version}; "
        msg += "install the same version there"
        raise AnalysisError(msg)
    return one(task)


def _finished(client: Any, futures: list[Any], address: str) -> Iterator[Any]:
    """Each future when it is done, however it ended."""
    from distributed import as_completed

    waited = as_completed(futures, loop=client.loop, raise_errors=False)
    left, begin = len(futures), None
    looked = time.monotonic()
    while left:
        batch = waited.next_batch(block=False)
        yield from batch
        left -= len(batch)
        now = time.monotonic()
        if not batch and now - looked > _LOOK:
            looked = now
            begin = None if _workers(client, address) else begin or now
            if begin is not None and now - begin > PATIENCE:
                msg = (
                    f"the Dask scheduler at {address!r} had no worker for {PATIENCE:g} s; {_KEPT}"
                )
                raise AnalysisError(msg)
        if not batch:
            time.sleep(_NAP)


def _workers(client: Any, address: str) -> int:
    try:
        return len(client.nthreads())
    except (OSError, ValueError, RuntimeError) as error:
        raise _gone(address) from error


def _is_lost(future: Any, address: str) -> bool:
    """Whether a finished future died with its workers; other errors are raised as they are."""
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return False
    if future.status in ("cancelled", "lost"):
        raise _gone(address)
    error = future.exception()
    if isinstance(error, KilledWorker):
        return True
    cause: BaseException | None = error
    while cause is not None:  # the scheduler, which looks at the work too, says why in the cause
        if isinstance(cause, ImportError) and "fokker" in str(cause):
            msg = f"the cluster at {address!r} cannot import fokker: {cause}; install it on its "
            msg += "scheduler and its workers"
            raise AnalysisError(msg) from error
        cause = cause.__cause__
    raise error


def _gone(address: str) -> AnalysisError:
    return AnalysisError(f"the Dask scheduler at {address!r} no longer answers; {_KEPT}")
