"""A stochastic differential equation: drift, diffusion, the kind of noise, the calculus.

``dX = f(t, X) dt + g(t, X) dW``  (Ito)   or   ``dX = f(t, X) dt + g(t, X) o dW``  (Stratonovich)

The kind of noise is a promise about g on which the order of a method rests:

=============  ========================================  ==================  ==================
``noise``      what it promises                          shape of g          noises of a sample
=============  ========================================  ==================  ==================
``additive``   g does not depend on x                    broadcasts to x     one a coordinate
``diagonal``   coordinate i of g depends on x_i only     broadcasts to x     one a coordinate
``scalar``     one noise drives all coordinates          broadcasts to x     one
``general``    nothing; the columns need not commute     (B, *D, noises)    ``noises``
=============  ========================================  ==================  ==================

Not to be confused with the reverse diffusions of the registry, whose drift is linear up to the
model's answer and which are Plans.  Here time increases and nothing is known of f and g.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor
from torch.func import jvp

from ..errors import NonFiniteError, ShapeError
from .errors import InvalidEquationError, NegativeDiffusionError, samples_in_words

if TYPE_CHECKING:
    from .method import Cell

Kind = Literal["additive", "diagonal", "scalar", "general"]
Calculus = Literal["ito", "stratonovich"]
Field = Callable[[float, Tensor], Any]  # a tensor; the diffusion may also be a number


@dataclass(frozen=True)
class SDE:
    """Drift and diffusion of an equation, and what is promised about them.

    Parameters
    ----------
    drift : callable
        ``f(t, x)``: t a float, x of shape (B, *D); the same shape.
    diffusion : callable
        ``g(t, x)``: a tensor of the shape in the table above, or a number.
    noise : {"diagonal", "additive", "scalar", "general"}
        The kind of noise.
    calculus : {"ito", "stratonovich"}
        How the stochastic integral is meant; the same for additive noise.
    noises : int, optional
        Number of noises of a sample; needed for general noise, refused for the others.
    signed : bool
        Whether the diffusion may be negative, as ``sigma x`` is where x is. Otherwise a negative
        value is an error: it is a slip, or a step that crossed zero. General noise has no sign.

    Raises
    ------
    InvalidEquationError
        If the kind, the calculus or the number of noises is none of those.

    Examples
    --------
    >>> sde = SDE(lambda t, x: -x, lambda t, x: 0.5, noise="additive")
    >>> sde.g(0.0, torch.ones(2, 3)).item()
    0.5
    """

    drift: Field
    diffusion: Field
    noise: Kind = "diagonal"
    calculus: Calculus = "ito"
    noises: int | None = None
    signed: bool = False

    def __post_init__(self) -> None:
        if self.noise not in get_args(Kind):
            msg = f"unknown kind of noise {self.noise!r}; accepted: {', '.join(get_args(Kind))}"
            raise InvalidEquationError(msg)
        if self.calculus not in get_args(Calculus):
            msg = f"unknown calculus {self.calculus!r}; accepted: {', '.join(get_args(Calculus))}"
            raise InvalidEquationError(msg)
        general = self.noise == "general"
        whole = isinstance(self.noises, int) and self.noises >= 1
        if general != (self.noises is not None) or (general and not whole):
            wants = "needs a positive number of noises" if general else "has no number of noises"
            msg = f"{self.noise} noise {wants}, got {self.noises}"
            raise InvalidEquationError(msg)

    def f(self, t: float, x: Tensor) -> Tensor:
        """Drift at (t, x), of the shape of x.

        Raises
        ------
        ShapeError
            If it has another shape or dtype.
        """
        value = self.drift(t, x)
        shape = tuple(getattr(value, "shape", ()))
        if not isinstance(value, Tensor) or shape != tuple(x.shape):
            msg = f"the drift must have the shape of the state {tuple(x.shape)}, got {shape}"
            raise ShapeError(msg)
        if value.dtype != x.dtype:
            msg = f"the drift must have the dtype of the state {x.dtype}, got {value.dtype}"
            raise ShapeError(msg)
        return value

    def g(self, t: float, x: Tensor) -> Tensor:
        """Diffusion at (t, x), which broadcasts to x, or is (B, *D, noises) for general noise.

        Raises
        ------
        ShapeError
            If it has another shape or dtype, or is no number.
        NegativeDiffusionError
            If a value is negative and the equation was not declared ``signed``.
        """
        value = self.raw_g(t, x)
        if self.noises is not None:
            wanted = (*x.shape, self.noises)
            fits = value.shape == wanted
        else:
            wanted = x.shape
            fits = value.dim() == 0 or value.shape == wanted or _broadcasts(value, wanted)
        if not fits:
            msg = f"the diffusion must have the shape {tuple(wanted)}, got {tuple(value.shape)}"
            raise ShapeError(msg)
        if value.dtype != x.dtype:
            msg = f"the diffusion must have the dtype of the state {x.dtype}, got {value.dtype}"
            raise ShapeError(msg)
        if self.noises is None and not self.signed and _smallest(value) < 0:
            raise _negative(value.detach().expand(x.shape), t)
        return value

    def raw_g(self, t: float, x: Tensor) -> Tensor:
        """Diffusion as a tensor, not checked; a single number in the dtype of the state."""
        value = self.diffusion(t, x)
        if isinstance(value, Tensor):
            return value if value.dim() else value.to(x.dtype)
        try:
            return torch.as_tensor(value, dtype=x.dtype, device=x.device)
        except (TypeError, ValueError, RuntimeError):
            msg = f"the diffusion must be a tensor or a real number, got {value!r}"
            raise ShapeError(msg) from None

    def kick(self, g: Tensor, w: Tensor) -> Tensor:
        """``g w``: the diffusion applied to noises of the shape of :meth:`noise_like`."""
        if self.noises is None:
            return g * w
        return torch.einsum("b...m,bm->b...", g, w)

    def noise_like(self, x: Tensor) -> Tensor:
        """A tensor of the shape that the noises of a step have for the batch x."""
        if self.noises is not None:
            return x.new_empty(x.shape[0], self.noises)
        if self.noise == "scalar":
            return x.new_empty(x.shape[0], *(1 for _ in x.shape[1:]))
        return x

    def correction(self, t: float, x: Tensor) -> Tensor:
        """``sum_k (g_k . grad) g_k`` over the columns of g: twice Stratonovich's drift.

        For diagonal noise it is ``g_i dg_i/dx_i``, by one directional derivative.
        """
        if self.noise == "additive":
            return torch.zeros_like(x)
        if self.noises is None:
            g = self.raw_g(t, x).expand(x.shape)
            return jvp(lambda y: self.raw_g(t, y).expand(x.shape), (x,), (g,))[1]
        g = self.raw_g(t, x)
        columns = range(self.noises)
        parts = [jvp(lambda y: self.raw_g(t, y), (x,), (g[..., k],))[1][..., k] for k in columns]
        return torch.stack(parts).sum(0)

    def converted(self, calculus: Calculus) -> SDE:
        """The same process written in a calculus: ``f_strat = f_ito - (1/2) sum_k g_k' g_k``."""
        same = replace(self, calculus=calculus)
        if calculus == self.calculus or self.noise == "additive":
            return same
        sign = -0.5 if calculus == "stratonovich" else 0.5
        return replace(same, drift=lambda t, x: self.f(t, x) + sign * self.correction(t, x))

    def check_noise(self, t: float, x: Tensor) -> None:
        """Look whether g keeps at (t, x) what its kind of noise promises.

        Additive noise: no derivative of g by x. Diagonal noise: a diagonal Jacobian J, so that
        ``(J v)_i/v_i`` is the same for every v; two v are compared. The other kinds promise
        nothing. No solve does this by itself: it costs two derivatives of g.

        Raises
        ------
        InvalidEquationError
            If g breaks its promise: methods then have strong order 1/2, whatever they declare, or
            (additive noise) the limit of the other calculus.
        """
        if self.noise not in ("additive", "diagonal"):
            return
        generator = torch.Generator().manual_seed(1)
        seen = []
        for _ in range(2):
            v = (1 + torch.rand(tuple(x.shape), generator=generator, dtype=torch.float64)).to(x)
            slope = jvp(lambda y: self.raw_g(t, y).expand(x.shape) + 0 * y, (x,), (v,))[1]
            seen.append(slope / v)
        first, second = seen if self.noise == "diagonal" else (seen[0], torch.zeros_like(x))
        gap = float((first - second).abs().max())
        if not gap <= 1e3 * torch.finfo(x.dtype).eps * (1 + float(first.abs().max())):
            what = "other coordinates" if self.noise == "diagonal" else "the state"
            msg = (
                f"the diffusion of a coordinate depends on {what} "
                f"(by {gap:.2g} at t = {t:.6g}), so the noise is not {self.noise}; "
                f"declare it {'general' if self.noise == 'diagonal' else 'diagonal or general'}"
            )
            raise InvalidEquationError(msg)


def _smallest(value: Tensor) -> float:
    """The smallest number of a tensor."""
    value = value.detach()
    return value.item() if value.dim() == 0 else value.amin().item()


def _broadcasts(value: Tensor, shape: tuple[int, ...]) -> bool:
    # by hand: torch.broadcast_shapes costs as much as a step of a small state
    tail = shape[len(shape) - value.dim() :]
    return value.dim() <= len(shape) and all(
        n in (1, m) for n, m in zip(value.shape, tail, strict=True)
    )


def _negative(g: Tensor, t: float) -> NegativeDiffusionError:
    rows = (g < 0).flatten(1).any(1).nonzero().flatten().tolist()
    msg = (
        f"the diffusion is negative (smallest value {float(g.min()):.6g}) at t = {t:.6g}"
        f" in {samples_in_words(rows)}; declare signed=True if it may be"
    )
    return NegativeDiffusionError(msg, t=t, sample_ids=rows)


def broken_by(sde: SDE, cell: Cell, x: Tensor) -> str:
    """Which of drift and diffusion is not finite at x, at either end of the step, in words."""
    for t in (cell.t, cell.t + cell.h):
        if not bool(torch.isfinite(sde.drift(t, x)).all()):
            return "the drift is not finite"
        if not bool(torch.isfinite(sde.raw_g(t, x)).all()):
            return "the diffusion is not finite"
    return "the state overflowed"


def not_finite(
    sde: SDE, cell: Cell, before: Tensor, after: Tensor, step: int | None, ids: Sequence[int]
) -> NonFiniteError:
    """The error for a step over the cell from ``before`` that ended in ``after``."""
    bad = (~torch.isfinite(after)).flatten(1).any(1).nonzero().flatten().tolist()
    named = [ids[i] for i in bad]
    noises = (cell.xi,) if cell.zeta is None else (cell.xi, cell.zeta)
    good = all(bool(torch.isfinite(z).all()) for z in noises)
    why = broken_by(sde, cell, before.detach()) if good else "the noise is not finite"
    msg = (
        f"{'the step' if step is None else f'step {step}'} from t = {cell.t:.6g} gave values "
        f"that are not finite in {samples_in_words(named)}: {why}"
    )
    return NonFiniteError(msg, step=step, t=cell.t, sample_ids=named)
