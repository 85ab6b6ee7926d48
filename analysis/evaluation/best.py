"""Who may be the best of many, from paired errors: multiple comparisons with the best.

Whoever has the least error of k samplers in a sample of starts is ahead by luck too, the more the
larger k is. So nobody is compared with the leader as if it had been named beforehand, but with the
maximum over all of them.

Source: Hsu 1981, Ann. Statist. 9, 1026; the bootstrap of studentised maxima is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from .few import widened
from .paired import By, log_sizes, shares


def check_ranking(by: str, level: float) -> None:
    """Refuse what samplers cannot be ranked by, and a confidence that is none.

    Raises
    ------
    AnalysisError
        For another name than ``"typical"`` and ``"rms"``, or a level outside of (0, 1).
    """
    if by not in ("typical", "rms"):
        msg = f"samplers are ranked by 'typical' or 'rms' errors, got {by!r}"
        raise AnalysisError(msg)
    if not 0.0 < level < 1.0:
        msg = f"the level must be inside (0, 1), got {level}"
        raise AnalysisError(msg)


def best_group(
    errors: Sequence[Array],
    *,
    by: By = "typical",
    reference: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> list[bool]:
    """Which of k samplers cannot be told apart from the best, from the same n starts.

    Multiple comparisons with the best (Hsu 1981; here by the bootstrap of studentised
    differences): with ``L_c`` the log of the error and ``s_cc'`` the bootstrap deviation of
    ``L_c - L_c'``, c stays if ``max_c' (L_c - L_c')/s_cc' <= q_c``, the ``level`` quantile of the
    same maximum of resampled, centred differences, widened for few starts (:mod:`.few`). The set
    holds the true best with probability about ``level``, however many samplers there are: 0.91 to
    0.96 at level 0.95 for 2 to 30 samplers from 8 to 64 starts, errors log-normal with logs of
    deviation 1; by RMS, whose tail is heavier, 0.73 to 0.89.
    What is within twice the error of the
    reference of the least error stays as well.

    Parameters
    ----------
    errors : sequence of Array
        Errors of each sampler, (n,).
    by : str
        ``"typical"`` or ``"rms"``.
    reference : float
        RMS error of the fine solution.
    level : float
        Confidence.
    seed : int
        Seed of the resamples.

    Raises
    ------
    AnalysisError
        If there is no sampler, the arrays are not of one length, at least 2, or for a level that
        is none; for another ``by``.
    """
    check_ranking(by, level)
    if not errors or len({np.shape(e) for e in errors}) != 1 or np.size(errors[0]) < 2:
        shapes = [np.shape(e) for e in errors]
        msg = f"errors of one shape (n,), n >= 2, are needed, got shapes {shapes}"
        raise AnalysisError(msg)
    table = np.stack([np.asarray(e, dtype=np.float64) for e in errors], axis=1)  # (n, k)
    logs = log_sizes(table, by, reference)
    drawn = log_sizes(table, by, reference, shares(len(table), seed=seed))
    close = np.exp(logs) - np.exp(logs.min()) <= 2 * reference
    return [
        bool(close[c] or may_be_best(c, logs, drawn, level, len(table))) for c in range(len(logs))
    ]


def may_be_best(c: int, logs: Array, drawn: Array, level: float, count: int) -> bool:
    """Whether c of k samplers can be told apart from the best of them; see :func:`best_group`.

    ``logs`` (k,) and ``drawn`` (draws, k) are the :func:`log_sizes` of ``count`` starts and of
    resamples of them. That the best is the luckiest of k is taken into account, as the maximum is.
    """
    gap = logs[c] - logs
    scatter = drawn[:, [c]] - drawn - gap
    size = scatter.std(axis=0)
    same = size < 1e-12  # the same sampler under another name, or one ratio in all samples
    safe = np.where(same, 1.0, size)
    ahead = np.where(same, np.where(gap > 1e-9, np.inf, 0.0), gap / safe)
    limit = np.quantile(np.where(same, 0.0, scatter / safe).max(axis=1), level)
    return bool(ahead.max() <= widened(limit, count))
