"""The registry of samplers: a claim is data, declared beside the formula, and it is a test.

A sampler is one pure function ``(process, grid, **options) -> Plan``, declared with
:func:`sampler` in any module of this package, in the user's own file, or in a plug-in that names
itself under the entry-point group ``fokker.samplers``. Two further kinds share the registry:
``stepper`` (adaptive or data-dependent methods) and ``blackbox`` (solvers of other libraries).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from .errors import FokkerError, InvalidGridError, InvalidPlanError, UnknownSamplerError

KINDS = ("plan", "stepper", "blackbox")
ENTRY_POINT_GROUP = "fokker.samplers"


@dataclass(frozen=True)
class Sampler:
    """A sampler and what it claims.

    Attributes
    ----------
    name : str
        Unique name, the one the command line uses.
    build : callable
        ``(process, grid, **options) -> Plan`` for kind ``"plan"``; see the protocols of the other
        kinds in ``stepper.py`` and ``adapters``.
    order : int, optional
        Order of the formula on the probability-flow ODE with exact history and no step to
        sigma 0. ``None`` for stochastic samplers.
    order_cold : int, optional
        Order of the sampler as it runs by itself: own start, own last step, no step to sigma 0.
    weak, weak_cold, strong : float, optional
        The same for stochastic samplers.
    noisy : bool
        That it draws noise although it declares no weak order, because it has none.
    sde_eta : float, optional
        The eta of the SDE that a stochastic sampler solves in the limit, with its own options.
    nfe : callable
        ``nfe(steps)``: declared number of model evaluations, checked against the plan.
    prediction : str
        What the plan asks of the model.
    source : str
        Authors, year, arXiv id and equation.
    history : int
        How many earlier nodes an exact warm start uses (inputs ``m-1`` .. ``m-history``).
    multiple : int
        The number of steps must be a multiple of this.
    tolerance : float, optional
        Of a sampler that chooses its steps: with ``tol``, the median error over samples is at most
        this many times ``tol`` (see ``adapters/tolerance.py``).
    published_order : int, optional
        The order claimed in print, where it differs from the order it has.
    semilinear : bool
        Of a plan: exact, noise included, where the data prediction is constant. From
        ``N(alpha D, sigma^2 I)`` at the start it gives the same at the end, whatever the grid.
    scale_free : bool
        Of a plan: its coefficients know no unit of the data. With data, start and every sigma on
        EDM times c, the sample is c times what it was.
    clock : str
        Of a plan: ``"lam"`` if its coefficients depend on the process through alpha and sigma
        alone, ``"t"`` if also through the time. A semilinear plan in ``lam`` gives the same
        ``x/alpha`` on every process that shares the lams of its grid; one that does not, because
        it asks for sigma itself, is of the clock ``"level"``.
    fit : callable, optional
        Of a sampler with statistics to estimate or coefficients to search:
        ``fit(model, process, grid, starts, **settings) -> options``, the keyword arguments that
        the builder takes; ``starts`` is a batch of states at ``grid[0]``. It is not a claim: such
        a sampler runs unfitted too, with neutral defaults, and its claims are about that. A
        comparison must say which samplers were fitted, and on what.
    family, note : str
        Where it belongs; and one sentence on what it is confused with.
    """

    name: str
    build: Callable[..., Any]
    nfe: Callable[[int], int]
    prediction: str
    source: str
    order: int | None = None
    order_cold: int | None = None
    weak: float | None = None
    weak_cold: float | None = None
    strong: float | None = None
    noisy: bool = False
    sde_eta: float | None = None
    history: int = 0
    multiple: int = 1
    tolerance: float | None = None
    published_order: int | None = None
    semilinear: bool = True
    scale_free: bool = True
    clock: str = "lam"
    kind: str = "plan"
    fit: Callable[..., Mapping[str, Any]] | None = None
    family: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stochastic(self) -> bool:
        """Whether the sampler draws noise."""
        return self.noisy or self.weak is not None

    @property
    def fitted(self) -> bool:
        """Whether the sampler can be fitted to a model before it runs (see ``fit``)."""
        return self.fit is not None

    def __call__(self, process: Any, grid: Any, **options: Any) -> Any:
        """Build the plan of this sampler on a grid.

        Raises
        ------
        InvalidPlanError
            If the number of steps does not fit, there is no such option, or the builder fails on
            the options or on the grid.
        InvalidGridError
            If a sampler on the noise prediction or the score is to start at ``alpha = 0``: there
            ``eps = x/sigma`` whatever the data, so the first step has nothing to go by.
        """
        steps = len(grid)
        if steps % self.multiple:
            msg = f"{self.name} needs a number of steps divisible by {self.multiple}, got {steps}"
            raise InvalidPlanError(msg)
        if grid[0].alpha == 0.0 and self.prediction in ("noise", "score"):
            msg = (
                f"{self.name} asks for the {self.prediction} prediction and cannot start at "
                f"alpha = 0 (t = {grid[0].t}); start at a finite lam, or take a sampler on the "
                "data prediction"
            )
            raise InvalidGridError(msg)
        merged = {**self.options, **options}
        if options:
            self._check_options(options)
        try:
            return self.build(process, grid, **merged)
        except FokkerError:
            raise
        except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as error:
            given = ", ".join(f"{k}={_short(v)}" for k, v in merged.items()) or "its defaults"
            first, last = grid[0].lam, grid[-1].lam
            msg = (
                f"{self.name} cannot be built with {given} on {steps} steps from lam = {first:g} "
                f"to {last:g}: {type(error).__name__}: {' '.join(str(error).split())}"
            )
            raise InvalidPlanError(msg) from error

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse an option that the builder does not have, with those that it has."""
        taken = list(inspect.signature(self.build).parameters.values())[2:]
        if any(p.kind is p.VAR_KEYWORD for p in taken):
            return
        known = [p.name for p in taken]
        for name in options:
            if name not in known:
                accepted = ", ".join(known) or "none"
                msg = f"{self.name} has no option {name!r}; accepted: {accepted}"
                raise InvalidPlanError(msg)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else type(value).__name__


_SAMPLERS: dict[str, Sampler] = {}
_loaded: list[bool] = []
_plugin_modules: set[str] = set()


def sampler(*, name: str | None = None, **claims: Any) -> Callable[[Callable], Callable]:
    """Declare a sampler: the claims in the decorator are what the certificate tests.

    Examples
    --------
    >>> @sampler(name="my_euler", order=1, order_cold=1, nfe=lambda n: n, prediction="data",
    ...          source="me, today")
    ... def my_euler(process, grid):
    ...     from fokker.solvers.samplers.multistep import multistep
    ...     return multistep(process, grid, order=1)
    >>> unregister("my_euler")
    """

    def declare(build: Callable) -> Callable:
        doc = (build.__doc__ or "").strip().splitlines()
        note = claims.pop("note", doc[0] if doc else "")
        register(Sampler(name=name or build.__name__, build=build, note=note, **claims))
        return build

    return declare


def register(entry: Sampler) -> Sampler:
    """Add a sampler; its name must be new and its claims complete."""
    if entry.name in _SAMPLERS and _SAMPLERS[entry.name].build is not entry.build:
        msg = f"a sampler named {entry.name!r} is registered already"
        raise InvalidPlanError(msg)
    if entry.kind not in KINDS:
        msg = f"sampler kind must be one of {', '.join(KINDS)}, got {entry.kind!r}"
        raise InvalidPlanError(msg)
    if entry.clock not in ("lam", "level", "t"):
        msg = f"the clock of a sampler must be 'lam', 'level' or 't', got {entry.clock!r}"
        raise InvalidPlanError(msg)
    if not entry.source:
        msg = f"sampler {entry.name!r} needs a source"
        raise InvalidPlanError(msg)
    _SAMPLERS[entry.name] = entry
    return entry


def unregister(name: str) -> None:
    """Forget a sampler (for doctests and plug-ins that reload)."""
    _SAMPLERS.pop(name, None)


def is_registered(entry: Sampler) -> bool:
    """Whether this very entry is what its name stands for in a fresh process, too.

    Samplers of this package and of plug-ins are; those of a user's own script are not.
    """
    module = getattr(entry.build, "__module__", "") or ""
    package = (__package__ or "fokker.solvers").partition(".")[0]
    own = module.partition(".")[0] == package or module in _plugin_modules
    return own and _SAMPLERS.get(entry.name) is entry


def load_all() -> None:
    """Import every module of this package and every plug-in, once.

    A plug-in that cannot be imported is left out, with a warning that names it.
    """
    if _loaded:
        return
    package = importlib.import_module(__package__ or "fokker.solvers")
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
    _loaded.append(True)  # not before: after a failure half a registry must not pass for whole
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except Exception as error:  # anybody's code
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            msg = f"the plug-in {point.name} ({point.value}) cannot be loaded: {what}"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
        else:
            _plugin_modules.add(point.module)


def samplers(kind: str | None = None) -> tuple[Sampler, ...]:
    """All registered samplers, sorted by name, or those of one kind."""
    load_all()
    found = sorted(_SAMPLERS.values(), key=lambda s: s.name)
    return tuple(s for s in found if kind is None or s.kind == kind)


def get(name: str) -> Sampler:
    """The sampler of that name.

    Raises
    ------
    UnknownSamplerError
        With the nearest names.
    """
    load_all()
    if name not in _SAMPLERS:
        nearest = difflib.get_close_matches(name, _SAMPLERS, n=4, cutoff=0.4)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else "; see 'fokker samplers'"
        msg = f"unknown sampler {name!r}{hint}"
        error = UnknownSamplerError(msg)
        error.name, error.nearest = name, tuple(nearest)
        raise error
    return _SAMPLERS[name]
