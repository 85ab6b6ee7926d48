"""Weights come in as numbers or not at all: hostile files, one sentence each, nothing executed."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from fokker.solvers.errors import OutputError
from fokker.solvers.networks import checkpoint
from fokker.solvers.networks.checkpoint import read_header, read_weights, write_weights
from fokker.solvers.networks.errors import CheckpointError
from fokker.solvers.networks.strict_json import LIMIT

GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def crafted(path: Path, header: Any, data: bytes = bytes(8), length: int | None = None) -> Path:
    """A file with a header of our choice: an object, or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def refused(path: Path, **like: Any) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_weights(path, **like)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "boom")


def test_weights_come_back_as_they_were(tmp_path: Path):
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool)
    tensors = {str(k): torch.arange(6).reshape(2, 3).to(k) for k in kinds}
    tensors |= {"empty": torch.zeros(0, 4), "scalar": torch.tensor(2.5)}
    tensors["turned"] = tensors["torch.float32"].T  # not contiguous, and of shared memory
    path = write_weights(tmp_path / "a.safetensors", tensors, {"name": "λ"})
    found = read_weights(path, like={k: tuple(v.shape) for k, v in tensors.items()})
    assert found.metadata == {"name": "λ"}
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert len(found.digest) == 64


def test_nothing_but_the_header_is_needed_to_know_the_shapes(tmp_path: Path):
    path = write_weights(tmp_path / "a.safetensors", {"w": torch.ones(2, 3)})
    entry = read_header(path).entries["w"]
    assert (entry.dtype, entry.shape, entry.begin, entry.end) == ("F32", (2, 3), 0, 24)


@pytest.mark.parametrize("form", ["pickle-2", "pickle-5", "torch", "torch-legacy", "pickle-0"])
def test_a_pickle_under_the_name_of_safetensors_is_named_and_not_run(tmp_path: Path, form: str):
    path, mark = tmp_path / "model.safetensors", tmp_path / "boom"
    if form.startswith("torch"):
        new = form == "torch"
        torch.save(
            {"w": Bomb(mark)},
            path,
            _use_new_zipfile_serialization=new,
            pickle_protocol=2,
        )
    else:
        path.write_bytes(pickle.dumps(Bomb(mark), protocol=int(form[-1])))
    sentence = refused(path)
    assert "runs the program in it" in sentence
    if form != "pickle-0":  # text, without a mark at its start
        assert "pickle is inside" in sentence if form == "torch" else "is a pickle" in sentence
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # the bomb is one


def test_a_file_that_only_begins_as_a_pickle_does_is_read(tmp_path: Path):
    """A header of 640 bytes begins with the bytes 80 02."""
    text = json.dumps({"w": GOOD}).encode()
    path = crafted(tmp_path / "a.safetensors", text + b" " * (640 - len(text)))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert torch.equal(read_weights(path).tensors["w"], torch.zeros(2))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x1f\x8b\x08\x00" + bytes(20), "a gzip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
        (b"\x93NUMPY\x01\x00" + bytes(20), "a NumPy array"),
        (bytes(257) + b"ustar" + bytes(20), "a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid ...", "git has not fetched"),
        (b"<!DOCTYPE html><html>", "no safetensors file"),
        (b"", "too few"),
        (bytes(9), "too few"),
    ],
)
def test_other_files_are_named(tmp_path: Path, start: bytes, kind: str):
    path = tmp_path / "a.safetensors"
    path.write_bytes(start)
    assert kind in refused(path)


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    for length in (LIMIT + 1, 2**40, 2**64 - 1):
        crafted(path, b"{}", length=length)
        with path.open("ab") as file:
            file.truncate(LIMIT + 2**20)  # a hole: long, and nothing on the disk
        assert f"claims a header of {length} bytes" in refused(path)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path):
    path = crafted(tmp_path / "a.safetensors", b'{"w":', b"", length=100)
    assert "claims a header of 100 bytes; accepted: at most" in refused(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"{" + b'"a":{' * 50_000, "nested too deep"),
        (b'{"w": \xff\xfe}', "is no JSON"),
        (b'{"w": 1', "is no JSON"),
        (b'{"w": {}, "w": {}}', "key 'w' is there twice"),
        (b'{"w": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}', "NaN is no number"),
        (b'{"w": {"shape": [' + b"9" * 5000 + b"]}}", "is no JSON"),
        ({"w": [1]}, "must have dtype, shape and data_offsets"),
        ({"w": {**GOOD, "code": "print()"}}, "and nothing else"),
        ({"w": {**GOOD, "dtype": "F8_E4M3"}}, "dtype 'F8_E4M3'; accepted: F64, F32"),
        ({"w": {**GOOD, "dtype": ["F32"]}}, "has the dtype"),
        ({"w": {**GOOD, "shape": [-2]}}, "has the shape [-2]"),
        ({"w": {**GOOD, "shape": [True, 2]}}, "has the shape [True, 2]"),
        ({"w": {**GOOD, "shape": [2.0]}}, "has the shape [2.0]"),
        ({"w": {**GOOD, "shape": 2}}, "has the shape 2"),
        ({"w": {**GOOD, "data_offsets": [0, 8, 16]}}, "two integers"),
        ({"w": {**GOOD, "data_offsets": [8, 0]}}, "needs 8 bytes"),
        (
            {"w": {**GOOD, "shape": [2**32, 2**32], "data_offsets": [0, 0]}},
            f"needs {2**66} bytes, but its offsets are [0, 0]",
        ),
        ({"w": {**GOOD, "shape": [3]}}, "needs 12 bytes, but its offsets are [0, 8]"),
        ({"__metadata__": {"a": 1}, "w": GOOD}, "metadata"),
        ({"__metadata__": "a", "w": GOOD}, "metadata"),
    ],
)
def test_a_header_that_contradicts_the_format_is_refused(tmp_path: Path, header: Any, words: str):
    assert words in refused(crafted(tmp_path / "a.safetensors", header))


@pytest.mark.parametrize(
    ("offsets", "size", "words"),
    [
        (([0, 8], [4, 12]), 12, "'a' and 'b' of"),
        (([0, 8], [0, 8]), 8, "overlap"),
        (([0, 8], [8, 16]), 12, "'b' of"),
        (([0, 8], [2**62, 2**62 + 8]), 16, "cut short"),
        (([0, 8], [12, 20]), 20, "belong to no tensor, from byte 8"),
        (([0, 8], [8, 16]), 40, "belong to no tensor, from byte 16"),
    ],
)
def test_tensors_lie_in_the_file_side_by_side(
    tmp_path: Path, offsets: tuple[list[int], list[int]], size: int, words: str
):
    header = {k: {**GOOD, "data_offsets": o} for k, o in zip("ab", offsets, strict=True)}
    assert words in refused(crafted(tmp_path / "a.safetensors", header, bytes(size)))


def test_every_cut_of_a_file_is_refused(tmp_path: Path):
    path = write_weights(tmp_path / "a.safetensors", {"w": torch.ones(3), "b": torch.ones(2)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ({"w": (2, 3), "b": (2,)}, "lacks 1 tensors: 'b'"),
        ({}, "has unknown 1 tensors: 'w'"),
        ({"w": (3, 2)}, "'w' of"),
        ({"v": (2, 3)}, "lacks 1 tensors: 'v'"),
    ],
)
def test_the_tensors_must_be_those_of_the_network(
    tmp_path: Path, like: dict[str, tuple[int, ...]], words: str
):
    path = write_weights(tmp_path / "a.safetensors", {"w": torch.ones(2, 3)})
    assert words in refused(path, like=like)


def test_shapes_are_compared_before_any_number_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A terabyte that is all hole: its header alone says that it is not the network's."""
    size = 2**40
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    path = crafted(tmp_path / "a.safetensors", header, b"")
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + size)

    def read(*_: Any) -> bytes:
        pytest.fail("the file was read")

    monkeypatch.setattr(checkpoint, "_all_of", read)
    assert "not (2,)" in refused(path, like={"w": (2,)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite_are_refused_by_name(
    tmp_path: Path, value: float, dtype: torch.dtype
):
    import safetensors.torch

    bad = {"fine": torch.ones(2), "of.no.use": torch.tensor([0.0, value], dtype=dtype)}
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save(bad))
    assert "'of.no.use'" in refused(path)
    with pytest.raises(CheckpointError, match=r"'of\.no\.use'.* holds NaN or infinity"):
        write_weights(tmp_path / "b.safetensors", bad)
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("place", ["", "missing.safetensors", "a\0b", "pipe"])
def test_what_cannot_be_read_is_named(tmp_path: Path, place: str):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    sentence = refused(tmp_path / place)
    assert "cannot read" in sentence or "is no ordinary file" in sentence


def test_metadata_is_words(tmp_path: Path):
    wrong: Any = {"steps": 3}
    with pytest.raises(CheckpointError, match="must be words by name"):
        write_weights(tmp_path / "a.safetensors", {"w": torch.ones(1)}, wrong)


def test_a_dtype_of_no_safetensors_is_refused_when_writing(tmp_path: Path):
    with pytest.raises(CheckpointError, match="accepted: F64"):
        write_weights(tmp_path / "a.safetensors", {"w": torch.ones(1, dtype=torch.complex64)})


def test_a_full_disk_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_weights(tmp_path / "a.safetensors", {"w": torch.ones(2)})

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_weights(path, {"w": torch.zeros(2)})
    assert torch.equal(read_weights(path).tensors["w"], torch.ones(2))
    assert [f.name for f in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("change", ["other names", "cut", "longer"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str):
    """Between its check and its reading another writes into the same file."""
    many = {f"a rather long name {k}": torch.ones(2) for k in range(200)}  # more than a buffer
    path = write_weights(tmp_path / "a.safetensors", many)
    whole, like = path.read_bytes(), dict.fromkeys(many, (2,))
    other = whole.replace(b'"a rather', b'"A rather')

    class Late(dict[str, tuple[int, ...]]):
        def items(self) -> Any:
            path.write_bytes({"other names": other, "cut": whole[:-1]}.get(change, whole + b"x"))
            return super().items()

    if change == "longer":  # what was there when it was looked at is all that is read
        assert read_weights(path, like=Late(like)).tensors.keys() == many.keys()
    else:
        assert "changed while it was read" in refused(path, like=Late(like))


def test_a_name_that_stands_for_a_pipe_after_its_check_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_weights(tmp_path / "a.safetensors", {"w": torch.ones(2)})
    found = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: found)  # of before
    assert "is no ordinary file" in refused(path)
