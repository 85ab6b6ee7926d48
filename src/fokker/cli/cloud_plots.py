"""Pictures of maps and bridges between clouds (a helper, not a command)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..solvers.transport.clouds import Cloud

ARROWS, FAN, DOTS = 300, 200, 5000  # what a picture still shows well


def transport_picture(a: Cloud, b: Cloud, mapped: Tensor, title: str) -> tuple[Figure, str]:
    """Points and arrows in the plane, the map on a line; and in words what is shown."""
    figure, axes = _canvas(title)
    from ..paper_figs.figure import COLOURS, SOFT

    if a.dim == 1:
        order = a.points[:, 0].argsort()
        axes.plot(a.points[order, 0], mapped[order, 0], ".-", ms=3, lw=0.8, color=COLOURS[0])
        axes.set(xlabel="x", ylabel="image of x")
        return figure, "the map: image against point"
    plane, words = _plane(a, b)
    x, y, z = (_spread(v @ plane, DOTS) for v in (a.points, b.points, mapped))
    axes.plot(*x.T, "o", ms=2.5, color=COLOURS[0], label="A")
    axes.plot(*y.T, "s", ms=2.5, color=COLOURS[1], label="B")
    axes.plot(*z.T, "+", ms=3.5, color=COLOURS[2], label="image of A")
    tail, head = (_spread(v @ plane, ARROWS) for v in (a.points, mapped))
    way: Any = dict(angles="xy", scale_units="xy", scale=1.0, width=0.0015, color=SOFT)
    axes.quiver(*tail.T, *(head - tail).T, **way)
    axes.set_aspect("equal", adjustable="datalim")
    _name_axes(axes, a.dim)
    axes.legend(frameon=False)
    return figure, f"{words}, {len(tail)} of {len(a.points)} arrows"


def bridge_picture(
    a: Cloud, b: Cloud, times: Sequence[float], paths: Tensor, title: str
) -> tuple[Figure, str]:
    """Sampled paths as a fan: against time on a line, else as curves in the plane."""
    figure, axes = _canvas(title)
    from ..paper_figs.figure import COLOURS, SOFT

    shown = paths[:FAN]
    words = f"{len(shown)} of {len(paths)} paths"
    if a.dim == 1:
        axes.plot(times, shown[:, :, 0].T, lw=0.5, color=SOFT, alpha=0.6)
        for u, cloud, colour in ((0.0, a, COLOURS[0]), (1.0, b, COLOURS[1])):
            x = _spread(cloud.points, DOTS)[:, 0]
            axes.plot([u] * len(x), x, "o", ms=2.5, color=colour)
        axes.set(xlabel="u", ylabel="x")
        return figure, f"{words} against time"
    plane, seen = _plane(a, b)
    for path in (shown @ plane).numpy():
        axes.plot(*path.T, lw=0.4, color=SOFT, alpha=0.5)
    for cloud, mark, colour, label in ((a, "o", COLOURS[0], "A"), (b, "s", COLOURS[1], "B")):
        x = _spread(cloud.points @ plane, DOTS)
        axes.plot(*x.T, mark, ms=2.5, color=colour, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    _name_axes(axes, a.dim)
    axes.legend(frameon=False)
    return figure, f"{seen}, {words}"


def _canvas(title: str) -> tuple[Figure, Axes]:
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..paper_figs.figure import STYLE

    with style.context(STYLE):
        figure = Figure(figsize=(6.0, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
    axes.set_title(title, fontsize=9)
    return figure, axes


def _plane(a: Cloud, b: Cloud) -> tuple[Tensor, str]:
    """The plane of the picture (d, 2), and what it is."""
    import torch

    from ..solvers.transport.clouds import principal_plane

    if a.dim == 2:
        return torch.eye(2, dtype=torch.float64), "both coordinates"
    plane, share = principal_plane(a, b)
    return plane, f"first two principal directions of both clouds ({share:.0%} of the variance)"


def _name_axes(axes: Axes, dim: int) -> None:
    names = ("x1", "x2") if dim == 2 else ("first principal direction", "second")
    axes.set(xlabel=names[0], ylabel=names[1])


def _spread(points: Tensor, most: int) -> Any:
    """At most so many points, evenly taken, as an array."""
    step = -(-len(points) // most)
    return points[::step].numpy()
