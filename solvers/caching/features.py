"""Features cached inside the network: the encoder is asked now and then, the decoder always.

Of a network ``decode(encode(x, t), x, t)`` the first part changes slowly along a trajectory
(Li et al. 2023, arXiv:2312.09608; only this training-free half of that family is here). Between
key evaluations its features are those of the last one, at another x and t. That is not a virtual
evaluation (``virtual.py``): the output is no weighted sum of earlier outputs, so no table of the
plan knows the error; with one key in every N evaluations the features are O(N h) old, so the
sampler has order 1 unless the features happen not to matter.

The state is explicit: a :class:`FeatureCache` holds the features of one run, and the plan says, by
its heads, which evaluations fill it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..errors import ShapeError
from ..heads import BIG, Heads, route_each
from ..plan import Plan

REUSE = "reuse"
"""The head of an evaluation that runs the decoder alone."""


class FeatureCache:
    """A network in two parts and the features of its last key evaluation.

    Parameters
    ----------
    encode : callable
        ``encode(x, t) -> features``, any object.
    decode : callable
        ``decode(features, x, t) -> output`` of the shape of x.

    Attributes
    ----------
    encoded, decoded : int
        How often each part has run.
    """

    def __init__(
        self, encode: Callable[[Tensor, Any], Any], decode: Callable[[Any, Tensor, Any], Tensor]
    ) -> None:
        self._encode, self._decode = encode, decode
        self.encoded = self.decoded = 0
        self.clear()

    def clear(self) -> None:
        """Forget the features, before a run on another batch."""
        self._features: Any = None
        self._shape: tuple[int, ...] | None = None

    @property
    def heads(self) -> Heads:
        """The model: a key evaluation has the head ``""``, the decoder alone ``"reuse"``."""
        return Heads({BIG: self._key, REUSE: self._again})

    def _key(self, x: Tensor, t: Any) -> Tensor:
        self._features, self._shape = self._encode(x, t), tuple(x.shape)
        self.encoded += 1
        return self._again(x, t)

    def _again(self, x: Tensor, t: Any) -> Tensor:
        if self._shape != tuple(x.shape):
            held = "nothing" if self._shape is None else f"features of a batch {self._shape}"
            msg = f"the cache holds {held}, but the decoder is asked for a batch {tuple(x.shape)}"
            raise ShapeError(msg)
        self.decoded += 1
        return self._decode(self._features, x, t)


def reuse_features(plan: Plan, keep: Callable[[int], bool]) -> Plan:
    """The plan with the head ``"reuse"`` at the evaluations that are not kept.

    ``keep(k)`` as in ``caching.every``; the first evaluation is always a key. Run it with
    ``FeatureCache(...).heads``.
    """
    return route_each(plan, lambda k, op: op.head if k == 0 or keep(k) else REUSE)
