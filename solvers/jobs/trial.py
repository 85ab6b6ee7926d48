"""One batch: its start, its noise, its model, and the run.

The start of image i is ``sigma eps_i`` at the noisiest level of the network, its noise the cells
of the seed: functions of (seed, i), whatever batch or process makes it. What is left out of the
start is ``alpha x_0``, which at that level is small.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import bad_samples, named_samples, shown, usable_device
from ..engine.upload import upload
from ..errors import NonFiniteError
from ..grids import Grid
from ..model import BatchModel, Model, for_rows
from ..networks.network import Network
from ..noise import CellNoise
from ..normals import normal_field
from ..plan import Plan
from ..plan_split import part
from ..registry import get
from ..run import run
from .checkpoints import Checkpoints
from .errors import JobError
from .job import Job
from .labels import labels_of
from .limits import within_memory, within_rows
from .spacing import grid_of

Tick = Callable[[], None]


def starts(
    network: Network, grid: Grid, ids: Sequence[int], *, seed: int, dtype: torch.dtype, device: Any
) -> Tensor:
    """The starts of the images of these ids, (B, *shape): ``sigma eps``, eps of (seed, id).

    eps is drawn in float32 and cast, so that every dtype and device starts from the same numbers.
    """
    eps = normal_field(f"{seed}|start|".encode(), ids, math.prod(network.shape))
    field = torch.from_numpy(eps).reshape(len(ids), *network.shape)
    return grid[0].sigma * upload(field, torch.device(device), dtype)


class Trial:
    """How the batches of a job are made.

    Raises
    ------
    JobError
        For options that the sampler does not have, and a device that is not there.
    FokkerError
        For what the sampler, the grid or the network refuse.
    """

    def __init__(self, job: Job, network: Network, device: str, save_every: int = 0) -> None:
        self.job, self.network, self.device = job, network, usable_device(device, JobError)
        within_memory(min(job.batch, job.count), network.shape)
        self.entry = get(job.sampler)
        self.dtype: torch.dtype = getattr(torch, job.dtype)
        self.autocast = getattr(torch, job.autocast) if job.autocast else None
        self.grid = grid_of(network, job.grid, job.steps, to_zero=job.to_zero)
        self.plan: Plan | None = None
        accepted = inspect.signature(self.entry.build).parameters
        own = [n for n in accepted if n not in _NOT_OPTIONS]
        for name, value in job.options.items():
            if name not in own:
                msg = f"{job.sampler} has no option {name!r}; its options: {', '.join(own) or '-'}"
                raise JobError(msg)
            default = self.entry.options.get(name, accepted[name].default)
            if type(default) in (int, float) and isinstance(value, str):
                msg = f"the option {name} of {job.sampler} is a number, got {value!r}"
                raise JobError(msg)
        if self.entry.kind == "plan":
            within_rows(job.steps, job.options)
            self.plan = self.entry(network.process, self.grid, **job.options)
        elif save_every:
            msg = f"{job.sampler} is no plan, so it cannot be saved on its way; accepted: 0"
            raise JobError(msg)
        self.every = save_every
        turn = len(job.labels) if isinstance(job.labels, tuple) else network.classes
        self.model_of(range(min(job.count, max(turn, 1))))  # labels are refused before anything

    @property
    def evaluations(self) -> int:
        """Evaluations of one batch: of the plan, or declared."""
        return self.plan.nfe if self.plan else self.entry.nfe(len(self.grid))

    def model_of(self, ids: Sequence[int], tick: Tick | None = None) -> Model:
        """The model of a batch; ``tick`` is called after each evaluation."""
        job = self.job
        model = self.network.model(
            labels_of(job.labels, ids, self.network.classes),
            prediction=self.entry.prediction,
            guidance=job.guidance,
            interval=job.interval,
            autocast=self.autocast,
        )
        if tick is None:
            return model

        return _watched(model, ids, tick, look=self.plan is None)

    def make(self, ids: Sequence[int], kept: Checkpoints, tick: Tick) -> tuple[Tensor, int]:
        """The samples of a batch on the CPU, float32, and the evaluations of each.

        Raises
        ------
        NonFiniteError
            Naming step, time and sample ids.
        """
        job = self.job
        x = starts(
            self.network, self.grid, ids, seed=job.seed, dtype=self.dtype, device=self.device
        )
        noise, model = CellNoise(job.seed, ids), self.model_of(ids, tick)
        if self.plan is not None:
            x, nfe = self._run(self.plan, model, x, noise, ids, kept), self.plan.nfe
        else:
            options = {**self.entry.options, **job.options}
            found = self.entry.build(
                model, self.network.process, self.grid, x, noise=noise, **options
            )
            x, nfe = found.x, int(found.nfe)
        out = x.detach().to("cpu", torch.float32)
        bad = named_samples(bad_samples(out), ids)
        if bad:
            msg = f"the result is not finite in float32, samples {shown(bad)}"
            raise NonFiniteError(msg, sample_ids=bad)
        return out, nfe

    def _run(
        self,
        plan: Plan,
        model: Model,
        x: Tensor,
        noise: CellNoise,
        ids: Sequence[int],
        kept: Checkpoints,
    ) -> Tensor:
        steps = len(plan.marks)
        every = self.every or steps
        begin, vectors = kept.load(ids, steps) if self.every else (0, {})
        vectors = {name: v.to(self.device) for name, v in vectors.items()} or {"x": x}
        while begin < steps:
            end = min(begin + every, steps)
            piece = plan if end - begin == steps else part(plan, begin, end)
            try:
                done = run(piece, model, vectors["x"], history=vectors, noise=noise)
            except NonFiniteError as error:
                raise _later(error, begin) from error
            begin, vectors = end, done.outputs
            if begin < steps:
                kept.save(ids, begin, vectors)
        return vectors["x"]


def _watched(model: Model, ids: Sequence[int], tick: Tick, *, look: bool) -> Model:
    """The model with ``tick`` after each call, whose errors name samples, not rows of a batch.

    ``look``: also at each answer, for samplers that know rows only.
    """

    def watched(x: Tensor, t: Any) -> Tensor:
        try:
            out = model(x, t)
        except NonFiniteError as error:  # guidance that overflows
            rows = error.sample_ids
            named = tuple(ids[i] for i in rows)
            text = str(error).replace(str(list(rows[:8])), str(list(named[:8])))
            raise NonFiniteError(text, step=error.step, t=error.t, sample_ids=named) from error
        bad = named_samples(bad_samples(out), ids) if look else ()
        if bad:
            when = t if not (isinstance(t, Tensor) and t.ndim) else t[bad_samples(out).cpu()][0]
            msg = f"the model's output is not finite at t = {float(when)}, samples {shown(bad)}"
            raise NonFiniteError(msg, t=float(when), sample_ids=bad)
        tick()
        return out

    def rows(places: Any) -> Model:
        return _watched(for_rows(model, places), [ids[int(i)] for i in places], tick, look=look)

    return BatchModel(watched, rows)


_NOT_OPTIONS = ("model", "process", "grid", "x", "noise")


def _later(error: NonFiniteError, before: int) -> NonFiniteError:
    """The same error with the step counted from the start of the whole run."""
    if error.step is None or not before:
        return error
    step = error.step + before
    text = str(error).replace(f"in step {error.step} ", f"in step {step} ", 1)
    return NonFiniteError(text, step=step, t=error.t, sample_ids=error.sample_ids)
