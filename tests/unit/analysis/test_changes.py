"""Two certificates compared: what got worse is called worse, and nothing else is."""

from __future__ import annotations

import copy

import pytest

import fake_certificate as fake
from fokker.analysis.changes import changes

GOOD = ("order", 2, 2.01)


def pair() -> tuple[dict, dict]:
    before = fake.certificate([fake.sampler("a", [fake.order_row(*GOOD)])])
    return before, copy.deepcopy(before)


def entry(certificate: dict) -> dict:
    return certificate["samplers"][0]


def lower_claim(c: dict) -> None:
    entry(c)["claims"]["order"] = 1
    entry(c)["orders"][0]["declared"] = 1


WORSE = {
    "verdict": (lambda c: entry(c)["verdicts"].update(order="not resolved"), "is not resolved"),
    "claim lowered": (lower_claim, "claims order 1, warm, before 2"),
    "claim gone": (lambda c: entry(c)["claims"].update(order=None), "claims no longer order 2"),
    "order": (lambda c: entry(c)["orders"][0].update(order=1.8), "observed 1.80, before 2.01"),
    "failure": (lambda c: entry(c).update(failure="it broke"), "fails now: it broke"),
    "error": (lambda c: entry(c)["errors"][2].update(value=1.0), "at 20 NFE: 1.0e0"),
    "diverges": (lambda c: entry(c)["errors"][0].update(value=None), "at 5 NFE: diverges"),
    "cost": (lambda c: entry(c).update(nfe_per_step=2.0), "costs 2 evaluations a step, before 1"),
    "stability": (lambda c: entry(c)["stability"].update(low=-1.0), "stable down to -1, before"),
}


@pytest.mark.parametrize("name", WORSE)
def test_what_is_lost_is_worse_and_the_way_back_is_better(name: str):
    spoil, text = WORSE[name]
    before, after = pair()
    spoil(after)
    found = changes(before, after)
    assert [c.sort for c in found] == ["worse"]
    assert text in found[0].text
    back = changes(after, before)
    assert [c.sort for c in back] == (["other"] if name == "claim gone" else ["better"])


def test_equal_certificates_have_no_changes():
    assert changes(*pair()) == []


def test_errors_within_the_ratio_or_at_the_rounding_floor_are_the_same():
    before, after = pair()
    for row in entry(after)["errors"]:
        row["value"] *= 1.4
    assert changes(before, after) == []
    assert len(changes(before, after, ratio=1.3)) == len(entry(after)["errors"])
    for certificate, value in ((before, 1e-15), (after, 9e-13)):
        for row in entry(certificate)["errors"]:
            row["value"] = value
    assert changes(before, after) == []
    entry(after)["floors"]["float64"] = 1e-7  # floors of the sampler itself count too
    entry(after)["errors"][0]["value"] = 5e-7
    assert changes(before, after) == []


def test_a_sampler_that_comes_or_goes_is_neither_worse_nor_better():
    before, after = pair()
    after["samplers"][0]["name"] = "b"
    found = {(c.sort, c.sampler, c.text) for c in changes(before, after)}
    assert found == {("other", "a", "is no longer there"), ("other", "b", "is new")}


def test_stable_everywhere_is_better_than_any_interval():
    before, after = pair()
    entry(after)["stability"]["low"] = "-inf"
    assert [c.sort for c in changes(before, after)] == ["better"]


def test_what_is_worse_comes_first():
    before, after = pair()
    entry(after)["nfe_per_step"] = 0.5
    entry(after)["verdicts"]["order"] = "not met"
    after["samplers"].append(fake.sampler("z", []))
    assert [c.sort for c in changes(before, after)] == ["worse", "better", "other"]
