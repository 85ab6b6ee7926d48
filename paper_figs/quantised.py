"""What fewer bits do to a sample: rounded outputs on an exact law, rounded weights on a network.

Left the error of the samples of a mixture in one dimension when the output of the exact model is
rounded to b bits, against the same run without rounding (marks), and what errors of variance
q^2/12, new at every evaluation, would do (lines). Middle how far the two *laws* are apart. Right a
trained network whose weights are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.quantised import (
    propagated,
    quantised_network,
    quantised_outputs,
    step_of,
)
from ..solvers.grids import uniform_lam
from ..solvers.networks.network import Network
from ..solvers.plan import Plan
from ..solvers.plan_algebra import to_prediction
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.networks import named_network, weights_digest
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

RUNS = {
    "ddim": ("ddim", 20, "ODE, 20 steps"),
    "ddim_fine": ("ddim", 80, "ODE, 80 steps"),
    "sde": ("sde_dpmpp_1", 20, "SDE, 20 steps"),
    "sde_fine": ("sde_dpmpp_1", 80, "SDE, 80 steps"),
}
BITS = (3, 4, 5, 6, 7, 8, 10)
WEIGHT_BITS = (3, 4, 5, 6, 8)
SPAN = 6.0
"""Outputs are rounded on [-SPAN, SPAN]; no noise prediction here is larger."""
WEIGHTS = weights_digest("digits")
SMALL = {"starts": 800, "images": 6, "weight_bits": (6, 8)}
_SHANG = "Shang et al. 2022, arXiv:2211.15736"
_HUANG = "Huang et al. 2023, arXiv:2311.16503"
_KARRAS = "Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364, sec. 4"
_BENNETT = "Bennett 1948, Bell Syst. Tech. J. 27, 446"


def data(
    *,
    bits: Sequence[int] = BITS,
    weight_bits: Sequence[int] = WEIGHT_BITS,
    starts: int = 4000,
    images: int = 20,
    weights: str = WEIGHTS,
) -> Data:
    """Errors by bits; ``weights`` tells the cache which network it was."""
    p = reference_problem("line")
    rows = {
        key: _outputs(p, name, steps, bits, starts)
        for key, (name, steps, _) in progress(list(RUNS.items()), "runs")
    }
    network = named_network("digits").to(dtype=torch.float64)
    found = [
        {"bits": b, "per": per, **_weights(network, images, b, per=per)}
        for b in progress(list(weight_bits), "bits")
        for per in ("channel", "tensor")
    ]
    care = {
        "all": _weights(network, images, 4)["measured"],
        "but_embedding": _weights(network, images, 4, keep=("level", "label"))["measured"],
    }
    return {
        "bits": list(bits), "runs": rows, "network": found, "care": care, "weights": weights,
        "spread": 0.5,
    }  # fmt: skip


def _outputs(
    p: Problem, name: str, steps: int, bits: Sequence[int], starts: int
) -> list[dict[str, float]]:
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
    plan: Plan = to_prediction(get(name)(p.process, grid), "noise")
    model, x = p.model("noise"), p.starts(starts)
    clean = run(plan, model, x, noise=3).x.sort(0).values

    def apart(wrong: Any) -> float:
        """W2 of the law of the samples to that of the clean ones: of sorted points, in 1-D."""
        return float(
            (run(plan, wrong, x, noise=3).x.sort(0).values - clean).square().mean() ** 0.5
        )

    out = []
    for b in bits:
        rounded, size = quantised_outputs(model, b, SPAN), step_of(SPAN, b) / 12**0.5
        generator = torch.Generator().manual_seed(b)

        def white(
            y: torch.Tensor, t: Any, size: float = size, g: torch.Generator = generator
        ) -> torch.Tensor:
            return model(y, t) + size * torch.randn(y.shape, generator=g, dtype=y.dtype)

        found = propagated(plan, model, rounded, x, noise=3)
        out.append(
            {
                "measured": found.rms(), "linear": found.rms("linear"),
                "independent": found.rms("independent"),
                "w2": apart(rounded), "w2_white": apart(white),
            }
        )  # fmt: skip
    return out


def _weights(network: Network, images: int, bits: int, **options: Any) -> dict[str, float]:
    """Medians over images, classes in turn, DPM-Solver++(2M), 20 steps."""
    entry = get("dpmpp_2m")
    plan = to_prediction(entry(network.process, network.grid(20)), "flow")
    labels = torch.arange(images) % network.classes
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *network.shape, generator=generator, dtype=torch.float64)
    rough = quantised_network(network, bits, **options)
    found = propagated(plan, network.model(labels), rough.model(labels), x)
    return {kind: found.median(kind) for kind in ("measured", "linear", "independent")}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(12.8, 4.8))
    sides = {"left": 0.06, "right": 0.985, "top": 0.76, "bottom": 0.14, "wspace": 0.28}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, (key, (_, _, title)) in enumerate(RUNS.items()):
        rows = data["runs"][key]
        for axes, marked, line in ((left, "measured", "independent"), (middle, "w2", "w2_white")):
            axes.plot(data["bits"], [r[line] for r in rows], color=COLOURS[k], lw=1.1)
            axes.plot(
                data["bits"], [r[marked] for r in rows], MARKERS[k], color=COLOURS[k], mec="white",
                ms=6, label=title,
            )  # fmt: skip
    left.legend(frameon=False, fontsize=8.5)
    _network(right, data)
    words = ("Outputs: error of a sample", "Outputs: W2 of the laws", "Weights of a network")
    for axes, title in zip((left, middle, right), words, strict=True):
        axes.set(yscale="log", xlabel="bits", title=title)
    figure.text(0.06, 0.925, "A rounding is no noise", size=17, weight="bold")
    about = "Marks: measured. Lines: errors of the same size, new at every evaluation"
    figure.text(0.06, 0.865, about, size=9.5, color=SOFT)
    return figure


def _network(axes: Axes, data: Data) -> None:
    for k, per in enumerate(("channel", "tensor")):
        rows = [row for row in data["network"] if row["per"] == per]
        bits = [row["bits"] for row in rows]
        axes.plot(
            bits, [row["measured"] for row in rows], MARKERS[k], color=COLOURS[k], mec="white",
            ms=6, label=f"a step for each {per}",
        )  # fmt: skip
        axes.plot(bits, [row["independent"] for row in rows], color=COLOURS[k], lw=1.1)
        linear = [row["linear"] for row in rows]
        axes.plot(bits, linear, color=COLOURS[k], lw=1.1, ls=(0, (4, 2)))
    axes.plot([], [], color=SOFT, lw=1.1, ls=(0, (4, 2)), label="first order")
    axes.legend(frameon=False, fontsize=8.5)


# the claims


def _row(data: Data, key: str, bits: int) -> dict[str, float]:
    return data["runs"][key][data["bits"].index(bits)]


def _off(row: dict[str, float], kind: str = "independent") -> float:
    """By what factor a prediction misses, in logarithm."""
    return abs(float(np.log(row[kind] / row["measured"])))


def _white(data: Data) -> Measured:
    found = {(key, b): _off(_row(data, key, b)) for key in ("ddim", "sde") for b in (8, 6)}
    worst = max(found.values())
    text = f"off by at most {100 * np.expm1(worst):.1f} % at 8 and 6 bits, 20 steps"
    return Measured(text, judge(-worst, -worst, least=-0.1))


def _each_step(data: Data) -> Measured:
    found = [_row(data, key, b) for key in ("ddim_fine", "sde_fine") for b in (8, 4)]
    shares = [row["independent"] / row["measured"] for row in found]
    text = (
        "80 steps, prediction over measurement at 8 and 4 bits: ODE "
        f"{shares[0]:.2f}, {shares[1]:.2f}; SDE {shares[2]:.2f}, {shares[3]:.2f}"
    )
    return Measured(text, judge(min(shares), min(shares), least=0.9))


def _forgets(data: Data) -> Measured:
    ode, sde = (
        _row(data, f"{key}_fine", 8)["measured"] / _row(data, key, 8)["measured"]
        for key in ("ddim", "sde")
    )
    text = f"four times the steps: the error of the ODE times {ode:.2f}, of the SDE {sde:.2f}"
    return Measured(text, judge(ode / sde, ode / sde, least=1.5))


def _weight_row(data: Data, bits: int, per: str) -> dict[str, float]:
    return next(r for r in data["network"] if r["bits"] == bits and r["per"] == per)


def _lossless(data: Data) -> Measured:
    share = _weight_row(data, 8, "channel")["measured"] / data["spread"]
    text = f"median error {100 * share:.1f} % of the standard deviation of the data"
    return Measured(text, judge(-share, -share, least=-0.05))


def _care(data: Data) -> Measured:
    gain = data["care"]["all"] / data["care"]["but_embedding"]
    text = f"4 bits: error {gain:.2f} times that with a whole embedding of level and class"
    return Measured(text, judge(gain, gain, least=1.2))


def _first_order(data: Data) -> Measured:
    rows = [row for row in data["network"] if row["bits"] in (6, 8)]
    worst = max(_off(row, "linear") for row in rows)
    share = min(row["independent"] / row["measured"] for row in rows)
    text = (
        f"first order off by at most {100 * np.expm1(worst):.1f} % at 8 and 6 bits; "
        f"independent errors would be {share:.2f} of it"
    )
    return Measured(text, judge(-worst, -worst, least=-0.1))


CLAIMS = (
    Claim("rounding is white noise of variance q²/12: error within 10 %", _BENNETT, _white),
    Claim("and white from one evaluation to the next, also at 80 steps", _BENNETT, _each_step),
    Claim("fresh noise makes up for earlier errors: an SDE forgets them", _KARRAS, _forgets),
    Claim("8-bit weights are near lossless: below 5 % of the data", _SHANG, _lossless),
    Claim("at 4 bits it is the embedding of time that hurts", _HUANG, _care),
    Claim("8- and 6-bit weights: first order within 10 %", "perturbation theory", _first_order),
)
