"""Schedulers of diffusers as foreign samplers, all through one loop.

A pipeline of diffusers runs ::

    scheduler.set_timesteps(n)
    for t in scheduler.timesteps:
        out = network(scheduler.scale_model_input(sample, t), t)
        sample = scheduler.step(out, t, sample).prev_sample

and so does the loop here, for every scheduler class that has these methods. What differs between
them is the scale of the sample and where the level of noise of an evaluation is kept; see
:mod:`.diffusers_levels`.

Two modes. ``exact=False`` runs a scheduler as shipped: float32 tables and states. ``exact=True``
answers in float64 whatever it asks for in float32; its levels are then its own to 1e-15, and only
the times it hands to the network stay rounded as the library rounds them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import warnings
from typing import Any

from torch import Tensor

from ..errors import FokkerError
from ..grids import Grid
from ..process import Node, Process
from .diffusers_levels import Levels, levels_of
from .diffusers_tables import put_on_grid
from .foreign import Foreign
from .foreign_error import ForeignError
from .intercept import Intercept

NOT_SAMPLERS = ("Inverse", "RePaint", "VQ", "Amused", "Unmask")
"""Words in the names of schedulers that do not carry noise to data by themselves."""


def schedulers() -> tuple[str, ...]:
    """Names of all scheduler classes of the installed diffusers.

    Raises
    ------
    ForeignError
        Of kind ``"not installed"``.
    """
    module = _diffusers()
    names = [n for n in dir(module.schedulers) if n.endswith("Scheduler")]
    return tuple(sorted(n for n in names if isinstance(_find(module, n), type)))


def scheduler(name: str, **config: Any) -> Any:
    """A scheduler as shipped, for comparisons with its own pace.

    Raises
    ------
    ForeignError
        As for :func:`native`.
    """
    return _make(name, config, exact=False)[1]


def native(
    name: str,
    steps: int,
    *,
    exact: bool = True,
    step_options: dict[str, Any] | None = None,
    set_options: dict[str, Any] | None = None,
    **config: Any,
) -> Foreign:
    """A scheduler on its own levels.

    Parameters
    ----------
    name : str
        Class name, with or without ``Scheduler``: ``"DPMSolverMultistep"``.
    steps : int
        ``num_inference_steps``.
    exact : bool
        Float64 throughout, or as shipped.
    step_options, set_options : dict, optional
        Further arguments of ``step`` (``eta``, ``s_churn``, ...) and ``set_timesteps``.
    **config
        Arguments of the constructor.

    Raises
    ------
    ForeignError
        If diffusers is not installed, has no such scheduler, or its constructor refuses.
    """
    kind, scheduler = _make(name, config, exact)
    modules = (kind.__module__,)
    options = dict(set_options or {})

    def reset() -> None:
        scheduler.set_timesteps(steps, **options)

    with Intercept(None, float64=exact, modules=modules):
        _try(name, reset)
        levels = levels_of(scheduler)
        start, end = levels.start(), levels.end()
    loop = _Loop(scheduler, reset, levels, dict(step_options or {}))
    return _foreign(kind, levels, start, end, loop, exact)


def on_grid(
    name: str,
    process: Process,
    grid: Grid,
    *,
    exact: bool = True,
    step_options: dict[str, Any] | None = None,
    **config: Any,
) -> Foreign:
    """A scheduler on the levels of a grid of ours, exactly, whatever its own table.

    A sampler that knows noise levels from a table of betas is given a table that holds the levels
    of the grid and nothing else; one that keeps a list of sigmas has its values replaced. On a
    grid that does not end at sigma = 0, a sampler that always ends there is stopped one step
    early.

    Raises
    ------
    ForeignError
        As for :func:`native`, and if the scheduler cannot be put on the grid.
    """
    placed = _try(
        name, lambda: put_on_grid(lambda c: _make(name, c, exact), config, grid, process, exact)
    )
    options, levels = dict(step_options or {}), placed.levels
    loop = _Loop(placed.scheduler, placed.reset, levels, options, placed.stop)
    return _foreign(placed.kind, levels, grid[0], grid[-1], loop, exact)


def _foreign(
    kind: type, levels: Levels, start: Node, end: Node | None, loop: _Loop, exact: bool
) -> Foreign:
    return Foreign(
        name=kind.__name__.removesuffix("Scheduler"),
        library="diffusers",
        version=importlib.metadata.version("diffusers"),
        process=levels.process,
        start=start,
        end=end,
        prediction=levels.prediction,
        loop=loop,
        exact=exact,
        modules=(kind.__module__,),
        notes=levels.notes,
    )


class _Loop:
    """What a pipeline does with a scheduler."""

    def __init__(
        self,
        scheduler: Any,
        reset: Any,
        levels: Levels,
        options: dict[str, Any],
        stop: int = 0,
    ) -> None:
        self.scheduler, self.reset, self.levels = scheduler, reset, levels
        accepted = inspect.signature(scheduler.step).parameters
        unknown = [o for o in options if o not in accepted]
        if unknown:
            msg = f"{type(scheduler).__name__}.step has no option {unknown[0]!r}"
            raise ForeignError(msg, kind="unknown name")
        self.options, self.stop = options, stop

    def __call__(self, session: Any, x: Tensor) -> Tensor:
        s, levels = self.scheduler, self.levels
        self.reset()
        if hasattr(s, "noise_sampler"):
            s.noise_sampler = lambda a, b: session.path(x, float(b), float(a))
        sample = x / levels.unit(levels.first())
        last = len(s.timesteps) - self.stop
        for t in s.timesteps[:last]:
            node, shown = levels.asked(sample, t)
            out = session.model(shown, node, label=levels.label(t), denoted=levels.denoted(t))
            out = levels.answer(out, sample, node)
            sample = s.step(out, t, sample, **self.options).prev_sample
            session.mark(sample * levels.unit(levels.now()), levels.now())
        return sample * levels.unit(levels.now())


def _diffusers() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("diffusers")
    except ImportError as error:
        msg = f"diffusers is not installed ({error}); 'pip install diffusers' brings it"
        raise ForeignError(msg, kind="not installed") from error


def _find(module: Any, name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(module.schedulers, name)
    except (AttributeError, ImportError, RuntimeError):  # a name whose class is gone
        return None


def _make(name: str, config: dict[str, Any], exact: bool) -> tuple[type, Any]:
    """The class and one scheduler of it, built in our precision."""
    module = _diffusers()
    name = name if name.endswith("Scheduler") else f"{name}Scheduler"
    kind = _find(module, name)
    if not isinstance(kind, type) or not hasattr(kind, "set_timesteps"):
        msg = f"diffusers {module.__version__} has no scheduler {name!r} to run"
        raise ForeignError(msg, kind="unknown name")
    with (
        warnings.catch_warnings(),
        Intercept(None, float64=exact, modules=(kind.__module__,)),
    ):
        warnings.simplefilter("ignore")
        return kind, _try(name, lambda: kind(**config))


def _try(name: str, call: Any) -> Any:
    try:
        return call()
    except FokkerError:
        raise
    except Exception as error:  # anybody's code
        text = " ".join(str(error).split())
        msg = f"diffusers {name} raised {type(error).__name__}: {text}"
        raise ForeignError(msg, kind="raised") from error
