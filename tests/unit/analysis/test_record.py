"""The record of a certificate: read whole or refused with a sentence, written without loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import fake_certificate as fake
from fokker.analysis.record import check, finite, plain, read, tally, to_json, verdict
from fokker.solvers.errors import AnalysisError


def test_a_certificate_survives_the_way_to_a_file_and_back(tmp_path: Path):
    certificate = fake.certificate()
    (tmp_path / "c.json").write_text(to_json(certificate), encoding="utf-8")
    assert read(tmp_path / "c.json") == plain(certificate)


def test_numbers_become_the_types_of_json():
    data = {
        "a": np.float64(0.1),
        "b": np.arange(2),
        "c": (1, True, None),
        "d": math.nan,
        "e": -math.inf,
        "f": Path("x"),
    }
    expected = {"a": 0.1, "b": [0, 1], "c": [1, True, None], "d": None, "e": "-inf", "f": "x"}
    assert plain(data) == expected
    assert plain(data)["c"][1] is True
    json.dumps(plain(data), allow_nan=False)


def test_only_finite_numbers_are_numbers():
    assert finite(1) == 1
    assert finite(0.5) == 0.5
    for value in (None, "inf", math.inf, math.nan, True):
        assert finite(value) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "is not JSON: "),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"[]", "must be dict, got list"),
        (b"{}", "has the schema None; accepted: 1"),
        (b'{"schema": true}', "has the schema True; accepted: 1"),
        (b'{"schema": 1}', "has no 'problems'"),
    ],
)
def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, text: bytes, sentence: str):
    path = tmp_path / "c.json"
    path.write_bytes(text)
    with pytest.raises(AnalysisError) as refused:
        read(path)
    assert sentence in str(refused.value)
    assert "c.json" in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(AnalysisError, match=r"cannot read .*none.json.*: No such file"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda c: c["samplers"].append(3), r"samplers\[6\] .* must be dict, got int"),
        (lambda c: c["samplers"][0].pop("name"), r"samplers\[0\] .* has no 'name'"),
        (lambda c: c["samplers"][0].update(orders=3), r"orders of samplers\[0\] .* must be list"),
        (lambda c: c["samplers"][0]["orders"][0].pop("steps"), r"orders\[0\] .* has no 'steps'"),
        (lambda c: c["samplers"][0]["errors"][1].update(nfe="5"), r"'nfe' of errors\[1\]"),
        (lambda c: c["samplers"][0]["verdicts"].update(order="ok"), r"the verdict 'ok'"),
    ],
)
def test_the_first_wrong_place_is_named(spoil, sentence: str):
    certificate = fake.certificate()
    spoil(certificate)
    with pytest.raises(AnalysisError, match=sentence):
        check(certificate)


def test_a_claim_has_its_worst_verdict_and_an_unmeasured_one_is_not_resolved():
    rows = [fake.order_row("order", 2, seen) for seen in (2.0, None, 1.2, 2.1)]
    entry = fake.sampler("a", rows)
    entry["verdicts"] = {}  # nobody gathered them
    assert verdict(entry, "order") == "not met"
    entry["orders"] = rows[:2]
    assert verdict(entry, "order") == "not resolved"
    assert verdict(entry, "strong") == "not resolved"


def test_claims_are_counted_by_verdict():
    assert tally(fake.certificate()) == {"met": 5, "not met": 1, "not resolved": 1, "failed": 1}
