"""The reverse equation as a foreign solver sees it: ``dx/ds = F(s, x)``, plus ``c(s) dW``.

The state is ``x`` itself, as users of general solvers have it (Song et al. 2021, 2011.13456, eqs.
6 and 13), with one semi-linear right-hand side ``a x + b eps`` in one of two variables s, both of
which increase while sampling:

=======  ========  ========================  =======================  =========================
clock    s         a                         b                        c
=======  ========  ========================  =======================  =========================
``lam``  ``lam``   ``dlog alpha/dlam``       ``-(1 + eta) sigma``     ``sqrt(2 eta) sigma``
``t``    ``-t``    ``-f``                    ``-(1 + eta) g^2/(2      ``sqrt(eta) g``
                                             sigma)``
=======  ========  ========================  =======================  =========================

eta = 0 is the probability-flow ODE, eta = 1 the reverse SDE. Because ``c`` depends on s alone the
noise is additive, and the Ito and Stratonovich readings agree. Nothing is integrated exactly: the
linear part ``a x`` is left to the solver. That is what sets these methods apart from exponential
integrators, which remove it.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError, ShapeError
from ..grids import Grid
from ..model import Model
from ..plan import Noise
from ..process import Node, Process


@dataclass(frozen=True)
class Clock:
    """The integration variable s of a foreign solver: ``"lam"`` (s = lam) or ``"t"`` (s = -t)."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in ("lam", "t"):
            msg = f"a black box integrates in 'lam' or in 't', got {self.name!r}"
            raise InvalidPlanError(msg)

    def s(self, node: Node) -> float:
        """Integration variable at a node."""
        return node.lam if self.name == "lam" else -node.t

    def node(self, process: Process, s: float) -> Node:
        """Node at a value of the integration variable."""
        return process.node_at_lam(s) if self.name == "lam" else process.node(-s)

    def cell(self, a: Node, b: Node, kind: str) -> Noise:
        """Noise cell of the step from a to b; its measure is ``s(b) - s(a)``."""
        return (
            Noise("lam", a.lam, b.lam, kind) if self.name == "lam" else Noise("t", a.t, b.t, kind)
        )

    def rates(self, process: Process, node: Node, eta: float) -> tuple[float, float, float]:
        """Coefficients ``(a, b, c)`` of ``dx = (a x + b eps) ds + c dW`` at a node."""
        f, dlam_dt, sigma = float(process.f(node.t)), float(process.dlam_dt(node.t)), node.sigma
        if self.name == "lam":
            return f / dlam_dt, -(1.0 + eta) * sigma, math.sqrt(2.0 * eta) * sigma
        g2 = -2.0 * sigma * sigma * dlam_dt
        return -f, -(1.0 + eta) * g2 / (2.0 * sigma), math.sqrt(eta * g2)


LAM, TIME = Clock("lam"), Clock("t")


class ReverseField:
    """The right-hand side ``a x + b eps(x, t)``: counts, checks and remembers.

    With ``remember`` the last answer is kept: a solver that asks the same question twice in a row
    (torchsde checks shapes before each call; a new SciPy solver begins where the last stage of the
    one before ended) is answered without asking the model again. ``asked`` counts the solver's
    questions, ``nfe`` the model's answers, which is the number of distinct (state, time) pairs.

    Parameters
    ----------
    model : callable
        Noise prediction ``model(x, t)``, x of shape (B, *D), t a float.
    process, grid, clock
        Where s runs; a last node with sigma = 0 is left out.
    like : Tensor
        The start: shape, dtype and device of what the model is given.
    eta : float
        0 for the ODE, 1 for the reverse SDE.
    remember : bool
        Off for solvers that never repeat themselves: in float32 two stages may agree by accident.

    Raises
    ------
    InvalidGridError
        If the grid starts at ``alpha = 0``, where the right-hand side is infinite.
    """

    def __init__(
        self,
        model: Model,
        process: Process,
        grid: Grid,
        clock: Clock,
        like: Tensor,
        eta: float = 0.0,
        remember: bool = True,
    ) -> None:
        if not math.isfinite(grid[0].lam):
            msg = (
                f"a black box cannot start at alpha = 0 (t = {grid[0].t}): the right-hand side is "
                "infinite there; start at a finite lam"
            )
            raise InvalidGridError(msg)
        if not (math.isfinite(eta) and eta >= 0):
            msg = f"eta must be a finite number >= 0, got {eta}"
            raise InvalidPlanError(msg)
        self.model, self.process, self.clock, self.eta = model, process, clock, eta
        self.nodes = grid.nodes[:-1] if grid.to_zero else grid.nodes
        self.s = [clock.s(node) for node in self.nodes]
        self.shape, self.dtype, self.device = like.shape, like.dtype, like.device
        self.nfe = self.asked = 0
        self.remember = remember
        self._by_s = dict(zip(self.s, self.nodes, strict=True))
        self._rates: dict[float, tuple[Node, float, float, float]] = {}
        self._last: tuple[float, Tensor, Tensor] | None = None

    def _at(self, s: float) -> tuple[Node, float, float, float]:
        """Node and rates at s, moved into the grid's range (solvers round s, some to float32)."""
        s = min(max(s, self.s[0]), self.s[-1])
        if s not in self._rates:
            node = self._by_s.get(s) or self.clock.node(self.process, s)
            self._rates[s] = (node, *self.clock.rates(self.process, node, self.eta))
        return self._rates[s]

    def noise_prediction(self, node: Node, x: Tensor) -> Tensor:
        """The model's eps at a node, checked; the newest answer is remembered."""
        self.asked += 1
        if self._last is not None and self._last[0] == node.t and torch.equal(self._last[1], x):
            return self._last[2]
        self._check_finite(x, node, "the state")
        question = x.reshape(self.shape).to(dtype=self.dtype, device=self.device)
        version = question._version
        answer = self.model(question, node.t)
        self.nfe += 1
        if question._version != version:
            msg = f"the model changed its input in place at t = {node.t}; it must leave x alone"
            raise ShapeError(msg)
        if not isinstance(answer, Tensor) or answer.shape != self.shape:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            want = tuple(self.shape)
            msg = f"the model's output at t = {node.t} must have shape {want}, got {got}"
            raise ShapeError(msg)
        eps = answer.detach().reshape(x.shape).to(dtype=x.dtype, device=x.device)
        self._check_finite(eps, node, "the model's output")
        if self.remember:
            self._last = (node.t, x.clone(), eps)
        return eps

    def drift(self, s: float, x: Tensor) -> Tensor:
        """``a x + b eps(x, t)`` at s; x in any shape with as many entries as the start."""
        node, a, b, _ = self._at(s)
        return a * x + b * self.noise_prediction(node, x)

    def diffusion(self, s: float) -> float:
        """``c(s)``."""
        return self._at(s)[3]

    def data_prediction(self, x: Tensor) -> Tensor:
        """``D = (x - sigma eps)/alpha`` at the last finite node: the step to sigma = 0."""
        node = self.nodes[-1]
        return (x - node.sigma * self.noise_prediction(node, x)) / node.alpha

    def _check_finite(self, x: Tensor, node: Node, what: str) -> None:
        finite = torch.isfinite(x).reshape(self.shape[0], -1).all(1)
        if bool(finite.all()):
            return
        step = max(1, bisect.bisect_left(self.s, self.clock.s(node)))
        ids = tuple((~finite).nonzero().flatten().tolist())
        shown = ", ".join(map(str, ids[:8]))
        msg = f"{what} is not finite in step {step} at t = {node.t}, samples {shown}"
        raise NonFiniteError(msg, step=step, t=node.t, sample_ids=ids)
