"""Levels of noise that a foreign sampler names, as nodes of a process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..process import DATA, Node, Process
from .foreign_error import ForeignError

SAME = 1e-9
"""Levels closer in lam than this, absolutely or relatively, are one."""


def node_near(process: Process, nodes: Sequence[Node], lam: float, same: float = SAME) -> Node:
    """The node of a list at ``lam`` to rounding, else the process's own node there.

    A lam beyond the noisy end of the process is taken for that end.
    """
    for node in nodes:
        if node.lam == lam or math.isclose(node.lam, lam, rel_tol=same, abs_tol=same):
            return node
    if lam == math.inf:
        return DATA
    return process.node_at_lam(max(lam, process.lam_min))


def asked_level(name: str, process: Process, nodes: Sequence[Node], rho: float) -> Node:
    """The level ``sigma/alpha = rho`` at which a function asks its model.

    Raises
    ------
    ForeignError
        If the process has no such level: a raised level beyond its noisy end, say, cannot be
        taken for that end, where model and scale are others.
    """
    lam, least = lam_of_rho(rho), process.lam_min
    if not rho >= 0.0 or lam < least - 1e-6 * max(1.0, abs(least)):
        most = math.exp(-least)
        msg = f"{name} asks the model at sigma = {rho:g}; the levels here are 0 .. {most:g}"
        raise ForeignError(msg, kind="not supported")
    return node_near(process, nodes, lam)


def lam_of_rho(rho: float) -> float:
    """``-log rho``; infinite at both ends."""
    if rho <= 0.0:
        return math.inf
    return -math.log(rho)
