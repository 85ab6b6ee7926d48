"""A process is a name and numbers: it comes back bit for bit, and nothing else comes in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fokker.solvers.discrete import from_alphas_cumprod
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.process_text import (
    PROCESSES,
    process_from_dict,
    process_to_dict,
)
from fokker.solvers.process import Process
from fokker.solvers.processes.mean_reverting import MeanReverting
from fokker.solvers.schedules import (
    EDM,
    VE,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPCosine,
    VPLinear,
)

TABLE = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
ALL = [
    VPLinear(0.1, 1 / 3),
    VPCosine(0.01),
    SubVP(),
    VE(0.01, 50.0),
    EDM(100 / 3),
    RectifiedFlow(),
    Trigonometric(),
    from_alphas_cumprod(TABLE),
    from_alphas_cumprod([0.9, 0.1, 0.0]),
]


@pytest.mark.parametrize("process", ALL, ids=lambda p: type(p).__name__)
def test_a_process_comes_back_from_json_bit_for_bit(process: Process):
    back = process_from_dict(json.loads(json.dumps(process_to_dict(process))))
    assert back == process
    assert type(back) is type(process)


def test_every_name_of_the_table_is_tried():
    assert {type(p) for p in ALL} == set(PROCESSES.values())


def test_a_process_of_no_name_is_refused():
    with pytest.raises(NetworkError, match="a MeanReverting cannot be written down; accepted: vp"):
        process_to_dict(MeanReverting())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({}, "unknown process 'None'"),
        ({"name": "VPLinear"}, "accepted: vp-linear"),
        ({"name": ["ve"]}, "unknown process"),
        ({"name": "vp-linear", "beta_min": 0.1}, r"has the parameters \['beta_max', 'beta_min'\]"),
        ({"name": "rectified-flow", "s": 1}, "has the parameters"),
        ({"name": "vp-cosine", "s": "0.1"}, "s of the process 'vp-cosine' must be a number"),
        ({"name": "vp-cosine", "s": True}, "must be a number"),
        ({"name": "vp-cosine", "s": 10**400}, "must be a number"),
        ({"name": "vp-cosine", "s": -1}, "is none: s must be a positive"),
        ({"name": "discrete-vp", "log_alphas": [-1], "zero_terminal": False}, "needs a list"),
        ({"name": "discrete-vp", "log_alphas": [-1, -2], "zero_terminal": 1}, "needs a list"),
        ({"name": "discrete-vp", "log_alphas": [-1, None], "zero_terminal": True}, "needs a list"),
        ({"name": "discrete-vp", "log_alphas": [-2, -1], "zero_terminal": True}, "entry 1 is -1"),
        ({"name": "discrete-vp", "log_alphas": [0, -1], "zero_terminal": True}, "entry 0 is 0"),
    ],
)
def test_a_text_that_is_no_process_is_refused(text: dict[str, Any], words: str):
    with pytest.raises(NetworkError, match=words):
        process_from_dict(text)
