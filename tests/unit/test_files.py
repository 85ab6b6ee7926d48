"""A result is a whole file or no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fokker.solvers.errors import OutputError
from fokker.solvers.files import writable_folder, write_bytes_atomic, write_text_atomic


def test_a_text_is_written_whole_and_replaces_the_old_one(tmp_path: Path):
    path = tmp_path / "a.txt"
    assert write_text_atomic(path, "old, and longer") == path
    write_text_atomic(str(path), "λ = 1\n")
    assert path.read_bytes() == "λ = 1\n".encode()
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_bytes_are_written_as_they_are(tmp_path: Path):
    data = bytes(range(256))
    assert write_bytes_atomic(tmp_path / "a.png", data).read_bytes() == data


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    ours = write_text_atomic(tmp_path / "ours", "x")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, moment: str
):
    path = write_text_atomic(tmp_path / "a.json", "{}")

    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_text_atomic(path, "{'half': ")
    assert path.read_text() == "{}"
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("place", ["file", "file/below", "/dev/null/below", "nul\0byte"])
def test_a_folder_that_cannot_be_written_is_named_in_one_sentence(tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        writable_folder(tmp_path / place)
    sentence = str(caught.value)
    assert sentence.startswith("cannot write to the folder ")
    assert repr(os.fspath(tmp_path / place)) in sentence
    assert "\n" not in sentence


def test_a_read_only_folder_is_found_by_writing_not_by_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # the superuser of a test machine may write anywhere
    with pytest.raises(OutputError, match="Permission denied; choose a writable folder"):
        writable_folder(tmp_path)


def test_a_file_in_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write_text_atomic(tmp_path / "missing" / "a.txt", "x")


def test_the_folder_may_be_relative_or_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert writable_folder("here") == tmp_path / "here"
    assert writable_folder("~/there") == tmp_path / "there"
