"""Calls of the model that are not made: guesses from earlier outputs, and who decides.

Left and middle the error of DPM-Solver++(3M) when only one call in N is made and for the others an
output is reused, forecast by recursive differences, or extrapolated; with few steps and with many.
Right where SADA makes its calls, beside the curvature of the data prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.caching.sada import sada
from ..solvers.caching.virtual import Rule, cached, every, newton, reuse, taylorseer
from ..solvers.grids import Grid, uniform_lam
from ..solvers.model import Model
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.schedules import VPLinear
from ..toy_models.draws import normals
from ..toy_models.images import image_mixture
from ..toy_models.law import exact_model
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

RULES: dict[str, tuple[str, Rule, int]] = {
    "reuse": ("reused", reuse, 1),
    "line": ("line", newton(1), 2),
    "taylorseer": ("TaylorSeer", taylorseer(2), 2),
    "parabola": ("parabola", newton(2), 3),
}
"""Title, rule, and the order in the step that the guess has."""
STEPS, INTERVALS = (50, 200), (2, 3, 4, 5, 6)
FINE = 800
_LIU = "Liu et al. 2025, arXiv:2503.06923"
_JIANG = "Jiang et al. 2025, arXiv:2507.17135"


def data(
    *,
    steps: Sequence[int] = STEPS,
    intervals: Sequence[int] = INTERVALS,
    seeds: int = 5,
    batch: int = 16,
) -> Data:
    """Errors of cached samplers on small images, their orders, and SADA's calls."""
    model, x = _model(0), _starts(0, batch)
    out: Data = {"intervals": list(intervals), "steps": list(steps), "batch": batch}
    out["errors"] = {
        str(n): _errors(model, x, n, intervals) for n in progress(list(steps), "caching")
    }
    out["slopes"] = _slopes(model, x)
    out["sada"] = [_skipping(seed, batch, steps[0]) for seed in range(seeds)]
    out["pattern"] = _pattern(model, x, steps[0])
    return out


def _model(seed: int) -> Model:
    law = image_mixture(size=8, channels=1, components=8, rank=4, seed=seed)
    return exact_model(law, VPLinear(), "data")


def _starts(seed: int, batch: int) -> Tensor:
    return torch.from_numpy(normals(batch, 64, seed=seed, label="caching"))


def _grid(steps: int) -> Grid:
    return uniform_lam(VPLinear(), -4.0, 3.0).grid(steps)


def _end(name: str, steps: int, model: Model, x: Tensor, **how: Any) -> Tensor:
    plan = get(name)(VPLinear(), _grid(steps))
    return run(cached(plan, **how) if how else plan, model, x).x


def _rms(x: Tensor) -> float:
    return float(f"{float(x.square().mean().sqrt()):.5g}")


def _errors(
    model: Model, x: Tensor, steps: int, intervals: Sequence[int]
) -> dict[str, list[float]]:
    """Errors of each rule, and of the sampler that makes every call (``full``)."""
    truth = _end("dpmpp_3m", FINE, model, x)
    out = {"full": [_rms(_end("dpmpp_3m", steps, model, x) - truth)]}
    for name, (_, rule, _) in RULES.items():
        out[name] = [
            _rms(
                _end("dpmpp_3m", steps, model, x, keep=every(k, 3), rule=rule, clock="index")
                - truth
            )
            for k in intervals
        ]
    return out


def _slopes(model: Model, x: Tensor, interval: int = 3) -> dict[str, float]:
    """``log2`` of the distance to the full sampler at 160 steps over that at 320."""
    found = {}
    for name, (_, rule, _) in RULES.items():
        gaps = []
        for steps in (160, 320):
            how: dict[str, Any] = {"keep": every(interval, 3), "rule": rule, "clock": "index"}
            part = _end("dpmpp_3m", steps, model, x, **how)
            gaps.append(float((part - _end("dpmpp_3m", steps, model, x)).square().mean()) ** 0.5)
        found[name] = round(float(np.log2(gaps[0] / gaps[1])), 3)
    return found


def _skipping(seed: int, batch: int, steps: int) -> dict[str, Any]:
    """Skipped share and error over that of the full sampler: SADA, published, periodic."""
    model, x, grid = _model(seed), _starts(seed, batch), _grid(steps)
    truth = _end("dpmpp_3m", FINE, model, x)
    full = _rms(_end("dpmpp_2m", steps, model, x) - truth)
    own = sada(model, VPLinear(), grid, x)
    published = sada(
        model, VPLinear(), grid, x, criterion="published", guess="extrapolated", most=4
    )
    count = round(float((~own.asked).sum(0).double().mean()))
    periodic = _end(
        "dpmpp_2m", steps, model, x, keep=evenly(steps, count), rule=newton(2), clock="lam"
    )
    found = {"sada": own.x, "published": published.x, "periodic": periodic}
    return {
        "skipped": [round(own.skipped, 4), round(published.skipped, 4)],
        "ratio": {name: round(_rms(end - truth) / full, 4) for name, end in found.items()},
    }


def evenly(steps: int, skips: int, first: int = 3, last: int = 1) -> Any:
    """``keep(k)`` that leaves out ``skips`` calls between the first and last ones, evenly."""
    room = steps - last - first

    def keep(k: int) -> bool:
        inside = first <= k < steps - last
        return not inside or (k - first + 1) * skips // room == (k - first) * skips // room

    return keep


def _pattern(model: Model, x: Tensor, steps: int) -> dict[str, list[float]]:
    """Share of samples that call at each node, and the curvature of D along the path."""
    own = sada(model, VPLinear(), _grid(steps), x)
    plan = get("dpmpp_3m")(VPLinear(), _grid(steps))
    states = run(plan, model, x, save_at=range(steps)).saved
    nodes, h = _grid(steps).nodes, 7.0 / steps
    outputs = torch.stack([model(states[k], nodes[k].t) for k in range(steps)])
    bend = (outputs[2:] - 2 * outputs[1:-1] + outputs[:-2]) / h**2
    size = bend.square().mean((1, 2)).sqrt()
    return {
        "lam": [round(node.lam, 4) for node in nodes[:steps]],
        "asked": [round(v, 4) for v in own.asked.double().mean(1).tolist()],
        "curvature": [round(v, 5) for v in size.tolist()],
    }


# the picture


def draw(data: Data) -> Figure:
    """Two panels of errors, one of calls."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.065, "right": 0.985, "top": 0.77, "bottom": 0.13, "wspace": 0.62}
    places = figure.add_gridspec(1, 3, width_ratios=(1, 1, 1), **sides)
    for k, steps in enumerate(data["steps"][:2]):
        _draw_errors(figure.add_subplot(places[k]), data, steps)
    _draw_pattern(figure.add_subplot(places[2]), data["pattern"])
    figure.text(0.065, 0.925, "Calls that are not made", size=17, weight="bold")
    about = f"Exact denoiser of eight kinds of images, d = 64; rms error of {data['batch']} starts"
    figure.text(0.065, 0.865, about, size=9.5, color=SOFT)
    return figure


def _draw_errors(axes: Axes, data: Data, steps: int) -> None:
    errors, ends = data["errors"][str(steps)], []
    axes.set(yscale="log")
    for k, (name, (title, _, _)) in enumerate(RULES.items()):
        axes.plot(
            data["intervals"], errors[name], color=COLOURS[k], marker=MARKERS[k], mec="white",
            mew=0.7,
        )  # fmt: skip
        ends.append(End(data["intervals"][-1], errors[name][-1], title, COLOURS[k]))
    axes.axhline(errors["full"][0], color=INK, lw=1.1, ls=(0, (4, 2)))
    ends.append(End(data["intervals"][-1], errors["full"][0], "every call", INK))
    axes.set_title(f"{steps} steps of 3M")
    axes.set_xlabel("one call in so many steps")
    axes.set_ylabel("distance to the exact flow")
    axes.set_xticks(data["intervals"])
    label_ends(axes, ends, size=7.5)


def _draw_pattern(axes: Axes, pattern: dict[str, list[float]]) -> None:
    lam, asked = pattern["lam"], pattern["asked"]
    axes.bar(lam, asked, width=0.8 * (lam[1] - lam[0]), color=COLOURS[0], alpha=0.55)
    axes.set(ylim=(0, 1.35), xlabel="λ", title="Where SADA calls")
    axes.set_ylabel("share of samples that call")
    bend = np.array(pattern["curvature"])
    axes.plot(lam[1:-1], 1.3 * bend / bend.max(), color=COLOURS[1])
    axes.text(0.35, 1.22, "curvature of D (scaled)", color=COLOURS[1], size=8)


# the claims


def _forecast(data: Data) -> Measured:
    gains = [
        a / b
        for errors in data["errors"].values()
        for a, b in zip(errors["reuse"], errors["taylorseer"], strict=True)
    ]
    words = f"error of reuse over that of the forecast {min(gains):.2g} to {max(gains):.3g}"
    return Measured(words, judge(min(gains), min(gains), least=1.0))


def _degree(name: str, order: int) -> Any:
    def measure(data: Data) -> Measured:
        slope = data["slopes"][name]
        words = f"the error of the guesses falls with the step at order {slope:.2f}"
        return Measured(words, judge(slope, slope, least=order - 0.3))

    return measure


def _few_steps(data: Data) -> Measured:
    errors = data["errors"][str(data["steps"][0])]
    pairs = zip(errors["taylorseer"], errors["parabola"], strict=True)
    ratios = dict(zip(data["intervals"], (a / b for a, b in pairs), strict=True))
    words = ", ".join(f"{r:.2f} at {k}" for k, r in ratios.items())
    least = min(ratios.values())
    return Measured(
        f"error of TaylorSeer over the parabola's: {words}", judge(least, least, least=1)
    )


def _adaptive(data: Data) -> Measured:
    ratios = [row["ratio"]["periodic"] / row["ratio"]["sada"] for row in data["sada"]]
    wins = sum(r > 1 for r in ratios)
    words = f"periodic over adaptive error {min(ratios):.2f} to {max(ratios):.2f}; "
    verdict = judge(wins, wins, least=0.8 * len(ratios))
    return Measured(f"{words}better in {wins} of {len(ratios)} laws", verdict)


def _faster(kind: str, which: int) -> Any:
    def measure(data: Data) -> Measured:
        speed = [1 / (1 - row["skipped"][which]) for row in data["sada"]]
        loss = [row["ratio"][kind] for row in data["sada"]]
        words = f"{min(speed):.2f} to {max(speed):.2f} times fewer calls, "
        words += f"error {min(loss):.2g} to {max(loss):.2g} times that of every call"
        good = min(speed) >= 1.8 and max(loss) <= 1.5
        return Measured(words, "holds" if good else "does not hold")

    return measure


CLAIMS = (
    Claim("a forecast from earlier outputs is closer than the reused output", _LIU, _forecast),
    Claim(
        "the forecast with two differences has the order 3 of a Taylor polynomial of degree 2",
        _LIU,
        _degree("taylorseer", 3),
    ),
    Claim(
        "the parabola through the same three outputs is of order 3",
        "theory",
        _degree("parabola", 3),
    ),
    Claim(
        "at 50 steps the parabola is the closer of the two at every interval", "theory", _few_steps
    ),
    Claim(
        "skipping where the criterion allows is better than skipping as often periodically "
        "(exact Adams weights)",
        _JIANG,
        _adaptive,
    ),
    Claim(
        "1.8 times fewer calls at hardly any loss (exact Adams weights, parabola)",
        _JIANG,
        _faster("sada", 0),
    ),
    Claim(
        "1.8 times fewer calls at hardly any loss (weights and guess of the reference code)",
        _JIANG,
        _faster("published", 1),
    ),
)
