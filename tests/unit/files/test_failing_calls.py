"""Each call that writes fails once, in turn: what was there is there, or what was to come is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from failing_disk import FailingDisk
from fokker.solvers.errors import OutputError
from fokker.solvers.files import (
    writable_folder,
    write_all_atomic,
    write_bytes_atomic,
    write_text_atomic,
    write_text_new,
)
from fokker.solvers.networks.folder import load_network, save_network
from tiny_networks import tiny

OLD, NEW = {"a": b"old, and longer", "b": b"old b"}, {"a": b"new", "b": b"new b"}


def _made(folder: Path) -> None:
    writable_folder(folder / "x" / "y")


def _new(folder: Path) -> None:
    write_text_new(folder / "a", NEW["a"].decode())


CASES: dict[str, tuple[Callable[[Path], object], dict[str, bytes], dict[str, bytes]]] = {
    "text": (lambda f: write_text_atomic(f / "a", "new"), {}, {"a": b"new"}),
    "text over": (lambda f: write_text_atomic(f / "a", "new"), OLD, {**OLD, "a": b"new"}),
    "bytes over": (lambda f: write_bytes_atomic(f / "b", b"new b"), OLD, {**OLD, "b": b"new b"}),
    "first one": (_new, {}, {"a": b"new"}),
    "first one over": (_new, OLD, OLD),
    "folder": (_made, OLD, OLD),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def filled(folder: Path, before: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in before.items():
        (folder / name).write_bytes(data)
    return folder


def calls(action: Callable[[], object]) -> list[str]:
    """The calls of an undisturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        disk = FailingDisk(patch)
        action()
    return disk.done


def failing(action: Callable[[], object], turn: int, error: int, lasting: bool) -> str | None:
    """The sentence with which it gives up when this call fails; None if it does not."""
    with pytest.MonkeyPatch.context() as patch:
        disk = FailingDisk(patch, turn, error, lasting=lasting)
        try:
            action()
        except OutputError as caught:
            sentence = str(caught)
            assert "\n" not in sentence
            assert sentence.startswith("cannot write to the ")
            return sentence
    assert disk.failed
    return None


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("case", CASES)
def test_each_call_in_turn_fails_and_a_file_is_the_old_or_the_new(
    tmp_path: Path, case: str, error: int, lasting: bool
):
    action, before, after = CASES[case]
    clean = filled(tmp_path / "clean", before)
    count = len(calls(lambda: action(clean)))
    assert contents(clean) == after
    gave_up = 0
    for turn in range(count):
        folder = filled(tmp_path / f"{turn}", before)
        sentence = failing(lambda folder=folder: action(folder), turn, error, lasting)
        gave_up += sentence is not None
        left = {name: data for name, data in contents(folder).items() if name[0] != "."}
        assert left == (after if sentence is None else before)
        if not lasting:
            action(folder)  # the disk works again
            assert {k: v for k, v in contents(folder).items() if k[0] != "."} == after
    assert gave_up >= 2  # a disk that always works would show nothing


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_what_fails_leaves_no_part_unless_it_cannot_be_removed(tmp_path: Path, error: int):
    together = (lambda f: write_all_atomic(f, NEW), {}, NEW)
    for case, (action, before, after) in {**CASES, "all": together}.items():
        clean = filled(tmp_path / f"{case} clean", before)
        names = calls(lambda a=action, f=clean: a(f))
        for turn, name in enumerate(names):
            folder = filled(tmp_path / f"{case} {turn}", before)
            failing(lambda a=action, f=folder: a(f), turn, error, lasting=False)
            parts = [p for p in folder.rglob(".*.part") if p.is_file()]
            assert len(parts) <= (name == "unlink")
            assert before.keys() | after.keys() >= contents(folder).keys() - {
                p.name for p in parts
            }


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_files_that_belong_together_are_never_mixed_under_a_manifest(tmp_path: Path, error: int):
    """While space runs out the old result is whole; once names change its manifest is gone."""
    clean = filled(tmp_path / "clean", OLD)
    names = calls(lambda: write_all_atomic(clean, NEW))
    assert contents(clean) == NEW
    seen = set()
    for turn, name in enumerate(names):
        folder = filled(tmp_path / f"{turn}", OLD)
        sentence = failing(lambda f=folder: write_all_atomic(f, NEW), turn, error, lasting=False)
        left = {k: v for k, v in contents(folder).items() if k[0] != "."}
        assert "b" not in left or left in (OLD, NEW)
        if name in ("open", "write", "flush", "fsync", "close"):  # what a full disk refuses
            assert left == OLD
        seen.add((sentence is None, left == OLD, left == NEW))
    assert {(False, True, False), (False, False, False)} <= seen


@pytest.mark.parametrize("write", [write_text_atomic, write_text_new])
def test_the_bytes_are_on_the_disk_before_the_file_has_its_name(
    tmp_path: Path, write: Callable[[Path, str], Path]
):
    names = calls(lambda: write(tmp_path / "a", "x"))
    named = "link" if write is write_text_new else "replace"
    assert names.index("write") < names.index("flush") < names.index("fsync") < names.index(named)


def test_a_full_disk_is_not_taken_for_one_without_links(tmp_path: Path):
    turn = calls(lambda: write_text_new(tmp_path / "clean", "x")).index("link")
    for error in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
        sentence = failing(lambda: write_text_new(tmp_path / "a", "x"), turn, error, False)
        assert sentence is not None
        assert not (tmp_path / "a").exists()
    for error in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
        assert failing(lambda: write_text_new(tmp_path / "a", "x"), turn, error, False) is None
        assert (tmp_path / "a").read_text() == "x"
        (tmp_path / "a").unlink()


def weights(folder: Path) -> torch.Tensor:
    module = load_network(folder).module
    assert module is not None
    return torch.cat([v.flatten() for v in module.state_dict().values()])


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("over", [False, True], ids=["new", "over"])
def test_each_call_in_turn_fails_and_a_network_is_the_old_or_the_new(
    tmp_path: Path, over: bool, lasting: bool
):
    old, new = tiny(), tiny(seed=1)
    wanted = weights(save_network(tmp_path / "wanted", new))
    before = weights(save_network(tmp_path / "before", old))

    def prepared(place: str) -> Path:
        (tmp_path / place).mkdir()
        return save_network(tmp_path / place / "net", old) if over else tmp_path / place / "net"

    def save(folder: Path) -> object:
        return save_network(folder, new, overwrite=over)

    first = prepared("clean")
    names = calls(lambda: save(first))
    for turn, name in enumerate(names):
        folder = prepared(str(turn))
        sentence = failing(lambda folder=folder: save(folder), turn, errno.EIO, lasting)
        assert ".part" not in (sentence or "")  # what is gone by now
        if sentence is None:
            assert torch.equal(weights(folder), wanted)
        elif "the network that was there is in" in sentence:
            assert lasting
            assert name in ("replace", "rename")
            (aside,) = folder.parent.glob(".net.*.old")
            assert repr(str(aside)) in sentence
            assert torch.equal(weights(aside), before)
        elif over:
            assert torch.equal(weights(folder), before)
        else:
            assert not folder.exists()
