"""Where the samples of a batch are that walk in lam each by itself, and how they tried to move."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..process import Array


class Walk(NamedTuple):
    """Where each sample is; arrays have length B, ``outputs`` (B, 10, *D) is newest first."""

    x: Tensor
    outputs: Tensor
    nodes: Array  # lam of the outputs, (B, 10); fillers beyond ``count``
    count: np.ndarray
    order: np.ndarray  # nodes of the next predictor
    lam: Array
    h: Array
    nfe: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray

    def of(self, rows: np.ndarray) -> Walk:
        """The samples in these places."""
        return Walk._make(_chosen(part, rows) for part in self)


class Trial(NamedTuple):
    """One trial step of some samples."""

    x: Tensor  # corrected
    output: Tensor  # realigned
    raw: Tensor  # the model's own
    best: np.ndarray  # older outputs in the corrector that is kept
    error: Array

    def of(self, which: np.ndarray) -> Trial:
        """The samples that are marked."""
        return Trial._make(_chosen(part, which) for part in self)


def best_order(gaps: Array, count: np.ndarray) -> tuple[np.ndarray, Array]:
    """The corrector with the least error, and that error.

    ``gaps[:, j]`` is what correctors j and j - 1 differ by. Corrector j errs by about gap j + 1;
    the last one by its own gap times the ratio of the last two, which is 0.3 if there is but one.
    """
    rows, error = np.arange(len(count)), np.full_like(gaps, np.inf)
    error[:, 1:-1] = gaps[:, 2:]
    last = gaps[rows, count]
    with np.errstate(invalid="ignore"):
        ratio = np.where(count > 1, last / np.maximum(gaps[rows, count - 1], 1e-300), 0.3)
    error[rows, count] = last * ratio.clip(0.05, 1.0)
    best = error.argmin(1)
    return best, error[rows, best]


def written(walk: Walk, rows: np.ndarray, ok: np.ndarray, moved: Walk, stayed: Walk) -> Walk:
    """The walk with the samples in these places moved, or not, as their errors allow."""
    parts: list[Any] = []
    for whole, new, old in zip(walk, moved, stayed, strict=True):
        out: Any = whole.clone() if isinstance(whole, Tensor) else whole.copy()
        _place(out, rows, _chosen(old, np.arange(len(rows))))
        _place(out, rows[ok], _chosen(new, ok))
        parts.append(out)
    return Walk._make(parts)


def _chosen(part: Any, which: np.ndarray) -> Any:
    if isinstance(part, Tensor):
        return part[torch.from_numpy(which).to(part.device)]
    return part[which]


def _place(out: Any, rows: np.ndarray, values: Any) -> None:
    where = torch.from_numpy(rows).to(out.device) if isinstance(out, Tensor) else rows
    out[where] = values
