"""What missing weights do to a sample, and until where the first order foretells it.

Left the error of the samples of a trained network when the smallest weights, or channels, of every
tensor are taken for zero (marks), with the first order and the first two of perturbation theory.
Middle what the first order misses, as a vector, and what the second term says that it will. Right
a linear network that is the exact model of a Gaussian: the law that the pruned one makes, against
that of its wrong score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.distances import diagonal_w2, gaussian_w2
from ..analysis.evaluation.digits import digits_classifier
from ..analysis.pruned import pruned_network, variance_without
from ..analysis.reach import reach, stops_at
from ..analysis.score_error import Line, evolve, noised
from ..solvers.grids import uniform_lam
from ..solvers.networks.network import Network
from ..solvers.plan_algebra import to_prediction
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.digits import digits_gaussian
from ..toy_models.linear_network import linear_network
from ..toy_models.networks import named_network, weights_digest
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CHANNELS = (0.02, 0.04, 0.08, 0.15, 0.3, 0.5)
LINEAR = (0.1, 0.3, 0.5, 0.7, 0.9)
SPAN = (-3.0, 3.0)
WITHIN = 0.1
WEIGHTS = weights_digest("digits")
SMALL = {
    "images": 4, "judged": 10, "shares": (0.1, 0.3), "channels": (0.02, 0.1), "linear": (0.3,),
}  # fmt: skip
_TITLES = {"weight": "single weights", "channel": "channels"}
_HAN = "Han, Pool, Tran & Dally 2015, arXiv:1506.02626"
_MAO = "Mao et al. 2017, arXiv:1705.08922"
_THEORY = "perturbation theory"


def data(
    *,
    shares: Sequence[float] = SHARES,
    channels: Sequence[float] = CHANNELS,
    linear: Sequence[float] = LINEAR,
    images: int = 30,
    judged: int = 200,
    weights: str = WEIGHTS,
) -> Data:
    """Errors by share; ``weights`` tells the cache which network it was."""
    network = named_network("digits").to(dtype=torch.float64)
    asked = [("weight", s) for s in shares] + [("channel", s) for s in channels]
    rows = [_digits(network, images, by, s) for by, s in progress(asked, "shares")]
    seen = [_seen(named_network("digits"), judged, s) for s in progress([0.0, *shares], "classes")]
    law = digits_gaussian()
    exact = linear_network("linear", law, network.process, SPAN)
    return {
        "network": rows,
        "seen": [
            {"share": s, "share_seen": float(now.mean()), "lost": int((seen[0] & ~now).sum()),
             "gained": int((now & ~seen[0]).sum())}
            for s, now in zip(shares, seen[1:], strict=True)
        ],
        "clean": float(seen[0].mean()), "judged": judged,
        "linear": [_linear(exact, s) for s in progress(list(linear), "linear")],
        "weights": weights, "spread": 0.5,
    }  # fmt: skip


def _run(network: Network, images: int, dtype: torch.dtype) -> tuple[Any, torch.Tensor, Any]:
    """Classes in turn, DPM-Solver++(2M), 10 steps."""
    plan = to_prediction(get("dpmpp_2m")(network.process, network.grid(10)), network.prediction)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *network.shape, generator=generator, dtype=torch.float64)
    return plan, x.to(dtype), torch.arange(images) % network.classes


def _digits(network: Network, images: int, by: Any, share: float) -> dict[str, Any]:
    """Medians over images."""
    plan, x, labels = _run(network, images, torch.float64)
    thin = pruned_network(network, share, by=by, keep=("label",)).model(labels)
    found = reach(plan, network.model(labels), thin, x)
    kinds = ("measured", "first", "second", "off", "off_second", "expected")
    return {"by": by, "share": share, **{kind: found.median(kind) for kind in kinds}}


def _seen(network: Network, images: int, share: float) -> np.ndarray:
    """In which images the classifier sees the class that was asked for."""
    plan, x, labels = _run(network, images, torch.float32)
    ends = run(plan, pruned_network(network, share, keep=("label",)).model(labels), x).x
    return digits_classifier().classes(ends) == labels.numpy()


def _linear(network: Network, share: float) -> dict[str, Any]:
    """W2 of the law made to the exact one, by root d: of the network, and of its wrong score."""
    law, process = digits_gaussian(), network.process
    plan = get("unipc_3")(process, uniform_lam(process, *SPAN).grid(100))
    first, last = (process.node_at_lam(lam) for lam in SPAN)
    points = first.alpha * torch.cat([law.mean[None], law.mean + torch.eye(law.dim).to(law.mean)])
    start, truth = noised(law, SPAN[0]), noised(law, SPAN[1])

    def made(thin: Network) -> float:
        """The run is a matrix: the images of the mean and of a basis tell it."""
        ends = (run(plan, thin.model(), points).x / last.alpha).numpy()
        matrix = (ends[1:] - ends[0]).T
        return gaussian_w2(ends[0], matrix @ start.cov @ matrix.T, *truth)

    rows = pruned_network(network, share, by="channel", keep=("decode",))
    single = pruned_network(network, share)
    wrong, mean = single.module, law.mean.numpy()

    def model(lam: float) -> Line:
        gain = wrong.gain(math.exp(-lam)).detach().numpy()  # type: ignore[union-attr]
        return Line(gain, mean - gain @ mean)

    gone = law.eigenvalues.sort().values[: round(share * law.dim)].numpy()
    left = variance_without(gone, (math.exp(-SPAN[0]), math.exp(-SPAN[1])))
    right = gone + math.exp(-2 * SPAN[1])
    found = {
        "channel": made(rows), "channel_exact": diagonal_w2(0 * left, left, 0 * right, right),
        "weight": made(single),
        "weight_exact": gaussian_w2(*evolve(model, start, 0.0, SPAN), *truth),
    }  # fmt: skip
    return {"share": share, **{key: value / law.dim**0.5 for key, value in found.items()}}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(12.8, 4.8))
    sides = {"left": 0.06, "right": 0.985, "top": 0.76, "bottom": 0.14, "wspace": 0.28}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, by in enumerate(_TITLES):
        _errors(left, middle, data, by, k)
        shares = [row["share"] for row in data["linear"]]
        right.plot(
            shares, [row[f"{by}_exact"] for row in data["linear"]], color=COLOURS[k], lw=1.1
        )
        _marks(right, shares, [row[by] for row in data["linear"]], by, k)
    left.plot([], [], color=SOFT, lw=1.1, label="first order")
    left.plot([], [], color=SOFT, lw=1.1, ls=(0, (4, 2)), label="first and second")
    middle.axhline(WITHIN, color=SOFT, lw=0.7, ls=(0, (2, 2)))
    middle.plot([], [], color=SOFT, lw=1.1, label="second term over first")
    words = ("Error of a sample", "What the first order misses", "A linear network: W2 of the law")
    for axes, title in zip((left, middle, right), words, strict=True):
        axes.set(yscale="log", xlabel="share that is pruned", title=title)
        axes.legend(frameon=False, fontsize=8.5)
    figure.text(0.06, 0.925, "What is taken away is an error of the score", size=17, weight="bold")
    about = "Marks: measured. Lines: predicted. Trained on digits (left, middle); exact (right)"
    figure.text(0.06, 0.865, about, size=9.5, color=SOFT)
    return figure


def _marks(axes: Axes, shares: list[float], values: list[float], by: str, k: int) -> None:
    axes.plot(
        shares, values, MARKERS[k], color=COLOURS[k], mec="white", ms=6, label=_TITLES[by]
    )  # fmt: skip


def _errors(left: Axes, middle: Axes, data: Data, by: str, k: int) -> None:
    shares = _column(data, by, "share")
    _marks(left, shares, _column(data, by, "measured"), by, k)
    left.plot(shares, _column(data, by, "first"), color=COLOURS[k], lw=1.1)
    left.plot(shares, _column(data, by, "second"), color=COLOURS[k], lw=1.1, ls=(0, (4, 2)))
    _marks(middle, shares, _column(data, by, "off"), by, k)
    middle.plot(shares, _column(data, by, "expected"), color=COLOURS[k], lw=1.1)


# the claims


def _column(data: Data, by: str, kind: str) -> list[float]:
    return [row[kind] for row in data["network"] if row["by"] == by]


def _stop(data: Data, by: str, kind: str) -> float:
    return stops_at(_column(data, by, "share"), _column(data, by, kind), within=WITHIN)


def _until(share: float) -> str:
    return f"up to {share:.2f}" if share < math.inf else "at all shares"


def _redundant(data: Data) -> Measured:
    row = max((r for r in data["seen"] if r["share"] <= 0.5), key=lambda r: r["share"])
    n = data["judged"]
    gain, noise = (row["gained"] - row["lost"]) / n, 2 * (row["gained"] + row["lost"]) ** 0.5 / n
    error = next(
        r["measured"] for r in data["network"] if (r["by"], r["share"]) == ("weight", row["share"])
    )
    text = (
        f"share {row['share']:g}: the asked class is seen in {row['share_seen']:.3f} of {n} "
        f"images ({data['clean']:.3f} with all weights); but the median image is another one by "
        f"{100 * error / data['spread']:.0f} % of the spread of the data"
    )
    if row["share"] < 0.5:
        return Measured(text, "not resolved")
    return Measured(text, judge(gain - noise, gain + noise, least=-0.02))


def _first(data: Data) -> Measured:
    stops = {by: _stop(data, by, "off") for by in _TITLES}
    second = _stop(data, "weight", "off_second")
    text = (
        f"within {100 * WITHIN:.0f} %, as a vector, up to a share of {stops['weight']:.3f} of the "
        f"weights, {stops['channel']:.3f} of the channels; two orders {_until(second)} "
        "of the weights"
    )
    return Measured(text, judge(stops["weight"], stops["weight"], least=0.1))


def _foretold(data: Data) -> Measured:
    pairs = {by: (_stop(data, by, "expected"), _stop(data, by, "off")) for by in _TITLES}
    text = "; ".join(
        f"{_TITLES[by]}: foretold {told:.3f}, found {found:.3f}"
        for by, (told, found) in pairs.items()
    )
    off = [
        abs(math.log(a / b)) for a, b in pairs.values() if 0 < a < math.inf and 0 < b < math.inf
    ]
    if not off:
        return Measured(text, "not resolved")
    return Measured(text, judge(-max(off), -max(off), least=-math.log(1.2)))


def _grain(data: Data) -> Measured:
    shares, errors = (_column(data, "weight", kind) for kind in ("share", "measured"))
    rows = [row for row in data["network"] if row["by"] == "channel" and row["share"] >= shares[0]]
    logs = [np.interp(row["share"], shares, np.log(errors)) for row in rows]
    least = min(row["measured"] / math.exp(v) for row, v in zip(rows, logs, strict=True))
    text = f"channels: at least {least:.1f} times the error of as large a share of single weights"
    return Measured(text, judge(least, least, least=1.0))


def _linear_grain(data: Data) -> Measured:
    ratios = {r["share"]: r["channel"] / r["weight"] for r in data["linear"]}
    text = "W2 of channels over that of single weights: " + ", ".join(
        f"{v:.2g} at {s:g}" for s, v in ratios.items()
    )
    return Measured(text, judge(min(ratios.values()), min(ratios.values()), least=1.0))


def _closed(data: Data) -> Measured:
    off = {by: max(abs(r[by] - r[f"{by}_exact"]) for r in data["linear"]) for by in _TITLES}
    text = "in units of the spread of the data, W2 of network and formula differ by at most "
    text += ", ".join(f"{v / data['spread']:.1g} ({_TITLES[by]})" for by, v in off.items())
    worst = max(off.values()) / data["spread"]
    return Measured(text, judge(-worst, -worst, least=-1e-5))


CLAIMS = (
    Claim("half of the weights can go without training again, by class", _HAN, _redundant),
    Claim("first order right within 10 % for a tenth of the weights", _THEORY, _first),
    Claim("its second term says beforehand where that stops", _THEORY, _foretold),
    Claim("whole channels cost more than as many single weights", _MAO, _grain),
    Claim("also where channels are principal directions", _MAO, _linear_grain),
    Claim("a linear network makes exactly the law of its wrong score", "closed form", _closed),
)
