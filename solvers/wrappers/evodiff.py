"""EVODiff: a predictor-corrector in ``nu = alpha/sigma`` with factors chosen from the data.

Li, Chen & Zeng 2025, arXiv:2509.26096, and its public code. With ``h = nu_t - nu_s`` and r the
ratio of the last step in lam to this one, a step from D_1, D_0 (older, newest) is ::

    x^   = (sigma_t/sigma_s) x + sigma_t h D_0                          Euler in nu, that is DDIM
    x'   = x^ + (sigma_t h/2) G_1/r_i          D_t = model(x', t)       the probe; D_t is kept
    x_t  = x^ + (sigma_t h/2) B/zeta

``G`` are balanced differences of outputs, B mixes the backward with the forward one by a factor
eta, and eta and zeta are squashed projections of outputs on each other, one for each sample and
channel. Three versions:

* :func:`evodiff_theory`: plain differences divided by their steps, eta in [0, 1] by least
  squares, zeta = 1: what the theorem is about. Order 2 for whatever eta.
* :func:`evodiff`: the formulas of the code. Since ``(1 - 2 eta)/zeta`` is not 1, the slope enters
  with a wrong weight and the order is 1, whatever few steps show.
* :func:`evodiff_published`: with the last step of the code, which rescales x by ``1 -
  sqrt(sigma_s sigma_t)``; it needs a grid that ends where sigma is small, and has no order.

Not invariant: the code's factors use sigma and the time t (there EDM's sigma) themselves.

What the theory says, on exact laws. What a state leaves open of the data falls on every process;
the entropy of a *transition* does where alpha is constant, or the data narrow. Of two second-order
formulas the one on the data prediction has the smaller error in the directions where ``z = alpha
c/sigma < 1``, c the standard deviation, by ``|1 - 2 z^2|/|2 - z^2|``; where z > 1 it is as much
worse. And the mix of slopes of least variance is an end, not the mix of least error (eta = 1/6 on
equal steps): the better end where D flattens, the worse one where it steepens, between two modes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_finite, check_state
from ..errors import InvalidGridError
from ..grids import Grid
from ..model import Model
from ..process import Node, Process
from ..registry import Sampler, register
from ..stepper import StepperRun
from .wrapping import ask

TEMPERATURE, SHIFT, CLAMP, MANY = 0.25, 0.5, 2.0, 20
"""Constants of the public code: of the sigmoid of r, of zeta, of projections; "many" steps."""


@dataclass(frozen=True)
class Step:
    """The numbers of one step and the outputs it starts from."""

    p: Node
    s: Node
    t: Node
    ends: tuple[float, float]  # times of the first and the last node
    many: bool
    older: Tensor
    newest: Tensor

    @property
    def h(self) -> float:
        """Length of the step in nu."""
        return self.t.nu - self.s.nu

    @property
    def before(self) -> float:
        """Length of the last step in nu."""
        return self.s.nu - self.p.nu

    @property
    def r(self) -> float:
        """Ratio of the last step in lam to this one."""
        return (self.s.lam - self.p.lam) / (self.t.lam - self.s.lam)

    def euler(self, x: Tensor) -> Tensor:
        """DDIM."""
        return _euler(x, self.newest, self.s, self.t)


Rule = Callable[[Model, Step, Tensor, int], tuple[Tensor, Tensor]]
"""``(model, step, x, number) -> (new state, output at the probe)``."""
Last = Callable[[Step, Tensor], Tensor]
"""``(step, x) -> sample``, without an evaluation."""


def _euler(x: Tensor, data: Tensor, s: Node, t: Node) -> Tensor:
    ratio = math.exp(t.log_sigma - s.log_sigma)
    return ratio * x + t.alpha * -math.expm1(s.lam - t.lam) * data


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each sample and channel (axis 1, if there are axes after it)."""
    axes = tuple(range(2 if a.ndim > 2 else 1, a.ndim))
    return (a * b).sum(axes, keepdim=True)


def _onto(a: Tensor, b: Tensor) -> Tensor:
    """Coefficient of the projection of a on b, clamped; 0 where b vanishes."""
    size = _dot(b, b)
    safe = torch.where(size > 0, size, torch.ones_like(size))
    return torch.where(size > 0, _dot(a, b) / safe, 0.0).clamp(-CLAMP, CLAMP)


def _theory_step(model: Model, step: Step, x: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Any eta in [0, 1] has local error O(h^3); the one taken makes the mixed slope least."""
    euler, half = step.euler(x), 0.5 * step.t.sigma * step.h**2
    backward = (step.newest - step.older) / step.before
    data = ask(model, euler + half * backward, step.t, number)
    forward = (data - step.newest) / step.h
    eta = (0.5 + 0.5 * _onto(forward + backward, forward - backward)).clamp(0.0, 1.0)
    return euler + half * (eta * backward + (1 - eta) * forward), data


def _theory_last(step: Step, x: Tensor) -> Tensor:
    slope = (step.newest - step.older) / step.before
    return step.euler(x) + 0.5 * step.t.sigma * step.h**2 * slope


def _code_step(model: Model, step: Step, x: Tensor, number: int) -> tuple[Tensor, Tensor]:
    s, t, r, h = step.s, step.t, step.r, step.h
    half, euler = 0.5 * t.sigma * h, step.euler(x)
    place = (t.t + step.ends[1]) / (step.ends[0] + step.ends[1])
    weight = 0.5 * (1 - place**2)
    rate = t.sigma / s.sigma
    base = (1 - weight) * math.sqrt(rate * step.p.sigma / s.sigma)
    balance = base + weight * _onto(step.newest, step.older)
    backward = step.newest - balance * step.older
    factor = (torch.sigmoid(TEMPERATURE * balance.abs()) * r).clamp(0.25 * r, 1.5 * r)
    data = ask(model, euler + half / factor * backward, t, number)
    forward = data - (base + weight * _onto(data, step.newest)) * step.newest
    before, after = backward / (r * h), forward * (r / h)
    eta = 0.5 * torch.sigmoid((0.5 * _onto(after + before, after - before)).abs())
    mixed = -eta / r * backward + (1 - eta) * r * forward
    mismatch = half / factor * (backward - mixed)
    excess = (_onto(mismatch, backward) / (h * t.sigma)).abs() - SHIFT
    if step.many:
        plain = (step.newest - step.older) / h
        excess = -excess * torch.sigmoid(_onto(step.newest, plain) * (2 - rate**2))
    return euler + half / torch.sigmoid(excess) * mixed, data


def _code_last(step: Step, x: Tensor) -> Tensor:
    """DPM-Solver++(2M), which is what the published last step is near sigma 0, up to r."""
    slope = (step.newest - step.older) / step.r
    return step.euler(x) + 0.5 * step.t.sigma * step.h * slope


def _published_last(step: Step, x: Tensor) -> Tensor:
    rate = step.t.sigma / step.s.sigma
    kept = 1 - 0.5 * math.sqrt(rate if rate < 0.5 else rate - 0.5)
    scale = 1 - math.sqrt(step.t.sigma * step.s.sigma)
    slope = step.newest - kept * step.older
    return scale * step.euler(x) + 0.5 * step.t.sigma * step.h * slope


def _sample(model: Model, grid: Grid, x: Tensor, rule: Rule, last: Last) -> StepperRun:
    """First step DDIM, then ``rule``, then ``last``; a step to sigma 0 is the data prediction."""
    if not math.isfinite(grid[0].lam):
        msg = f"EVODiff needs a finite lam to start from, got lam = {grid[0].lam} (alpha = 0)"
        raise InvalidGridError(msg)
    check_state(x, "x")
    nodes = [n for n in grid.nodes if n.sigma > 0]
    count, ends = len(nodes) - 1, (nodes[0].t, nodes[-1].t)
    with torch.no_grad():
        data = older = ask(model, x, nodes[0], 0)
        nfe = 1
        for i in range(1, count + 1):
            s, t = nodes[i - 1], nodes[i]
            if i == 1:
                x = _euler(x, data, s, t)
                new = ask(model, x, t, i) if i < count else None
            else:
                step = Step(nodes[i - 2], s, t, ends, count > MANY, older, data)
                x, new = rule(model, step, x, i) if i < count else (last(step, x), None)
            if new is not None:
                older, data, nfe = data, new, nfe + 1
        if grid.to_zero:
            if count:
                data, nfe = ask(model, x, nodes[-1], count), nfe + 1
            x = grid[-1].alpha * data
    check_finite(x, "the sample", range(len(x)))
    return StepperRun(x, nfe, len(grid), 0)


def evodiff_theory(
    model: Model, process: Process, grid: Grid, x: Tensor, *, noise: object = None
) -> StepperRun:
    """EVODiff with plain differences, eta in [0, 1] and zeta = 1; see the module."""
    del noise, process
    return _sample(model, grid, x, _theory_step, _theory_last)


def evodiff(
    model: Model, process: Process, grid: Grid, x: Tensor, *, noise: object = None
) -> StepperRun:
    """EVODiff with the factors of its code and a plain last step; see the module."""
    del noise, process
    return _sample(model, grid, x, _code_step, _code_last)


def evodiff_published(
    model: Model, process: Process, grid: Grid, x: Tensor, *, noise: object = None
) -> StepperRun:
    """EVODiff as its code has it, last step included; see the module."""
    del noise, process
    return _sample(model, grid, x, _code_step, _published_last)


_SOURCE = "Li, Chen & Zeng 2025, arXiv:2509.26096"


def _declare(build: Callable[..., StepperRun], order: int | None, source: str, note: str) -> None:
    register(
        Sampler(
            name=build.__name__, build=build, kind="stepper", prediction="data",
            nfe=lambda n: n, order=order, order_cold=order, family="EVODiff", source=source,
            published_order=None if order == 2 else 2, note=note,
        )
    )  # fmt: skip


_declare(
    evodiff_theory, 2, f"{_SOURCE}, with eta in [0, 1] and zeta = 1",
    "Slopes before and after the step mixed by least squares; what EVODiff's theorem covers.",
)  # fmt: skip
_declare(
    evodiff, 1, f"{_SOURCE}, public code without its last step",
    "EVODiff with the squashed factors of its code: order 1, good at few steps.",
)  # fmt: skip
_declare(
    evodiff_published, None, f"{_SOURCE}, public code",
    "EVODiff as coded; its last step rescales the state and does not converge at a given sigma.",
)  # fmt: skip
