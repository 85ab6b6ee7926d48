"""Which class each image of a job is asked for: a function of its id alone."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import JobError

CYCLE = "cycle"
Labels = tuple[int, ...] | str | None
"""``None``: no classes; ``"cycle"``: all classes in turn; a tuple: these in turn, one for all."""


def parse_labels(text: str) -> Labels:
    """The rule that a word stands for: ``none``, ``cycle``, one class, or a list ``3,1,4``.

    Raises
    ------
    JobError
        For any other word.

    Examples
    --------
    >>> parse_labels("none"), parse_labels("cycle"), parse_labels("7"), parse_labels("3,1,4")
    (None, 'cycle', (7,), (3, 1, 4))
    """
    word = text.strip().lower()
    if word == "none":
        return None
    if word == CYCLE:
        return CYCLE
    try:
        return tuple(int(part) for part in word.split(","))
    except ValueError as error:
        msg = f"labels must be none, cycle, a class or a list such as 3,1,4; got {text!r}"
        raise JobError(msg) from error


def labels_of(rule: Labels, ids: Sequence[int], classes: int) -> list[int] | None:
    """The class of each image, or None for all of them.

    Raises
    ------
    JobError
        If classes are asked of a network that has none, or for one that it does not have.
    """
    if rule is None:
        return None
    if not classes:
        msg = "labels were given, but the network has no classes; accepted: none"
        raise JobError(msg)
    turn = tuple(range(classes)) if isinstance(rule, str) else rule
    wrong = [k for k in turn if not 0 <= k <= classes]
    if wrong:
        msg = f"label {wrong[0]} is no class of the network; accepted: 0 .. {classes - 1}, "
        msg += f"and {classes} for none"
        raise JobError(msg)
    return [turn[i % len(turn)] for i in ids]
