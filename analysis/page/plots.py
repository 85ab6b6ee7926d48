"""Figures of the certificate's page: logarithmic charts as inline SVG, drawn by hand.

Colours are classes, so that the page's style decides them in light and dark; every curve also has
its own marker, and every panel its numbers in words, so nothing rests on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..record import finite
from .text import claimed, esc, power, sci

CURVES = 6  # curves in one panel, each with a colour and a marker of its own
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 12.0, 10.0, 24.0
_MARKERS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",  # circle
    "M-2.7-2.7h5.4v5.4h-5.4z",  # square
    "M0-3.6L3.4 2.6H-3.4z",  # triangle
    "M0-3.8L3.8 0L0 3.8L-3.8 0z",  # diamond
    "M0 3.6L3.4-2.6H-3.4z",  # triangle on its head
    "M-3.3-1.1h2.2v-2.2h2.2v2.2h2.2v2.2h-2.2v2.2h-2.2v-2.2h-2.2z",  # plus
)


@dataclass(frozen=True)
class Axes:
    """Two logarithmic axes: the ends of x and of y (decades), and the size of the figure."""

    x: tuple[float, float]
    y: tuple[int, int]
    width: float = 300.0
    height: float = 200.0

    def px(self, value: float) -> float:
        """Horizontal place of a value."""
        low, high = (math.log(v) for v in self.x)
        part = (math.log(value) - low) / (high - low)
        return _LEFT + part * (self.width - _LEFT - _RIGHT)

    def py(self, value: float) -> float:
        """Vertical place of a value; values beyond the axis lie on its edge."""
        low, high = self.y
        part = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return self.height - _BOTTOM - min(1.0, max(0.0, part)) * self.depth

    @property
    def depth(self) -> float:
        """Height of the drawing between the axes."""
        return self.height - _TOP - _BOTTOM


def decades(values: Sequence[Any], *, top: int = 12, span: int = 18) -> tuple[int, int]:
    """Whole decades around the positive finite values, at least one, at most ``span``."""
    logs = [math.log10(v) for v in map(finite, values) if v is not None and v > 0]
    if not logs:
        return -1, 0
    high = min(top, math.ceil(max(logs) + 1e-9))
    low = min(high - 1, math.floor(min(logs) - 1e-9))
    return max(low, high - span), high


def frame(axes: Axes, xticks: Sequence[float]) -> str:
    """Grid lines and their numbers: at most five decades are named."""
    low, high = axes.y
    every = max(1, math.ceil((high - low) / 4))
    out = []
    for k in range(high, low - 1, -every):
        y = axes.py(10.0**k)
        out.append(f'<path class="grid" d="M{_LEFT:.0f} {y:.1f}H{axes.width - _RIGHT:.0f}"/>')
        out.append(f'<text class="ty" x="{_LEFT - 5:.0f}" y="{y + 3.5:.1f}">{power(k)}</text>')
    bottom = axes.height - _BOTTOM
    for x in xticks:
        out.append(f'<path class="tick" d="M{axes.px(x):.1f} {bottom:.1f}v4"/>')
        place = f'x="{axes.px(x):.1f}" y="{bottom + 15:.1f}"'
        out.append(f'<text class="tx" {place}>{x:g}</text>')
    edge = f'd="M{_LEFT:.0f} {bottom:.1f}H{axes.width - _RIGHT:.0f}"'
    return "".join([*out, f'<path class="axis" {edge}/>'])


def svg(axes: Axes, label: str, body: str) -> str:
    """A figure with a description for those who cannot see it."""
    box = f"0 0 {axes.width:g} {axes.height:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{esc(label)}">{body}</svg>'


def line(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> str:
    """A polyline of a class."""
    if len(points) < 2:
        return ""
    places = "L".join(f"{axes.px(x):.1f} {axes.py(y):.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{places}"/>'


def marker(axes: Axes, point: tuple[float, float], shape: int, kind: str) -> str:
    """One marker of a class."""
    x, y = axes.px(point[0]), axes.py(point[1])
    d = _MARKERS[shape % CURVES]
    return f'<path class="{kind}" transform="translate({x:.1f} {y:.1f})" d="{d}"/>'


def swatch_html(k: int) -> str:
    """Line and marker of curve k, for a legend in words."""
    d = _MARKERS[k % CURVES]
    shape = f'<path class="m c{k}" transform="translate(11 6)" d="{d}"/>'
    drawn = f'<path class="l c{k}" d="M0 6H22"/>{shape}'
    return f'<svg class="swatch" viewBox="0 0 22 12" aria-hidden="true">{drawn}</svg>'


def used_points(row: dict[str, Any]) -> int:
    """How many of the first points decided the order: one more than there are slopes.

    A fitted order without slopes is one through all points.
    """
    if row["slopes"]:
        return len(row["slopes"]) + 1
    return len(row["steps"]) if finite(row.get("order")) is not None else 0


def order_panel(row: dict[str, Any]) -> str:
    """Errors on nested grids, the line of the declared slope, and the window that was used."""
    points = _points(row["steps"], row["errors"])
    if not points:
        return ""
    bars = _bars(row)
    axes = Axes(
        x=(min(row["steps"]) / 1.25, max(row["steps"]) * 1.25),
        y=decades([e for _, e in points] + [v for _, a, b in bars for v in (a, b)]),
        width=230.0,
        height=160.0,
    )
    used = points[: used_points(row)]
    body = _window(axes, used) + frame(axes, _ends(row["steps"]))
    body += _reference(axes, used or points, float(row.get("declared") or 0))
    body += "".join(line(axes, [(n, a), (n, b)], "bar") for n, a, b in bars)
    body += line(axes, points, "l c0")
    body += "".join(
        marker(axes, p, 0, "m c0" if i < len(used) else "m c0 open") for i, p in enumerate(points)
    )
    shown = ", ".join(f"{n:g}: {sci(e)}" for n, e in points)
    return svg(axes, f"error against number of steps: {shown}", body)


def _points(steps: Sequence[float], errors: Sequence[Any]) -> list[tuple[float, float]]:
    pairs = zip(steps, errors, strict=False)
    return [(n, e) for n, e in pairs if finite(e) is not None and n > 0]


def _bars(row: dict[str, Any]) -> list[tuple[float, float, float]]:
    triples = zip(row["steps"], row["errors"], row.get("bars") or (), strict=False)
    found = [(n, e, b) for n, e, b in triples if finite(e) and finite(b)]
    return [(n, max(e - b, 1e-3 * e), e + b) for n, e, b in found if e > 0]


def _ends(steps: Sequence[float]) -> list[float]:
    """First, middle and last number of steps."""
    return sorted({steps[0], steps[len(steps) // 2], steps[-1]})


def _window(axes: Axes, used: Sequence[tuple[float, float]]) -> str:
    if len(used) < 2:
        return ""
    left, right = axes.px(used[0][0]) - 6, axes.px(used[-1][0]) + 6
    size = f'width="{right - left:.1f}" height="{axes.depth:.1f}"'
    return f'<rect class="window" x="{left:.1f}" y="{_TOP:g}" {size}/>'


def _reference(axes: Axes, used: Sequence[tuple[float, float]], slope: float) -> str:
    """The declared slope, ten units under the last used point; its name in the empty corner."""
    if not slope or len(used) < 2 or used[-1][1] <= 0:
        return ""
    low, high = axes.y
    end, error = used[-1]
    error = max(error * 10.0 ** (-10.0 * (high - low) / axes.depth), 10.0**low)
    begin = max(used[0][0], end * (error / 10.0**high) ** (1 / slope))  # not above the figure
    points = [(begin, error * (end / begin) ** slope), (end, error)]
    place = f'x="{_LEFT + 7:g}" y="{axes.height - _BOTTOM - 7:g}"'
    text = f'<text class="slope" {place}>slope {claimed(slope)}</text>'
    return line(axes, points, "ref") + text


def work_axes(curves: Sequence[Sequence[tuple[float, float]]]) -> Axes:
    """One pair of axes for all panels of a problem, so that they can be compared by eye."""
    nfes = [n for c in curves for n, _ in c]
    values = [e for c in curves for _, e in c]
    x = (min(nfes) / 1.15, max(nfes) * 1.15) if nfes else (4.0, 1200.0)
    return Axes(x=x, y=decades(values, top=1, span=16), width=300.0, height=220.0)


def work_ticks(axes: Axes) -> list[float]:
    """The decades and fives of evaluations that lie on the axis."""
    candidates = [5.0 * 10**k for k in range(-1, 6)] + [10.0**k for k in range(6)]
    return sorted(v for v in candidates if axes.x[0] <= v <= axes.x[1] and v not in (0.5, 1.0))


def work_backdrop(axes: Axes, curves: Sequence[Sequence[tuple[float, float]]], name: str) -> str:
    """Every sampler in grey, drawn once and used by each panel of the problem."""
    drawn = frame(axes, work_ticks(axes)) + "".join(line(axes, c, "all") for c in curves)
    return f'<svg class="defs" aria-hidden="true"><defs><g id="{name}">{drawn}</g></defs></svg>'


def work_panel(
    axes: Axes, curves: Sequence[Sequence[tuple[float, float]]], backdrop: str, label: str
) -> str:
    """Up to ``CURVES`` samplers in colour before the grey of all."""
    body = f'<use href="#{backdrop}"/>'
    for k, points in enumerate(curves):
        body += line(axes, points, f"l c{k}")
        body += "".join(marker(axes, p, k, f"m c{k}") for p in points)
    return svg(axes, label, body)
