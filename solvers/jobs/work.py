"""Doing a job: batch after batch, and the manifest at the end, however it ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import NonFiniteError, OutputError
from ..networks.asking import check_answers
from ..networks.identity import network_facts, network_probes
from ..networks.network import Network
from .checkpoints import Checkpoints
from .errors import JobError
from .facts import hardware, versions
from .folder import Folder
from .job import Job
from .manifest import write_manifest
from .pictures import is_picture, pixel_range
from .shards import Shard, device_of
from .trial import Trial

Progress = Callable[[float, int], None]
"""``progress(done, total)``: images of this process, those on their way in part."""


@dataclass(frozen=True)
class Report:
    """What a process did.

    Attributes
    ----------
    made, found : int
        Images that were made now, and that were there.
    failures : tuple of NonFiniteError
        Why a batch could not be made; the others were.
    manifest : dict
        What ``manifest.json`` holds.
    """

    made: int
    found: int
    failures: tuple[NonFiniteError, ...]
    manifest: dict[str, Any]


def run_job(
    job: Job,
    network: Network,
    path: str | os.PathLike[str],
    *,
    shard: Shard | None = None,
    save_every: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Make the images of a job that are not there yet, or our share of them.

    What is on the disk decides: batches with a record and the right SHA-256 are left alone. An
    interrupt, a full disk and an error of the network leave all finished batches, and a manifest
    of them.

    Parameters
    ----------
    job : Job
        Which images.
    network : Network
        The network of that name; it is moved to the device. A folder that was begun with another
        one is refused; how networks are told apart, :mod:`..networks.identity` says. It is asked
        three times for that.
    path : str or path
        The folder.
    shard : Shard, optional
        Our share; all of it by default.
    save_every : int
        Keep a checkpoint of the batch on its way after so many steps; 0: never.
    progress : callable, optional
        Shown how far we are after each evaluation.

    Raises
    ------
    JobError
        Before anything is written, for a job that cannot be done, or a folder of another job.
    OutputError
        If something cannot be written; what was finished stays.
    """
    if save_every < 0:
        msg = f"save_every counts steps from 1 up, or is 0 for never; got {save_every}"
        raise JobError(msg)
    device = device_of(job.device)
    network = _sized(network, job)
    facts = network_facts(network)
    trial = Trial(job, network.to(device), device, save_every)
    if job.size is not None:
        check_answers(network)
    pixels = pixel_range(network) if is_picture(network.shape) else None
    folder = Folder(path, job, facts, pixels, lambda: network_probes(network, device))
    work = _Work(trial, folder, progress or (lambda _done, _total: None))
    try:
        work.do((shard or Shard()).take(job.batches()))
    except BaseException:
        with contextlib.suppress(OutputError):  # a full disk: the records are what counts
            write_manifest(folder, facts)
        raise
    found = write_manifest(folder, facts)
    return Report(work.made, work.found, tuple(work.failures), found)


def _sized(network: Network, job: Job) -> Network:
    """The network at another size of images; whether it can do that is asked later."""
    if job.size is None:
        return network
    if len(network.shape) not in (2, 3):
        msg = f"samples of {network.name!r} have the shape {network.shape}: they have no size"
        raise JobError(msg)
    return replace(network, shape=(*network.shape[:-2], *job.size))


class _Work:
    """The batches of one process, one after another."""

    def __init__(self, trial: Trial, folder: Folder, progress: Progress) -> None:
        self.trial, self.folder, self.progress = trial, folder, progress
        self.kept = Checkpoints(folder)
        self.made = self.found = self.total = 0
        self.failures: list[NonFiniteError] = []

    def do(self, batches: Sequence[range]) -> None:
        """Make the batches that are not done."""
        self.total = sum(len(ids) for ids in batches)
        passed = 0
        for ids in batches:
            if self.folder.is_done(ids):
                self.found += len(ids)
            else:
                self._batch(ids, passed)
            self.kept.drop(ids)
            passed += len(ids)
            self.progress(passed, self.total)

    def _batch(self, ids: range, before: int) -> None:
        asked, most, begin = 0, max(1, self.trial.evaluations), time.perf_counter()

        def tick() -> None:
            nonlocal asked
            asked += 1
            self.progress(before + len(ids) * min(1.0, asked / most), self.total)

        try:
            x, nfe = self.trial.make(ids, self.kept, tick)
        except NonFiniteError as error:
            self.failures.append(error)
            self.folder.fail(
                ids,
                {"why": str(error), "step": error.step, "t": error.t}
                | {"samples": list(error.sample_ids)},
            )
            return
        about = {"nfe": nfe, "seconds": round(time.perf_counter() - begin, 3)}
        about |= {"hardware": hardware(str(self.trial.device)), "versions": versions()}
        self.folder.finish(ids, x.numpy(), about)
        self.made += len(ids)
