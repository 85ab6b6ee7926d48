"""How a network of diffusers is called: the level, what it is asked for, and its answer.

What it is asked for, be it a class or a text, is a row of tables: for label k, row k of each. A
text is the row of its embedding, so a prompt is bound to a sample as a class is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from .asking import level_dtype, module_dtype, shown_rows
from .errors import NetworkError
from .rows import Time

ADDED = ("text_embeds", "time_ids", "image_embeds", "resolution", "aspect_ratio")
"""Conditions that networks take inside of ``added_cond_kwargs``."""


@dataclass(frozen=True, eq=False)
class DiffusersCall:
    """``call(x, t, labels)`` of a module of diffusers; t is a float or a time for each row, (B,).

    Attributes
    ----------
    module : callable
        The module.
    shown : callable
        ``shown(t) -> (scale, c)``; see :class:`~.diffusers_training.Training`.
    tables : mapping of str to Tensor
        Arguments of the module, a row of each for every label.
    channels : int
        Channels of the answer that count; a learned variance behind them is cut off.
    sign : float
        Of the answer.
    whole : bool
        Whether the module needs whole numbers for c: the nearest is told.
    """

    module: Callable[..., Any]
    shown: Callable[[float], tuple[float, float]]
    tables: Mapping[str, Tensor]
    channels: int
    sign: float = 1.0
    whole: bool = False
    takes_rows: ClassVar[bool] = True
    _moved: dict[Any, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    def __call__(self, x: Tensor, t: Time, labels: Tensor | None) -> Tensor:
        """What the module answers, (B, channels, ...)."""
        dtype = module_dtype(self.module, x)
        if self.whole:
            z, level = shown_rows(self.shown, x, t, torch.long, lambda c: max(round(c), 0))
        else:
            z, level = shown_rows(self.shown, x, t, level_dtype(dtype))
        z = z.to(dtype)
        out = self.module(z, timestep=level, return_dict=False, **self._asked(labels, z))[0]
        out = out[:, : self.channels]
        return out if self.sign == 1.0 else self.sign * out

    def _asked(self, labels: Tensor | None, z: Tensor) -> dict[str, Any]:
        if not self.tables or labels is None:
            return {}
        key = z.device, z.dtype
        if key not in self._moved:
            self._moved[key] = {
                k: v.to(z.device, z.dtype if v.is_floating_point() else None)
                for k, v in self.tables.items()
            }
        rows = {k: v.index_select(0, labels) for k, v in self._moved[key].items()}
        added = {k: rows.pop(k) for k in ADDED if k in rows}
        return {**rows, "added_cond_kwargs": added} if added else rows


def arranged(
    tables: Mapping[str, Tensor], null: int | None
) -> tuple[dict[str, Tensor], int, bool]:
    """Tables with the row of "none" put last, the number of classes, and whether there is one.

    Parameters
    ----------
    tables : mapping of str to Tensor
        Each of R rows.
    null : int, optional
        The row that stands for no class or no text.

    Raises
    ------
    NetworkError
        For tables of different lengths, or a row that is none.

    Examples
    --------
    >>> arranged({"class_labels": torch.arange(3)}, null=0)
    ({'class_labels': tensor([1, 2, 0])}, 2, True)
    """
    if not tables:
        if null is not None:
            msg = f"null = {null} is a row of conditions, but there are none"
            raise NetworkError(msg)
        return {}, 0, True
    lengths = {name: len(table) if table.ndim else 0 for name, table in tables.items()}
    count = min(lengths.values())
    if count < 1 or max(lengths.values()) != count:
        msg = f"conditions need one row for each label, all the same number, got {lengths}"
        raise NetworkError(msg)
    if null is None:
        return dict(tables), count, False
    if not 0 <= null < count or count < 2:
        msg = f"null must be one of {count} rows of conditions, and not the only one, got {null}"
        raise NetworkError(msg)
    order = torch.tensor([i for i in range(count) if i != null] + [null])
    return {name: table.cpu()[order] for name, table in tables.items()}, count - 1, True
