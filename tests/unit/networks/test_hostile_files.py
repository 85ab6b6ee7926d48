"""Headers, records and names made to trip a reader: refused in one short printable sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from fokker import cli
from fokker.solvers.errors import FokkerError
from fokker.solvers.networks import checkpoint
from fokker.solvers.networks.architectures import build_module
from fokker.solvers.networks.checkpoint import read_weights, write_weights
from fokker.solvers.networks.errors import CheckpointError, NetworkError, told
from fokker.solvers.networks.folder import load_network, save_network
from fokker.solvers.networks.names import check_name
from fokker.solvers.networks.strict_json import DEPTH, parse_json
from tiny_networks import tiny

HUGE = 10**4000
ESCAPES = "\x1b]0;owned\x07\n\u202e"


def said(caught: pytest.ExceptionInfo[Any]) -> str:
    """The sentence: short, on one line, and without what moves a cursor."""
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 600
    return sentence


def crafted(path: Path, header: Any, data: bytes = bytes(8)) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shape": [HUGE]}, "integers from 0 to 2^63 - 1"),
        ({"shape": [0, 2**63]}, "integers from 0 to 2^63 - 1"),
        ({"shape": [2**62] * 64}, "needs more than 2^70 bytes"),
        ({"data_offsets": [0, HUGE]}, "integers from 0 to 2^63 - 1"),
        ({"data_offsets": ESCAPES}, "has the offsets \\x1b]0;owned"),
        ({"shape": ESCAPES}, "has the shape \\x1b]0;owned"),
        ({"dtype": ESCAPES}, "has the dtype"),
        ({"shape": [[[0] * 9] * 9] * 9}, "has the shape"),
    ],
    ids=range(8),
)
def test_numbers_and_words_of_a_header_stay_in_their_bounds(
    tmp_path: Path, changed: dict[str, Any], words: str
):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}
    with pytest.raises(CheckpointError) as caught:
        read_weights(crafted(tmp_path / "a.safetensors", {"w": entry}))
    assert words in said(caught)


def test_names_of_tensors_are_quoted_and_cut(tmp_path: Path):
    path = write_weights(tmp_path / "a.safetensors", {ESCAPES + "n" * 999: torch.ones(2)})
    with pytest.raises(CheckpointError) as caught:
        read_weights(path, like={})
    assert r"'\x1b]0;owned\x07\n\u202ennn" in said(caught)


def test_a_truth_value_is_true_or_false(tmp_path: Path):
    """PyTorch takes any byte for one, and computes with it what is neither."""
    entry = {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}
    good = crafted(tmp_path / "a.safetensors", {"mask": entry}, b"\x00\x01")
    assert read_weights(good).tensors["mask"].tolist() == [False, True]
    bad = crafted(tmp_path / "b.safetensors", {"mask": entry}, b"\x00\x02")
    with pytest.raises(CheckpointError, match=r"'mask' .* neither true nor false"):
        read_weights(bad)


def test_a_file_larger_than_the_memory_is_said_so():
    class Large(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise MemoryError

    with pytest.raises(CheckpointError, match="has 99 bytes, more than this machine can hold"):
        checkpoint._all_of(Large(), 99, "it")


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_json_is_as_deep_as_is_written_again_without_trouble(open_: str, close: str):
    def nested(depth: int) -> bytes:
        return f'{{"a":{open_ * (depth - 1)}1{close * (depth - 1)}}}'.encode()

    json.dumps(parse_json(nested(DEPTH), "it"), indent=1)
    for depth in (DEPTH + 1, 500, 100_000):
        with pytest.raises(NetworkError, match="it is nested too deep"):
            parse_json(nested(depth), "it")


def test_a_number_that_no_float_holds_is_not_read_as_infinity():
    with pytest.raises(NetworkError, match="1e999 is too large for float64"):
        parse_json(b'{"a": 1e999}', "it")
    assert parse_json(b'{"a": 1e308, "b": 1e-999}', "it") == {"a": 1e308, "b": 0.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", {ESCAPES: 1}),
        ("config", {"size": 3, "classes": 2, "x" * 10_000: 1}),
        ("config", {"size": "3" * 10_000, "classes": 2}),
        ("process", {"name": "vp-linear", ESCAPES + "k" * 10_000: 1}),
        ("about", {"a": json.loads("[" * 900 + "]" * 900)}),
        ("lam_range", [-(10**400), 1e308]),
    ],
    ids=range(6),
)
def test_a_record_cannot_fill_the_screen(tmp_path: Path, field: str, value: Any):
    folder = save_network(tmp_path / "net", tiny())
    record = json.loads((folder / "network.json").read_text())
    (folder / "network.json").write_text(json.dumps({**record, field: value}))
    with pytest.raises(NetworkError) as caught:
        load_network(folder)
    said(caught)


NAMES = {
    "devices": ["con", "NUL", "nul.txt", "aux ", "COM1", "lpt9.safetensors", "clock$", "com0.a.b"],
    "wide and composed": ["a\uff0fb", "\uff0e\uff0e", "e\u0301", "com\u00b9", "\ufb01", "\u00bd"],
    "unseen": ["a\u3164", "a\u115f", "a\ufe0f", "a\u034f", "\U000e0100"],
    "long": ["\U0001f600" * 51, "\u4e00" * 67],
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_the_same_on_every_system_and_to_every_eye(kind: str):
    for name in NAMES[kind]:
        with pytest.raises(NetworkError, match="cannot be a name") as caught:
            check_name(name)
        assert str(caught.value).isprintable()
    for name in ("console", "nulls", "comet1", "\u00e9", "\u4e00" * 66, "com10", "a-con", "lpt"):
        assert check_name(name) == name


def test_words_of_a_stranger_do_not_move_the_cursor(capsys: pytest.CaptureFixture):
    assert told("a\x1b[2J\n  b\udc80") == r"a\x1b[2J b\udc80"
    assert told("x" * 999, 9) == "x" * 9
    assert cli._say("no\x1b[2J network λ", 2) == 2
    line = capsys.readouterr().err.removesuffix("\n")
    assert line.isprintable()
    assert "λ" in line


class Seen(TorchFunctionMode):
    """Names of the functions that are really called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))


def test_no_number_is_drawn_for_a_module_without_memory():
    config = {"channels": 1, "image": 8, "width": 8, "classes": 3}
    state = torch.get_rng_state()
    with Seen() as seen:
        module = build_module("small-unet", config, "meta")
    assert not seen.names & {"normal_", "uniform_"}
    assert "fill_" in seen.names
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    real = build_module("small-unet", config)
    assert bool(real.state_dict()["label.weight"].std() > 0.5)  # a real one is as ever
    assert torch.equal(torch.get_rng_state(), state)


def outcome(path: Path) -> str:
    """Why a file is refused; nothing if it is read."""
    try:
        read_weights(path)
    except FokkerError as error:
        return str(error)
    return ""


def test_any_change_of_a_header_gives_weights_or_a_sentence(tmp_path: Path):
    """Every value of a header replaced by each of many odd ones: nothing else ever comes out."""
    header: dict[str, Any] = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
        "__metadata__": {"of": "me"},
    }
    odd = [None, True, -1, 2**63, HUGE, 1.5, "", ESCAPES, "F16", "BOOL", [], {}, [0], [8, 8],
           [0, 2**63 - 1], [2**62, 2**62], {"a": 1}, "\ud800", [HUGE, HUGE]]  # fmt: skip
    read = 0
    for name, entry in header.items():
        for key in (None, *entry):
            for value in odd:
                changed = {**header, name: value if key is None else {**entry, key: value}}
                path = crafted(tmp_path / "a.safetensors", changed, bytes(16))
                sentence = outcome(path)
                read += not sentence
                assert sentence.isprintable()
                assert len(sentence) < 600
    assert 0 < read < 20  # words that may be anything, tensors of nothing
