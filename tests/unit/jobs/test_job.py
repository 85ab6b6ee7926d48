"""The record of a job: what it accepts, what it is compared by, and how it is cut up."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.job import Job, determining, difference, identity
from fokker.solvers.jobs.labels import labels_of, parse_labels
from fokker.solvers.jobs.shards import Shard, device_of, parse_shard, torchrun_shard
from fokker.solvers.jobs.spacing import SPACINGS, grid_of
from fokker.solvers.networks.identity import network_facts
from small_networks import gaussians

OTHER: dict[str, Any] = {
    "network": "another",
    "sampler": "ddim",
    "steps": 7,
    "count": 17,
    "options": {"eta": 0.5},
    "grid": "karras",
    "to_zero": False,
    "guidance": 2.0,
    "interval": (-1.0, math.inf),
    "labels": (1, 2),
    "size": (8, 8),
    "seed": 1,
    "batch": 3,
    "dtype": "float64",
    "autocast": "bfloat16",
}
FULL = Job("digits", **{k: v for k, v in OTHER.items() if k != "network"})


@pytest.mark.parametrize("job", [Job("digits"), FULL], ids=["defaults", "full"])
def test_a_job_survives_json(job: Job):
    text = json.dumps(job.to_dict(), allow_nan=False)
    assert Job.from_dict(json.loads(text)) == job


@pytest.mark.parametrize("name", OTHER)
def test_every_field_that_determines_the_images_changes_the_identity(name: str):
    facts = network_facts(gaussians())
    one = determining(Job("digits"), facts)
    other = determining(replace(Job("digits"), **{name: OTHER[name]}), facts)
    assert identity(one) != identity(other)
    assert str(difference(one, other)).startswith(f"{name} is ")


def test_the_device_does_not_but_the_facts_of_the_network_do():
    facts = network_facts(gaussians())
    one = determining(Job("digits"), facts)
    assert identity(one) == identity(determining(Job("digits", device="cuda"), facts))
    other = determining(Job("digits"), network_facts(gaussians(classes=4)))
    assert difference(one, other) == "network's classes is 3 there and 4 here"
    assert difference(one, one) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", " "),
        ("sampler", 3),
        ("steps", 0),
        ("steps", 2.5),
        ("count", -1),
        ("batch", True),
        ("seed", 0.5),
        ("grid", "uniform"),
        ("to_zero", 1),
        ("guidance", math.nan),
        ("interval", (1.0, 1.0)),
        ("interval", (1.0,)),
        ("labels", "all"),
        ("labels", ()),
        ("size", (0, 3)),
        ("size", (3,)),
        ("dtype", "bfloat16"),
        ("autocast", "float32"),
        ("options", {"eta": math.inf}),
        ("options", {"eta": {1, 2}}),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, value: Any):
    with pytest.raises(JobError, match=f"^{field} of a job is .*; accepted: "):
        Job(**{"network": "digits", field: value})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"network": "a", "step": 3}, "the unknown field 'step'; its fields: network, sampler"),
        ({"steps": 3}, "a job has no network"),
        ({"network": "a", "interval": 3}, "a field of another kind"),
        ({"network": "a", "interval": ["low", 1]}, "a field of another kind"),
    ],
)
def test_a_record_of_another_form_is_refused(found: dict[str, Any], sentence: str):
    with pytest.raises(JobError, match=sentence):
        Job.from_dict(found)


@pytest.mark.parametrize(("count", "batch"), [(1, 1), (7, 3), (6, 3), (2, 5)])
def test_batches_and_shards_share_the_ids_out_without_rest(count: int, batch: int):
    job = Job("digits", count=count, batch=batch)
    assert list(itertools.chain(*job.batches())) == list(range(count))
    assert max(map(len, job.batches())) <= batch
    for n in (1, 2, 3):
        shares = [Shard(i, n).take(job.batches()) for i in range(n)]
        assert sorted(b.start for share in shares for b in share) == [
            b.start for b in job.batches()
        ]


def test_the_label_of_an_image_is_a_function_of_its_id():
    assert labels_of(parse_labels("cycle"), range(4, 8), 3) == [1, 2, 0, 1]
    assert labels_of(parse_labels("2"), range(3), 3) == [2, 2, 2]
    assert labels_of(parse_labels("0, 2,3"), range(2, 6), 3) == [3, 0, 2, 3]
    assert labels_of(parse_labels("none"), range(2), 3) is None
    for rule, classes, sentence in (
        ("3,4", 3, "label 4 is no class of the network; accepted: 0 .. 2, and 3 for none"),
        ("-1", 3, "label -1 is no class"),
        ("cycle", 0, "the network has no classes"),
    ):
        with pytest.raises(JobError, match=sentence):
            labels_of(parse_labels(rule), range(2), classes)
    with pytest.raises(JobError, match="got 'all'"):
        parse_labels("all")


def test_a_shard_is_given_in_words_or_by_torchrun():
    assert parse_shard(" 1 / 3") == Shard(1, 3)
    assert torchrun_shard({"RANK": "2", "WORLD_SIZE": "4"}) == Shard(2, 4)
    assert torchrun_shard({"RANK": "2"}) is None
    assert device_of("cuda", {"LOCAL_RANK": "1"}) == "cuda:1"
    assert device_of("cuda", {}) == "cuda"
    assert device_of("cpu", {"LOCAL_RANK": "1"}) == "cpu"
    for text in ("3/3", "1", "a/b", "-1/2", "0/0"):
        with pytest.raises(JobError, match="shard"):
            parse_shard(text)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_covers_the_range_of_the_network(spacing: str):
    network = gaussians()
    for steps, to_zero in ((1, True), (5, True), (5, False)):
        grid = grid_of(network, spacing, steps, to_zero=to_zero)
        assert len(grid) == steps
        assert grid.to_zero == to_zero
        last = grid[-2] if to_zero and steps > 1 else grid[-1]
        ends = (grid[0].lam, last.lam)
        low, high = network.lam_range
        assert ends == pytest.approx((low, math.inf if steps == 1 else high), abs=1e-9)
    places = {
        "uniform-lam": lambda n: n.lam,
        "uniform-t": lambda n: n.t,
        "quadratic-t": lambda n: n.t**0.5,
        "karras": lambda n: n.rho ** (1 / 7),
    }
    if spacing in places:
        nodes = grid_of(network, spacing, 5, to_zero=False).nodes
        steps = np.diff([places[spacing](n) for n in nodes])
        assert steps == pytest.approx(np.full(5, steps.mean()), rel=1e-6)
    same = [n.lam for n in grid_of(network, "uniform-lam", 4).nodes]
    assert same == [n.lam for n in network.grid(4).nodes]
