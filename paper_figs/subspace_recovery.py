"""From how many samples a subspace is known: the front at N = d, by PCA and by training.

Left and middle, the distance of projectors (1: nothing is known) over the rank d and the number N
of noise-free samples in 24 dimensions, of PCA and of a low-rank denoiser ``k U U^T x`` that is
trained by Adam on noised samples. Right, rank 4 by N in 24 and in 96 dimensions, exact means as
lines; and data that are noisy themselves, where the front is the divergence of ``d/(N - d - 1)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.subspaces import (
    expected_projector_error,
    noisy_projector_error,
    principal_basis,
    projector_error,
)
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

DIM, WIDE, SLICE = 24, 96, 4
RANKS = tuple(range(1, 9))
COUNTS = tuple(range(1, 13))
DELTAS = (0.01, 0.1)
_WANG = "Wang, Zhang, Zhang, Chen, Ma & Qu 2024, arXiv:2409.02426"


def data(*, draws: int = 60, steps: int = 600, starts: int = 2, seed: int = 0) -> Data:
    """Mean errors ``|P - Q|^2/(2 d)`` over (rank, count), and slices of rank 4."""
    pca = [[_mean(DIM, d, n, 0.0, draws // 4, seed) for n in COUNTS] for d in RANKS]
    trained = np.mean([_trained(steps, seed + k) for k in range(starts)], axis=0)
    rows = {
        f"{dim}": [_mean(dim, SLICE, n, 0.0, draws, seed + 1) for n in COUNTS]
        for dim in (DIM, WIDE)
    }
    noisy = {
        f"{delta:g}": [_mean(DIM, SLICE, n, delta, draws, seed + 2) for n in COUNTS]
        for delta in DELTAS
    }
    return {
        "ranks": list(RANKS), "counts": list(COUNTS), "pca": pca, "trained": trained.tolist(),
        "rows": rows, "noisy": noisy, "draws": draws,
    }  # fmt: skip


def _samples(dim: int, rank: int, n: int, rng: np.random.Generator) -> tuple:
    basis = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    return basis, rng.standard_normal((n, rank)) @ basis.T


def _mean(dim: int, rank: int, n: int, delta: float, draws: int, seed: int) -> float:
    """Mean error of PCA over draws, as a share of its largest value 2 d."""
    rng = np.random.default_rng([seed, dim, rank, n])
    found = []
    for k in range(draws):
        basis, x = _samples(dim, rank, n, rng)
        x = x + delta * rng.standard_normal(x.shape)
        found.append(projector_error(basis, principal_basis(x, rank, seed=k)))
    return float(np.mean(found)) / (2 * rank)


def _trained(steps: int, seed: int, level: float = 0.2) -> np.ndarray:
    """The same of trained denoisers, (rank, count), all cells at once, at one level of noise."""
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    cells = [(d, n) for d in RANKS for n in COUNTS]
    top, most = max(RANKS), max(COUNTS)
    truth, x = [], torch.zeros(len(cells), most, DIM)
    mask = torch.zeros(len(cells), 1, top)
    for i, (d, n) in enumerate(cells):
        basis, points = _samples(DIM, d, n, rng)
        truth.append(basis)
        x[i] = torch.from_numpy(np.resize(points, (most, DIM)))  # repeated to the same length
        mask[i, 0, :d] = 1.0
    alpha, sigma = math.sqrt(1 - level**2), level
    u = (0.3 * torch.randn(len(cells), DIM, top, generator=g)).requires_grad_()
    adam = torch.optim.Adam([u], lr=0.03)
    for _ in range(steps):
        for group in adam.param_groups:
            group["lr"] *= 0.5 ** (4 / steps)
        noisy = alpha * x + sigma * torch.randn(x.shape, generator=g)
        w = u * mask
        loss = (alpha * (noisy @ w) @ w.mT - x).square().sum((1, 2)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        learned = (u * mask).double().numpy()
    errors = [
        projector_error(basis, np.linalg.qr(w[:, :d])[0]) / (2 * d)
        for (d, _), basis, w in zip(cells, truth, learned, strict=True)
    ]
    return np.array(errors).reshape(len(RANKS), len(COUNTS))


# the picture


def draw(data: Data) -> Figure:
    """Two maps and slices."""
    figure = Figure(figsize=(13.2, 4.8))
    sides = {"left": 0.05, "right": 0.91, "top": 0.76, "bottom": 0.14, "wspace": 0.3}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _map(left, data, "pca", "PCA")
    _map(middle, data, "trained", "A trained low-rank denoiser")
    _slices(right, data)
    figure.text(0.05, 0.925, "As many samples as dimensions", size=17, weight="bold")
    about = (
        "Distance of the found subspace from the true one: white 0, dark 1; right: marks drawn,"
    )
    about += " lines exact"
    figure.text(0.05, 0.865, about, size=9.5, color=SOFT)
    return figure


def _map(axes: Axes, data: Data, name: str, title: str) -> None:
    values = np.array(data[name])
    axes.pcolormesh(data["counts"], data["ranks"], values, cmap="Blues", vmin=0.0, vmax=1.0)
    edge = np.array([0.5, len(data["ranks"]) + 0.5])
    axes.plot(edge, edge, color=COLOURS[1], lw=1.4)
    axes.set(xlabel="samples N", ylabel="rank d", title=f"{title}, D = {DIM}")
    axes.set(xlim=(0.5, len(data["counts"]) + 0.5), ylim=edge)
    axes.grid(visible=False)


def _slices(axes: Axes, data: Data) -> None:
    n, ends = data["counts"], []
    for k, (dim, row) in enumerate(data["rows"].items()):
        exact = [expected_projector_error(int(dim), SLICE, m) / (2 * SLICE) for m in n]
        seen = [m for m in n if m < SLICE]
        axes.semilogy(seen, exact[: len(seen)], color=COLOURS[k])
        look: dict[str, Any] = {"ms": 9, "mfc": "none"} if k == 0 else {"ms": 5, "mec": "white"}
        axes.semilogy(n, np.maximum(row, 1e-8), MARKERS[k], color=COLOURS[k], **look)
        ends.append(End(n[-1], 1e-8, f"D = {dim}", COLOURS[k]))
    for k, (delta, row) in enumerate(data["noisy"].items(), 2):
        law = [noisy_projector_error(DIM, SLICE, m, float(delta)) for m in n if m > SLICE + 1]
        axes.semilogy(n[-len(law) :], np.array(law) / (2 * SLICE), color=COLOURS[k])
        axes.semilogy(n, row, MARKERS[k], color=COLOURS[k], ms=5, mec="white")
        ends.append(End(n[-1], row[-1], f"noise {delta}", COLOURS[k]))
    axes.axvline(SLICE, color=INK, lw=0.8, ls=(0, (2, 2)))
    axes.set(xlabel="samples N", title=f"Rank {SLICE}, 0 shown as 1e-8")
    axes.set_ylim(3e-9, 3.0)
    label_ends(axes, ends, size=8)


# the claims


def _sides(data: Data, name: str) -> tuple[float, float]:
    """Least error below the front and largest on and above it."""
    below, above = [], []
    for d, row in zip(data["ranks"], data[name], strict=True):
        for n, value in zip(data["counts"], row, strict=True):
            (below if n < d else above).append(value)
    return min(below), max(above)


def _front(data: Data) -> Measured:
    low, high = _sides(data, "pca")
    text = f"at most {high:.1g} from N = d on, at least {low:.2f} before"
    return Measured(text, "holds" if high < 1e-16 and low > 0.05 else "does not hold")


def _learned(data: Data) -> Measured:
    low, _ = _sides(data, "trained")
    gaps = [
        value for d, row in zip(data["ranks"], data["trained"], strict=True)
        for n, value in zip(data["counts"], row, strict=True) if n >= d + 2
    ]  # fmt: skip
    text = f"before N = d at least {low:.2f}; from N = d + 2 on median {np.median(gaps):.1g}, "
    text += f"at most {max(gaps):.1g}"
    good = low > 0.05 and float(np.median(gaps)) < 0.02
    return Measured(text, "holds" if good else "does not hold")


def _ambient(data: Data) -> Measured:
    rows = [data["rows"][str(dim)] for dim in (DIM, WIDE)]
    k = data["counts"].index(SLICE)
    text = "error at N = d: " + ", ".join(
        f"{row[k]:.1g} (D = {dim})" for row, dim in zip(rows, (DIM, WIDE), strict=True)
    )
    worst = max(max(row[k:]) for row in rows)
    return Measured(text, judge(-worst, -worst, least=-1e-16))


def _blurred(data: Data) -> Measured:
    found = {}
    for delta, row in data["noisy"].items():
        law = [noisy_projector_error(DIM, SLICE, n, float(delta)) for n in data["counts"][-4:]]
        ratios = np.array(row[-4:]) * 2 * SLICE / np.array(law)
        found[delta] = float(ratios.mean())
    text = "error over 2 δ² (D - d) d/(N - d - 1), N > 8: " + ", ".join(
        f"{v:.2f} (δ = {k})" for k, v in found.items()
    )
    off = abs(found[f"{DELTAS[0]:g}"] - 1)
    return Measured(text, judge(-off, -off, least=-0.15))


CLAIMS = (
    Claim("a subspace is found exactly once N = d, and not before", _WANG, _front),
    Claim("training a low-rank denoiser has the same transition", _WANG, _learned),
    Claim("needed samples grow with d, not with D", _WANG, _ambient),
    Claim("noise in the data adds an error of its square", "derived here", _blurred),
)
