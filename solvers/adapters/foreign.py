"""What a sampler of another library looks like to us: one loop, run against a session.

A :class:`Foreign` is a sampler on its own levels of noise. Its ``loop(session, x)`` is the foreign
code, started at ``x`` and returning the sample, both in the scale of the process. Whatever it
wants from outside it asks the session for::

    session.model(x, node, label=..., denoted=...)   the model's output for the state x
    session.mark(x, node)                            x is the state after a step
    session.draw(like)                               standard normal numbers
    session.path(like, s, t)                         increment of a Brownian path / root of |s - t|

``node`` is the level of noise that the sampler's own formula assumes for ``x``; ``label`` the time
that the library hands to the network, and ``denoted`` the level that this time stands for. The two
levels differ where a library rounds its times. One loop serves every purpose: the session that
feeds unit vectors gives the plan (``trace.py``), the one that asks a model gives samples
(:func:`run_foreign`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..checks import check_state
from ..errors import FokkerError, NonFiniteError
from ..grids import Grid
from ..model import Model, conversion
from ..noise import NoiseSource
from ..plan import Noise
from ..process import Node, Process
from ..registry import Sampler
from .basis import OtherCourse, increment
from .blackbox import BlackBoxRun, as_source
from .foreign_error import ForeignError
from .intercept import Intercept
from .levels import lam_of_rho


class Session(Protocol):
    """What a loop may ask for; see the module."""

    def model(
        self, x: Tensor, node: Node, *, label: float | None = None, denoted: Node | None = None
    ) -> Tensor:
        """The model's output at ``x``, of the dtype and shape of ``x``."""
        ...

    def mark(self, x: Tensor, node: Node) -> None:
        """Declare ``x`` the state after a step that ends at ``node``."""
        ...

    def draw(self, like: Tensor) -> Tensor:
        """A standard normal field."""
        ...

    def path(self, like: Tensor, s: float, t: float) -> Tensor:
        """Increment from s to t of one Brownian path in the clock of s and t, over its root."""
        ...


Loop = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Foreign:
    """A sampler of another library on its levels.

    Attributes
    ----------
    name, library, version : str
        Where it comes from.
    process : Process
        The forward process whose levels it visits.
    start, end : Node
        Where the loop takes over and where it ends; the end is None if nobody says.
    prediction : str
        What it asks of the model.
    loop : callable
        ``loop(session, x) -> x``.
    exact : bool
        Whether the foreign code is made to compute in float64.
    modules : tuple of str
        Modules whose NumPy is made float64, too.
    notes : tuple of str
        Sentences for a report.
    """

    name: str
    library: str
    version: str
    process: Process
    start: Node
    end: Node | None
    prediction: str
    loop: Loop
    exact: bool = True
    modules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def run(self, session: Session, x: Tensor) -> Tensor:
        """The loop, in our precision and with the session's noise.

        Raises
        ------
        ForeignError
            Of kind ``"raised"``, quoting what the foreign code raised.
        """
        intercept = Intercept(session.draw, float64=self.exact, modules=self.modules)
        with torch.no_grad(), intercept:
            try:
                return self.loop(_Guarded(session, intercept), x)
            except (FokkerError, OtherCourse):
                raise
            except Exception as error:  # anybody's code
                text = " ".join(str(error).split())
                msg = f"{self.library} {self.name} raised {type(error).__name__}: {text}"
                raise ForeignError(msg, kind="raised") from error


class _Guarded:
    """A session whose model is asked outside of the interception of foreign code."""

    def __init__(self, session: Session, intercept: Intercept) -> None:
        self.session, self.intercept = session, intercept
        self.mark, self.draw, self.path = session.mark, session.draw, session.path

    def model(self, *args: Any, **kwargs: Any) -> Tensor:
        """The same."""
        with self.intercept.outside():
            return self.session.model(*args, **kwargs)


def draw_cell(number: int) -> Noise:
    """The cell of a draw: numbered, since nothing says of which path it is an increment."""
    return Noise("churn", float(number), float(number + 1))


def path_cell(low: float, high: float) -> Noise:
    """The cell of an increment of a path in sigma, as a stretch of lam."""
    return Noise("lam", lam_of_rho(high), lam_of_rho(low))


class LiveSession:
    """A session that asks a model, and a source of noise cells."""

    def __init__(
        self,
        foreign: Foreign,
        model: Model,
        source: NoiseSource | None,
        *,
        given: str,
        as_labelled: bool,
    ) -> None:
        self.foreign, self.ask, self.source, self.given = foreign, model, source, given
        self.as_labelled, self.seen = as_labelled, set()
        self.asked, self.draws = 0, 0
        self.cells: dict[tuple[float, float], Tensor] = {}

    def model(
        self, x: Tensor, node: Node, *, label: float | None = None, denoted: Node | None = None
    ) -> Tensor:
        """The model's answer at the level of the formula, or at the one of the label."""
        del label
        at = denoted if self.as_labelled and denoted is not None else node
        self.asked += 1
        self.seen.add((at.t, float(x.double().sum())))
        a, b = conversion(self.given, self.foreign.prediction, at)
        out = b * self.ask(x, at.t)
        return (out + a * x if a else out).to(x.dtype)

    def mark(self, x: Tensor, node: Node) -> None:
        """Nobody looks here."""

    def draw(self, like: Tensor) -> Tensor:
        """The noise of a cell of its own."""
        self.draws += 1
        return as_source(self.source).draw(draw_cell(self.draws - 1), like)

    def path(self, like: Tensor, s: float, t: float) -> Tensor:
        """The increment over [s, t], from cells whose ends are those asked for so far."""

        def make(a: float, b: float) -> Tensor:
            return as_source(self.source).draw(path_cell(a, b), like)

        return increment(self.cells, make, s, t)


def run_foreign(
    foreign: Foreign,
    model: Model,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    given: str = "noise",
    as_labelled: bool = False,
) -> BlackBoxRun:
    """Sample with the foreign code itself.

    Parameters
    ----------
    foreign : Foreign
        The sampler.
    model : callable
        ``model(x, t)``, giving the prediction ``given``; t is a time of ``foreign.process``.
    x : Tensor
        Start at ``foreign.start``, shape (B, *D), in the scale of the process.
    noise : int or NoiseSource, optional
        Needed if the sampler draws any.
    as_labelled : bool
        Ask the model at the level that the library's own time label denotes, as the library's
        users do, instead of at the level that its formula assumes.

    Raises
    ------
    ForeignError, NonFiniteError
        If it raises, or its sample is not finite.
    """
    check_state(x, "x")
    source = None if noise is None else as_source(noise)
    session = LiveSession(foreign, model, source, given=given, as_labelled=as_labelled)
    end = foreign.run(session, x.clone())
    if not bool(torch.isfinite(end).all()):
        bad = ~torch.isfinite(end).reshape(end.shape[0], -1).all(1)
        ids = tuple(bad.nonzero().flatten().tolist())
        msg = f"the sample of {foreign.library} {foreign.name} is not finite in sample {ids[0]}"
        raise NonFiniteError(msg, sample_ids=ids)
    return BlackBoxRun(end.to(x.dtype), len(session.seen), session.asked)


def foreign_sampler(
    name: str, on_grid: Callable[[Process, Grid], Foreign], **claims: Any
) -> Sampler:
    """A foreign sampler as a black box that the analysis can measure; it is not registered.

    Parameters
    ----------
    name : str
        What to call it.
    on_grid : callable
        ``on_grid(process, grid) -> Foreign``, one of the ``on_grid`` functions of the boxes.
    **claims
        Claims of the :class:`~fokker.solvers.registry.Sampler` (``order``, ``weak``, ...); none
        are needed.
    """

    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: NoiseSource | int | None = None,
    ) -> BlackBoxRun:
        return run_foreign(on_grid(process, grid), model, x, noise=noise)

    facts: dict[str, Any] = {"nfe": lambda _steps: 0, "source": "a foreign sampler", **claims}
    return Sampler(name=name, build=build, kind="blackbox", prediction="noise", **facts)
