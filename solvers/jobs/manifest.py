"""The manifest of a job: all of its images in one file, from the records of the batches.

Any process may write it at any time, from what is on the disk; the last one to finish sees all
records. Nobody waits for anybody: who has written looks again, and writes again if meanwhile
another batch was done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..files import write_text_atomic
from .facts import versions
from .folder import SCHEMA, Folder
from .labels import labels_of


def write_manifest(folder: Folder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json`` from the records on the disk, and give what was written.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    while True:
        found = manifest(folder, facts)
        write_text_atomic(folder.path / "manifest.json", _text(found))
        if _seen(folder) <= {tuple(b["ids"]) for b in found["batches"]}:
            break
    if found["complete"]:
        folder.sweep()
    return found


def manifest(folder: Folder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of what is on the disk.

    ``images`` has id, label, files, SHA-256 and evaluations of every image that is there;
    ``failed`` and ``missing`` have the ids of the others. ``complete`` means that there are none.
    """
    job, there = folder.job, _listed(folder)
    batches, images, failed, missing = [], [], [], []
    for ids in job.batches():
        if folder.batch_name(ids) not in there:
            missing.append([ids[0], ids[-1]])
            continue
        record = folder.read_record(ids)
        if record is not None:
            batches.append(_batch(folder, ids, record))
            images += _images(folder, ids, record, facts["classes"])
            continue
        failure = folder.read_failure(ids)
        if failure is not None:
            failed.append({"ids": [ids[0], ids[-1]], **_why(failure)})
        else:
            missing.append([ids[0], ids[-1]])
    return {
        "schema": SCHEMA,
        "complete": not failed and not missing,
        "count": job.count,
        "made": len(images),
        "failed": failed,
        "missing": missing,
        "identity": folder.identity,
        "job": job.to_dict(),
        "network": dict(facts),
        "probes": folder.probes,
        "pixels": list(folder.pixels) if folder.pixels else None,
        "versions": versions(),
        "batches": batches,
        "images": images,
    }


def _text(found: Mapping[str, Any]) -> str:
    """The manifest as JSON, a line for each image: of a million they are not held in pieces."""
    rest = json.dumps({k: v for k, v in found.items() if k != "images"}, indent=1, allow_nan=False)
    lines = ",\n  ".join(json.dumps(image, allow_nan=False) for image in found["images"])
    return f'{rest[:-2]},\n "images": [\n  {lines}\n ]\n}}\n'


def _seen(folder: Folder) -> set[tuple[int, int]]:
    there = _listed(folder)
    listed = (ids for ids in folder.job.batches() if folder.batch_name(ids) in there)
    return {(ids[0], ids[-1]) for ids in listed if folder.read_record(ids) is not None}


def _listed(folder: Folder) -> set[str]:
    """Names of the batches of which there is a record: of a million few may be there."""
    return {file.name.split(".")[0] for file in (folder.path / "parts").iterdir()}


def _batch(folder: Folder, ids: Sequence[int], record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: record.get(k) for k in ("seconds", "hardware", "versions")}
    name = folder.array(ids).name
    return {"ids": [ids[0], ids[-1]], "array": f"arrays/{name}", "sha256": record["array"], **kept}


def _images(
    folder: Folder, ids: Sequence[int], record: Mapping[str, Any], classes: int
) -> list[dict[str, Any]]:
    labels = labels_of(folder.job.labels, ids, classes) or [None] * len(ids)
    hashes = record["images"] or [None] * len(ids)
    return [
        {
            "id": i,
            "label": label,
            "file": f"images/{folder.image(i).name}" if folder.pixels else None,
            "sha256": digest,
            "nfe": record["nfe"],
        }
        for i, label, digest in zip(ids, labels, hashes, strict=True)
    ]


def _why(failure: Mapping[str, Any]) -> dict[str, Any]:
    return {k: failure.get(k) for k in ("samples", "step", "t", "why")}
