"""The folder of a job: what is in it, and what of that counts.

::

    job.json                              what the images are, and probes of the network; the first
    arrays/000000-000063.npy              the samples of one batch, float32 (B, *shape)
    images/000000.png                     one picture for each sample that is one
    parts/000000-000063.json              the record of a batch: it is done, with SHA-256 of all
    parts/000000-000063.failed.json       the record of a batch that could not be made
    checkpoints/000000-000063.safetensors a batch on its way
    manifest.json                         all records in one

Every file is written whole or not at all, the record of a batch last. So a kill leaves batches
that are done and batches that are not, and nothing between. A batch whose array no longer has the
SHA-256 of its record is not done; a picture that is lost is drawn again from the array. Names are
made from ids alone: no name in a file of this folder is ever opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import writable_folder, write_bytes_atomic, write_text_atomic, write_text_new
from ..networks.errors import NetworkError
from ..networks.identity import Probes, probes_differ
from ..networks.strict_json import read_json, regular_file
from .errors import JobError
from .job import Job, determining, difference, identity
from .pictures import is_picture, png, to_pixels

SCHEMA = 2
ROOMS = ("arrays", "images", "parts", "checkpoints")


class Folder:
    """The folder of one job.

    Parameters
    ----------
    path : str or path
        Made if it is missing.
    job : Job
        What is made in it.
    facts : mapping
        The network's, see :func:`..networks.identity.network_facts`.
    pixels : (float, float), optional
        The values of black and white; None for samples that are no pictures.
    probe : callable, optional
        Gives the probes of the network, :func:`..networks.identity.network_probes`; without them
        a network is known by its facts alone.

    Attributes
    ----------
    probes : dict
        Those with which the job was begun.

    Raises
    ------
    JobError
        If another job is in the folder, one of another network, or files that are of no job.
    OutputError
        If the folder cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        job: Job,
        facts: Mapping[str, Any],
        pixels: tuple[float, float] | None,
        probe: Callable[[], Probes] = dict,
    ) -> None:
        self.job, self.pixels = job, pixels
        self.determining = {**determining(job, facts), "pixels": list(pixels) if pixels else None}
        self.path = writable_folder(path)
        self._left = self._halves()  # of a kill: what is written from now on may be another's
        there = self._claim(probe)
        self.identity = identity(there["job"])  # eta = 1 and 1.0 are one job, whoever came first
        self.probes: Probes = there["probes"]
        for room in ROOMS:
            writable_folder(self.path / room)

    def _claim(self, probe: Callable[[], Probes]) -> dict[str, Any]:
        """Find our job in the folder, or put it there; the record that it was begun with."""
        file, ours = self.path / "job.json", None
        if not file.exists():
            rooms = (self.path / room for room in ROOMS)
            others = [room.name for room in rooms if room.is_dir() and any(room.iterdir())]
            if others and not file.exists():  # else another process was faster
                msg = f"{str(self.path)!r} holds {others[0]} but no job.json; take an empty folder"
                raise JobError(msg)
            ours = probe()
            whole = {"schema": SCHEMA, "job": self.determining, "probes": ours}
            write_text_new(file, json.dumps(whole, indent=1) + "\n")  # of two jobs one is first
        there = _read(file) or {}
        if type(there.get("schema")) is int and there["schema"] != SCHEMA:
            msg = f"{str(file)!r} has the schema {there['schema']}, this program writes {SCHEMA}; "
            msg += "take another folder"
            raise JobError(msg)
        if not all(isinstance(there.get(name), dict) for name in ("job", "probes")):
            msg = f"{str(file)!r} is no record of a job; take another folder"
            raise JobError(msg)
        plain = json.loads(json.dumps(self.determining))
        other = difference(there["job"], plain)
        if not other:  # the network is asked only now
            try:
                found = probes_differ(there["probes"], probe() if ours is None else ours)
            except (TypeError, ValueError) as error:
                msg = f"{str(file)!r} has probes that are no numbers; take another folder"
                raise JobError(msg) from error
            other = found and f"the network behaves otherwise, {found}"
        if other:
            msg = f"{str(self.path)!r} holds another job: {other}; take another folder"
            raise JobError(msg)
        return there

    # -- names, from ids alone -----------------------------------------------------------------

    def batch_name(self, ids: Sequence[int]) -> str:
        """``000000-000063``."""
        return f"{ids[0]:06d}-{ids[-1]:06d}"

    def array(self, ids: Sequence[int]) -> Path:
        """The file of the samples of a batch."""
        return self.path / "arrays" / f"{self.batch_name(ids)}.npy"

    def image(self, i: int) -> Path:
        """The picture of one sample."""
        return self.path / "images" / f"{i:06d}.png"

    def record(self, ids: Sequence[int]) -> Path:
        """The record of a batch that is done."""
        return self.path / "parts" / f"{self.batch_name(ids)}.json"

    def failure(self, ids: Sequence[int]) -> Path:
        """The record of a batch that could not be made."""
        return self.path / "parts" / f"{self.batch_name(ids)}.failed.json"

    # -- what counts ---------------------------------------------------------------------------

    def read_record(self, ids: Sequence[int]) -> dict[str, Any] | None:
        """The record of a batch that is done, if it is there, whole and of this job."""
        found = _read(self.record(ids))
        if found is None or found.get("identity") != self.identity:
            return None
        drawn = len(ids) if self.pixels else 0
        hashes = found.get("images")
        good = found.get("ids") == [ids[0], ids[-1]] and isinstance(found.get("array"), str)
        good = good and isinstance(hashes, list) and len(hashes) == drawn
        return found if good and type(found.get("nfe")) is int else None

    def read_failure(self, ids: Sequence[int]) -> dict[str, Any] | None:
        """Why a batch could not be made, if that is known."""
        found = _read(self.failure(ids))
        return found if found and found.get("identity") == self.identity else None

    def is_done(self, ids: Sequence[int]) -> bool:
        """Whether a batch need not be made; pictures that are lost or spoilt are drawn again."""
        record = self.read_record(ids)
        if record is None:
            return False
        data = _bytes(self.array(ids))
        if data is None or _digest(data) != record["array"]:
            return False
        wrong = [
            k for k, (i, wanted) in enumerate(zip(ids, record["images"], strict=False))
            if _digest(_bytes(self.image(i)) or b"") != wanted
        ]  # fmt: skip
        return self._draw_again(ids, data, record, wrong) if wrong else True

    def _draw_again(
        self, ids: Sequence[int], data: bytes, record: dict[str, Any], wrong: list[int]
    ) -> bool:
        try:
            samples = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, OSError, EOFError):  # a record that is right about no array at all
            return False
        good = samples.dtype == np.float32 and samples.ndim > 1 and len(samples) == len(ids)
        if not (good and is_picture(samples.shape[1:]) and np.isfinite(samples).all()):
            return False
        for k in wrong:
            drawn = self._png(samples[k])
            write_bytes_atomic(self.image(ids[k]), drawn)
            record["images"][k] = _digest(drawn)  # another version of the library packs otherwise
        self._write_record(ids, record)
        return True

    # -- writing -------------------------------------------------------------------------------

    def finish(self, ids: Sequence[int], samples: NDArray[np.float32], about: dict) -> None:
        """Write a batch: array, pictures, and only then the record that makes them count."""
        out = io.BytesIO()
        np.save(out, samples, allow_pickle=False)
        data = out.getvalue()
        write_bytes_atomic(self.array(ids), data)
        images = []
        for i, sample in zip(ids, samples, strict=True):
            if self.pixels:
                drawn = self._png(sample)
                write_bytes_atomic(self.image(i), drawn)
                images.append(_digest(drawn))
        self._write_record(ids, {**about, "array": _digest(data), "images": images})
        self.failure(ids).unlink(missing_ok=True)

    def fail(self, ids: Sequence[int], about: Mapping[str, Any]) -> None:
        """Write down that a batch could not be made, and why; the next run tries again."""
        record = {**about, "identity": self.identity, "ids": [ids[0], ids[-1]]}
        write_text_atomic(self.failure(ids), json.dumps(record, indent=1) + "\n")

    def sweep(self) -> None:
        """Remove what interrupted writes had left; for a job of which every batch is done."""
        for left in self._left:
            left.unlink(missing_ok=True)

    def _halves(self) -> list[Path]:
        rooms = (self.path, *(self.path / name for name in ROOMS))
        return [left for room in rooms for left in room.glob(".*.part")]

    def _write_record(self, ids: Sequence[int], record: Mapping[str, Any]) -> None:
        whole = {"schema": SCHEMA, "ids": [ids[0], ids[-1]], **record, "identity": self.identity}
        write_text_atomic(self.record(ids), json.dumps(whole, indent=1) + "\n")

    def _png(self, sample: NDArray[np.float32]) -> bytes:
        low, high = self.pixels or (-1.0, 1.0)
        return png(to_pixels(sample, low, high))


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none."""
    try:
        return read_json(path, "the record")
    except NetworkError:
        return None


def _bytes(path: Path) -> bytes | None:
    try:
        with regular_file(path, "the file", NetworkError) as (file, _):
            return file.read()
    except NetworkError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
