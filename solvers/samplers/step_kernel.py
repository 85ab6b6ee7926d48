"""The linear part of a stochastic step, and integrals against it, for any shape of eta.

With ``E(a, b) = int_a^b eta dlam`` and ``K(l) = e^{-(lam_t - l) - E(l, lam_t)}``: a step keeps
``(sigma_t/sigma_s) e^{-E}`` of the state, weights model outputs by ``int (1 + eta) K l_j``, and
adds noise of variance ``sigma_t^2 (1 - e^{-2E})``. See ``eta_shapes``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import InvalidPlanError
from ..plan import Tape
from ..process import Array, Node
from ..quadrature import exp_weights, lagrange, panel_rule
from ..rows import Output, data_row, half_weights, midpoint_weights
from .eta_shapes import (
    FINE,
    FORGOTTEN,
    Eta,
    EtaShape,
    Level,
    as_shape,
    check_eta,
    integral,
    values,
)


class StepKernel:
    """The linear part of one step from s to t, and integrals of polynomials against it.

    Places are fractions c of the step in lam, 0 at s and 1 at t.
    """

    def __init__(self, eta: Eta, s: Node, t: Node) -> None:
        self.shape, self.s, self.t = as_shape(eta), s, t
        self.h = t.lam - s.lam
        only = self.shape.pieces(s.lam, t.lam)
        level = only[0][2] if len(only) == 1 else None
        self._eta = None if level is None or callable(level) else float(level)

    def lam(self, c: float) -> float:
        """The lam at a place of the step."""
        return self.t.lam if c == 1.0 else self.s.lam + c * self.h

    def spent(self, c: float) -> float:
        """``E(s, c)``."""
        if self._eta is not None:
            return self._eta * c * self.h if self._eta else 0.0
        return self.shape.total(self.s.lam, self.lam(c))

    @property
    def mean_eta(self) -> float:
        """Mean of eta over the step."""
        return self._eta if self._eta is not None else self.spent(1.0) / self.h

    def keep(self, at: Node, c: float) -> float:
        """Weight of the state at s in the state at place c, which is the node ``at``."""
        return math.exp(at.log_sigma - self.s.log_sigma - self.spent(c))

    def share(self, c: float) -> float:
        """Variance of the step's Brownian motion at place c, over that at its end."""
        if c == 1.0:
            return 1.0
        part, whole = 2 * self.spent(c), 2 * self.spent(1.0)
        return math.exp(part - whole) * -math.expm1(-part) / -math.expm1(-whole) if part else 0.0

    def weights(self, places: Sequence[float], c: float = 1.0) -> Array:
        """``int (1 + eta) K l_j`` over [0, c], l_j the Lagrange basis on the given places."""
        if self._eta is not None:
            z = -(1.0 + self._eta) * c * self.h
            return -z * exp_weights([p / c for p in places], z)
        end, total = self.lam(c), np.zeros(len(places))
        for low, high, level in self.shape.pieces(self.s.lam, end):
            after = end - high + self.shape.total(high, end)
            total += math.exp(-after) * self._piece(places, low, high, level)
        return total

    def _piece(self, places: Sequence[float], low: float, high: float, level: Level) -> Array:
        """The same on one smooth piece, with the kernel 1 at its end."""
        width = high - low
        largest = float(np.max(values(level, np.linspace(low, high, 5))))
        u, w = panel_rule((FINE if callable(level) else 1.0 + largest) * width)
        lams = low + u * width
        if callable(level):
            spent = np.array([integral(level, a, high) for a in lams])
        else:
            spent = float(level) * (high - lams)
        density = (1.0 + values(level, lams)) * np.exp(lams - high - spent)
        return lagrange(places, (lams - self.s.lam) / self.h) @ (w * density) * width

    def noise(self, tape: Tape) -> list[tuple[int, float]]:
        """The noise of the step: one standard normal for each piece with noise, and its weight.

        A smooth piece belongs to the clock of its mean eta: the law is exact, and the path is the
        SDE's to the order a sampler with one noise a step can follow.
        """
        terms, left = [], 0.0
        for low, high, level in reversed(self.shape.pieces(self.s.lam, self.t.lam)):
            spent = integral(level, low, high)
            if spent > 0.0:
                low = max(low, high - FORGOTTEN) if callable(level) else low
                mean = spent / (high - low) if callable(level) else float(level)
                weight = self.t.sigma * math.exp(-left) * math.sqrt(-math.expm1(-2 * spent))
                terms.append((tape.noise(f"snr^{mean!r}", low, high), weight))
                left += spent
            if left == math.inf:
                break
        return terms


Rule = str
RULES = {"exact": exp_weights, "midpoint": midpoint_weights, "half": half_weights}
"""How two outputs are weighted: see ``rows``. More outputs are exact."""


def step_weights(kernel: StepKernel, places: Sequence[float], rule: Rule = "exact") -> Array:
    """Weights of model outputs at places of the step, older ones at negative places."""
    if rule not in RULES:
        msg = f"the rule of weights must be one of {', '.join(RULES)}, got {rule!r}"
        raise InvalidPlanError(msg)
    if rule == "exact" or len(places) != 2:
        return kernel.weights(places)
    whole = float(kernel.weights([0.0])[0])
    slope = whole / 2 if rule == "midpoint" else (kernel.h + kernel.spent(1.0)) / 2
    base = list(places).index(0.0)
    weights = np.empty(2)
    weights[1 - base] = slope / places[1 - base]
    weights[base] = whole - weights[1 - base]
    return weights


def usable(s: Node, outputs: Sequence[Output]) -> list[Output]:
    """The outputs a row in lam may use: none at ``alpha = 0`` beside others, one from there."""
    finite = [o for o in outputs if o[1].alpha > 0.0]
    return finite if finite and s.alpha > 0.0 else list(outputs[:1])


def mean_terms(
    kernel: StepKernel, x: int, outputs: Sequence[Output], rule: Rule = "exact"
) -> list[tuple[int, float]]:
    """What a step keeps of x, and what it takes of the outputs (newest first)."""
    s, t = kernel.s, kernel.t
    outputs = usable(s, outputs)
    keep = kernel.spent(1.0)
    start = [] if keep == math.inf else [(x, math.exp(t.log_sigma - s.log_sigma - keep))]
    if s.alpha == 0.0:
        return [*start, (outputs[0][0], t.alpha)]
    places = [(node.lam - s.lam) / kernel.h for _, node in outputs]
    w = t.alpha * step_weights(kernel, places, rule)
    return [*start, *((m, wj) for (m, _), wj in zip(outputs, w, strict=True))]


def eta_row(
    tape: Tape,
    s: Node,
    t: Node,
    x: int,
    outputs: Sequence[Output],
    *,
    eta: Eta,
    rule: Rule = "exact",
) -> int:
    """The update on data predictions for any shape of eta; outputs newest first.

    For a number it is :func:`~fokker.solvers.rows.data_row`, vector by vector.
    """
    if not isinstance(eta, EtaShape) and not callable(eta):
        check_eta(eta)
        return data_row(tape, s, t, x, outputs, eta=eta, weights=RULES[rule])
    if t.sigma == 0.0:
        return tape.lin((outputs[0][0], t.alpha))
    kernel = StepKernel(eta, s, t)
    return tape.lin(*mean_terms(kernel, x, outputs, rule), *kernel.noise(tape))
