"""Commands on a file system that is really full: ``python on_a_small_disk.py SMALL LARGE``.

SMALL is a file system of its own with room for a megabyte, made by who starts this. For each
command, and for each number of blocks that is left free, the command runs out of space, space is
made, and it runs again. What was seen is printed as JSON, one list for each command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fokker import cli
from fokker.solvers.errors import OutputError
from fokker.solvers.networks.checkpoint import read_weights
from fokker.solvers.networks.folder import load_network, save_network
from tiny_networks import tiny

MODEL = f"{Path(__file__).parents[2] / 'small_networks.py'}:plain"
SAMPLE = ["sample", "--model", MODEL, "--steps", "2", "--count", "5", "--batch", "2",
          "--save-every", "1"]  # fmt: skip
SWEEP = ["sweep", "--model", MODEL, "--sampler", "ddim", "dpmpp_2m", "--nfe", "4",
         "--count", "4", "--reference", "32"]  # fmt: skip


def drawn(_: Figure, out: Any, **__: Any) -> None:
    """A picture of some blocks, in no time."""
    values = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(values).save(out, format="png")


class Disk:
    """The small file system, filled by files that are in nobody's way."""

    def __init__(self, path: Path) -> None:
        self.path, self.ballast = path, path / "ballast"

    def leave(self, blocks: int | None = None, files: int | None = None) -> None:
        """Leave so many blocks, or room for so many files."""
        self.free()
        self.ballast.mkdir()
        if files is not None:
            for k in range(os.statvfs(self.path).f_favail - files):
                (self.ballast / str(k)).touch()
        if blocks is not None:
            there = os.statvfs(self.path)
            data = bytes((there.f_bavail - blocks) * there.f_frsize)
            (self.ballast / "blocks").write_bytes(data)

    def free(self) -> None:
        """Make space."""
        shutil.rmtree(self.ballast, ignore_errors=True)


def ran(words: list[str]) -> tuple[int, str]:
    """Exit status and the last line on stderr."""
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        status = cli.main(words)
    return status, (err.getvalue().splitlines() or [""])[-1]


def broken(folder: Path) -> list[str]:
    """Files that are no whole ones of their kind, and parts of files."""
    return [p.name for p in sorted(folder.rglob("*")) if p.is_file() and not _whole(p)]


def _whole(path: Path) -> bool:
    readers: dict[str, Callable[[Path], object]] = {
        ".json": lambda p: json.loads(p.read_text()),
        ".npy": np.load,
        ".npz": lambda p: dict(np.load(p)),
        ".png": lambda p: Image.open(p).load(),
        ".safetensors": read_weights,
    }
    try:
        readers[path.suffix](path)
    except Exception:  # whatever a reader says of half a file
        return False
    return True


def contents(folder: Path, *kinds: str) -> dict[str, bytes]:
    """The files of some kinds."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.suffix in kinds
    }


def tried(
    disk: Disk, large: Path, words: list[str], room: Iterable[dict[str, int]], *kinds: str,
    before: Path | None = None, check: Callable[[Path], Any] = lambda _: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A command on a full disk, and again with space; ``before`` is an earlier result."""
    name, seen = words[0], []
    wanted = large / name
    assert ran([*words, "--out", str(wanted)])[0] == 0
    for left in room:
        folder = disk.path / name
        if before:
            shutil.copytree(before, folder)
        old = contents(folder, *kinds, ".json")
        disk.leave(**left)
        status, said = ran([*words, "--out", str(folder)])
        halves = broken(folder)
        kept = contents(folder, *kinds, ".json") == old
        disk.free()
        again = ran([*words, "--out", str(folder)])[0]
        same = contents(folder, *kinds) == contents(wanted, *kinds)
        seen.append({"status": status, "said": said, "halves": halves, "kept": kept,
                     "again": again, "same": same and not broken(folder),
                     "found": check(folder)})  # fmt: skip
        shutil.rmtree(folder)
    return seen


def _ids(folder: Path) -> list[Any]:
    found = json.loads((folder / "manifest.json").read_text())
    return [found["complete"], *(image["id"] for image in found["images"])]


def clouds(disk: Disk, large: Path, command: str) -> list[dict[str, Any]]:
    """A transport or a bridge over an older one: no room at all, and none for the manifest."""
    files, old = [], large / f"{command} before"
    for k, shift in enumerate((5.0, 0.0, 1.0)):
        files.append(str(large / f"{k}.npy"))
        np.save(files[-1], np.random.default_rng(k).normal(size=(20, 2)) + shift)
    less = ["--count", "3"] if command == "bridge" else []
    words = [command, "--method", "gaussian", *files[1:], *less]
    ran([command, "--method", "gaussian", *files[:2], "--out", str(old)])
    ran([*words, "--out", str(large / "size")])
    arrays = (large / "size" / f"{command}{end}" for end in (".npz", ".png"))
    most = sum(-(-path.stat().st_size // 4096) for path in arrays)
    room = [{"blocks": n} for n in (0, most)]
    return tried(disk, large, words, room, ".npz", ".png", before=old)


def network(disk: Disk, large: Path) -> list[dict[str, Any]]:
    """A network over an older one."""
    old, new, seen = tiny(40), tiny(40, seed=1), []
    wanted = contents(save_network(large / "net", new), ".json", ".safetensors")
    for blocks in range(5):
        folder = save_network(disk.path / "nets" / "net", old)
        disk.leave(blocks)
        status, said = 0, ""
        try:
            save_network(folder, new, overwrite=True)
        except OutputError as error:
            status, said = 2, f"fokker: {error}"
        halves = broken(folder.parent)
        kept = load_network(folder).module is not None
        disk.free()
        save_network(folder, new, overwrite=True)
        same = contents(folder, ".json", ".safetensors") == wanted
        seen.append({"status": status, "said": said, "halves": halves, "kept": kept,
                     "again": 0, "same": same, "found": None})  # fmt: skip
        shutil.rmtree(folder.parent)
    return seen


def main() -> None:
    """Print what was seen."""
    Figure.savefig = drawn  # pyright: ignore[reportAttributeAccessIssue]
    disk, large = Disk(Path(sys.argv[1])), Path(sys.argv[2])
    blocks = [{"blocks": n} for n in range(14)]
    files = [{"files": n} for n in (1, 3, 9)]
    seen = {
        "sample": tried(disk, large, SAMPLE, blocks, ".npy", ".png", check=_ids),
        "sample without room for files": tried(
            disk, large, SAMPLE, files, ".npy", ".png", check=_ids
        ),
        "sweep": tried(disk, large, SWEEP, blocks[:4], ".json", ".png"),
        "transport": clouds(disk, large, "transport"),
        "bridge": clouds(disk, large, "bridge"),
        "save_network": network(disk, large),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
