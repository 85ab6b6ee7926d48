"""What a scheduler of diffusers that carries out a plan keeps between two calls.

The scheduler itself is in :mod:`.diffusers_scheduler`; nothing here needs diffusers but the draws
of :class:`GeneratorNoise`.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidPlanError, ShapeError
from ..model import conversion
from ..plan import Noise, Plan
from ..registry import get
from .diffusers_levels_of_plan import PREDICTIONS, grid_of, label, level, process_of
from .foreign_error import ForeignError
from .stepwise import Stepwise


def _diffusers(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        msg = f"diffusers is not installed ({error}); 'pip install diffusers' brings it"
        raise ForeignError(msg, kind="not installed") from error


class GeneratorNoise:
    """A source of noise that draws from a generator in the order in which cells are asked for.

    Parameters
    ----------
    generator : torch.Generator, list of them, or None
        As pipelines of diffusers take it: one for the batch, one for each sample, or the global
        one. Numbers are float32.
    """

    def __init__(self, generator: Any = None) -> None:
        self.generator = generator

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """The next normal numbers, whatever the cell."""
        del cell
        randn = _diffusers("diffusers.utils.torch_utils").randn_tensor
        field = randn(like.shape, self.generator, like.device, torch.float32)
        return field.to(like.dtype)


class PlanSteps:
    """What a scheduler keeps between two calls; independent of diffusers.

    Parameters
    ----------
    config : mapping
        The configuration of the scheduler.
    """

    def __init__(self, config: Any) -> None:
        self.config, self.process = config, process_of(config)
        self.sampler = get(config["sampler"])
        if self.sampler.kind != "plan":
            msg = (
                f"{config['sampler']} is a {self.sampler.kind}, which owns its loop; a scheduler "
                "needs a sampler of kind 'plan'"
            )
            raise InvalidPlanError(msg)
        self.count = int(config["num_train_timesteps"])
        self.network = PREDICTIONS[config["prediction_type"]]
        self.begin_index: int | None = None
        self.labels: tuple[float, ...] = ()
        self.run: Stepwise | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything, but of the sampler only its name: a declaration holds functions."""
        return {**self.__dict__, "sampler": self.sampler.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, sampler=get(state["sampler"]))

    def set(self, steps: int) -> tuple[float, ...]:
        """Make the plan of ``steps`` steps; returns the label of each evaluation."""
        self.grid = grid_of(self.process, self.config, steps)
        self.whole = Stepwise(self._plan(0))
        self.labels = self._labels(self.whole)
        self.run, self.begin_index, self.given = None, None, None
        return self.labels

    def _plan(self, first: int) -> Plan:
        options = self.config["sampler_options"] or {}
        part = self.grid.part(first, len(self.grid))
        return self.sampler(self.process, part, **options)

    def _labels(self, run: Stepwise) -> tuple[float, ...]:
        return tuple(label(self.process, op.node, self.count) for op in run.evals)

    @property
    def position(self) -> int | None:
        """Index in ``labels`` of the evaluation that comes next."""
        return None if self.run is None else len(self.labels) - self._left()

    def _left(self) -> int:
        return 0 if self.run is None else len(self.run.questions) - self.run.asked

    def _start(self, at: float) -> Stepwise:
        """The run that begins with the label ``at``: the whole plan, or the rest of the grid."""
        asked = range(len(self.labels)) if self.begin_index is None else (self.begin_index,)
        rest = {i: self.labels[i:] for i in asked if i < len(self.labels)}
        rest = {i: labels for i, labels in rest.items() if _near(labels[0], at)}
        if 0 in rest:
            return self.whole
        # a label may be that of two evaluations: the one where a step begins is meant
        for first, node in enumerate(self.grid.nodes[:-1]):
            if rest and node.sigma > 0 and _near(label(self.process, node, self.count), at):
                run = Stepwise(self._plan(first))
                if self._labels(run) in rest.values():
                    return run
        msg = (
            f"{self.config['sampler']} cannot start at the timestep {at:g}: no step begins there, "
            "or its own start asks at other timesteps than the rest of the whole run"
        )
        raise InvalidPlanError(msg)

    def step(self, output: Tensor, at: float, sample: Tensor, generator: Any) -> Tensor:
        """One answer of the network; the state to show it next, or the sample."""
        noise = GeneratorNoise(generator)
        state = sample.to(torch.promote_types(sample.dtype, torch.float32))
        if output.shape != sample.shape:
            msg = f"model output {tuple(output.shape)} and sample {tuple(sample.shape)} differ"
            raise ShapeError(msg)
        if self.run is None:
            self.run = self._start(at)
            self.run.begin(state, noise.draw)
        elif self.run.finished:
            msg = "all timesteps have been taken; call set_timesteps before the next run"
            raise InvalidPlanError(msg)
        elif sample is not self.given:  # somebody has changed it, or has copied it
            self._take(state, sample)
        op = self.run.evals[self.run.asked]
        if not _near(label(self.process, op.node, self.count), at):
            want = label(self.process, op.node, self.count)
            msg = f"the next timestep of the plan is {want:g}, got {at:g}"
            raise InvalidPlanError(msg)
        state = self.run.shown  # not the sample, which may be rounded to the network's precision
        a, b = conversion(self.network, op.prediction, op.node)
        answer = b * output.to(state.dtype)
        answer = answer + a * state if a else answer
        self.data = self._data(output.to(state.dtype), state)
        self.state = self.run.answer(answer, noise.draw)
        self.given = self.state.to(sample.dtype)
        return self.given

    def _take(self, state: Tensor, sample: Tensor) -> None:
        """Another state goes in than came out, unless it is equal to what came out."""
        if self.run is not None and not (
            self.given is not None and torch.equal(sample, self.given)
        ):
            self.run.replace(state)

    def _data(self, output: Tensor, state: Tensor) -> Tensor:
        """The data prediction of an answer."""
        if self.run is None:
            return output
        node = self.run.evals[self.run.asked].node
        if node.alpha == 0.0 and self.network in ("noise", "score"):
            return output
        a, b = conversion(self.network, "data", node)
        return a * state + b * output

    def add_noise(self, data: Tensor, noise: Tensor, at: Tensor) -> Tensor:
        """``alpha x_0 + sigma eps`` at the labels ``at``, shape (B,) or (1,)."""
        nodes = [level(self.process, float(v), self.count) for v in at.flatten().tolist()]
        if len(nodes) not in (1, len(data)) or noise.shape != data.shape:
            msg = (
                f"noise {tuple(noise.shape)} and {len(nodes)} timesteps do not fit samples "
                f"{tuple(data.shape)}"
            )
            raise ShapeError(msg)
        shape = (-1, *[1] * (data.ndim - 1))
        wide = torch.promote_types(data.dtype, torch.float32)
        pairs = torch.tensor([(n.alpha, n.sigma) for n in nodes], dtype=torch.float64)
        alpha, sigma = (pairs[:, k].reshape(shape).to(data.device, wide) for k in (0, 1))
        return (alpha * data.to(wide) + sigma * noise.to(wide)).to(data.dtype)


def _near(a: float, b: float) -> bool:
    """Equal as float32 timesteps."""
    return abs(a - b) <= 1e-6 * max(1.0, abs(a))
