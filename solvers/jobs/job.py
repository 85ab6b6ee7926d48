"""The record of a job: all that determines its images, as JSON and back."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..networks.identity import brief
from .errors import JobError
from .labels import CYCLE, Labels
from .limits import MOST_BATCH, MOST_IMAGES, MOST_STEPS
from .spacing import SPACINGS

STATES = ("float32", "float64")
AUTOCASTS = (None, "bfloat16", "float16")
MOST = {"steps": MOST_STEPS, "count": MOST_IMAGES, "batch": MOST_BATCH}
WHERE = ("device",)
"""Fields that change rounding only: a job may go on with another value."""


@dataclass(frozen=True)
class Job:
    """Images ``0 .. count - 1`` of one network by one sampler.

    The start and the noise of an image are functions of (seed, id) alone. Batches are part of the
    record because a network rounds otherwise in another batch; the number of processes is not.

    Attributes
    ----------
    network : str
        Name of the network, as the user gives it.
    sampler : str
        Name of a registered sampler.
    steps : int
        Steps of the grid, the one to sigma = 0 included.
    count : int
        Number of images.
    options : mapping
        Options of the sampler: numbers, words and lists.
    grid : str
        How the steps lie, one of :data:`fokker.solvers.jobs.spacing.SPACINGS`.
    to_zero : bool
        Whether the last step goes to sigma = 0.
    guidance : float
        Weight of classifier-free guidance; 1 is none.
    interval : (float, float)
        Levels lam at which guidance acts.
    labels : tuple of int, "cycle" or None
        See :mod:`.labels`.
    size : tuple of int, optional
        Height and width of the images, of a network that takes several.
    seed : int
        Seed of starts and noise.
    batch : int
        Images made at once.
    dtype : str
        Of the state: "float32" or "float64".
    autocast : str, optional
        In which the network computes: "bfloat16" or "float16".
    device : str
        Where; it changes rounding only.

    Raises
    ------
    JobError
        For a value of another kind or size, naming field, value and what is accepted; see
        :mod:`.limits`.
    """

    network: str
    sampler: str = "dpmpp_2m"
    steps: int = 20
    count: int = 16
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: str = "uniform-lam"
    to_zero: bool = True
    guidance: float = 1.0
    interval: tuple[float, float] = (-math.inf, math.inf)
    labels: Labels = None
    size: tuple[int, ...] | None = None
    seed: int = 0
    batch: int = 64
    dtype: str = "float32"
    autocast: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("network", "sampler", "device"):
            self._check(name, _is_word(getattr(self, name)), "a word")
        for name in ("steps", "count", "batch"):
            most = MOST[name]
            good = _is_whole(getattr(self, name), 1) and getattr(self, name) <= most
            self._check(name, good, f"a whole number from 1 to {most}")
        self._check("seed", type(self.seed) is int, "a whole number")
        self._check("grid", self.grid in SPACINGS, ", ".join(SPACINGS))
        self._check("to_zero", isinstance(self.to_zero, bool), "true or false")
        self._check("dtype", self.dtype in STATES, ", ".join(STATES))
        self._check("autocast", self.autocast in AUTOCASTS, "bfloat16, float16 or none")
        self._check("guidance", _is_number(self.guidance), "a finite number")
        low, high = self.interval if len(self.interval) == 2 else (math.nan, math.nan)
        self._check("interval", low < high, "two levels lam, the lower one first")
        listed = isinstance(self.labels, tuple) and self.labels and all(
            type(k) is int for k in self.labels
        )  # fmt: skip
        good = self.labels is None or self.labels == CYCLE or listed
        self._check("labels", bool(good), "none, cycle, or a list of classes")
        sized = self.size is None or (
            len(self.size) == 2 and all(_is_whole(n, 1) for n in self.size)
        )
        self._check("size", sized, "height and width, whole numbers from 1 up")
        self._check("options", _is_plain(self.options), "numbers, words and lists by name")

    def _check(self, name: str, good: bool, accepted: str) -> None:
        if not good:
            msg = f"{name} of a job is {str(getattr(self, name))[:80]!r}; accepted: {accepted}"
            raise JobError(msg)

    def to_dict(self) -> dict[str, Any]:
        """The fields in JSON's own types; infinite levels are words."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        found["options"] = dict(sorted(self.options.items()))
        found["interval"] = [v if math.isfinite(v) else repr(v) for v in self.interval]
        for name in ("labels", "size"):
            if isinstance(found[name], tuple):
                found[name] = list(found[name])
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Job:
        """The job that :meth:`to_dict` wrote.

        Raises
        ------
        JobError
            For an unknown field, a missing network, and values of another kind.
        """
        values = dict(found)
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown or "network" not in values:
            what = f"the unknown field {unknown[0]!r}" if unknown else "no network"
            msg = f"a job has {what}; its fields: {', '.join(f.name for f in fields(cls))}"
            raise JobError(msg)
        try:
            if "interval" in values:
                values["interval"] = tuple(float(v) for v in values["interval"])
            for name in ("labels", "size"):
                if isinstance(values.get(name), list):
                    values[name] = tuple(values[name])
            return cls(**values)
        except (TypeError, ValueError) as error:
            if isinstance(error, JobError):
                raise
            msg = f"a job has a field of another kind: {error}"
            raise JobError(msg) from error

    def batches(self) -> list[range]:
        """The ids of each batch, in order."""
        ends = range(0, self.count, self.batch)
        return [range(i, min(i + self.batch, self.count)) for i in ends]


def determining(job: Job, network: Mapping[str, Any]) -> dict[str, Any]:
    """All that the images depend on, but for rounding: the job and the facts of the network."""
    own = {k: v for k, v in job.to_dict().items() if k not in WHERE}
    return {**own, **{f"network's {k}": v for k, v in network.items()}}


def identity(found: Mapping[str, Any]) -> str:
    """SHA-256 of what :func:`determining` found, 64 hexadecimal digits."""
    text = json.dumps(found, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first field in which two jobs differ, in words; None if they are one job."""
    for name in dict.fromkeys([*here, *there]):
        old, new = (brief(str(found.get(name, "missing"))) for found in (there, here))
        if (name in there) != (name in here) or there[name] != here[name]:
            return f"{name} is {old} there and {new} here"
    return None


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value is not True


def _is_plain(options: Any) -> bool:
    """Whether JSON gives the options back as they are."""
    try:
        return isinstance(options, Mapping) and (
            json.loads(json.dumps(dict(options), allow_nan=False)) == dict(options)
        )
    except (TypeError, ValueError):
        return False
