"""The record of a saved network: which fields it has, and what each of them may hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..model import PREDICTIONS
from .architectures import config_of
from .asking import ASKED
from .errors import NetworkError
from .names import check_name
from .network import Network
from .process_text import process_to_dict
from .strict_json import is_count, is_number

FORMAT = 1
"""Number of the format, raised when a field changes its meaning."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(check_name(value))


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _is_shape(value: Any) -> bool:
    whole = isinstance(value, list) and all(is_count(n, 1) for n in value)
    return whole and 1 <= len(value) <= 8


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda v: type(v) is int and v == FORMAT, str(FORMAT)),
    "name": (_is_name, "a name"),
    "architecture": (_is_name, "a name"),
    "config": (_is_object, "an object"),
    "asked": (lambda v: v in ASKED, ", ".join(ASKED)),
    "process": (_is_object, "an object"),
    "prediction": (lambda v: v in PREDICTIONS, ", ".join(PREDICTIONS)),
    "shape": (_is_shape, "a list of 1 to 8 positive integers"),
    "lam_range": (_is_range, "two numbers"),
    "classes": (is_count, "an integer from 0 up"),
    "null_class": (lambda v: isinstance(v, bool), "true or false"),
    "sigma_data": (lambda v: is_number(v) and v > 0, "a positive number"),
    "about": (_is_object, "an object"),
    "digest": (lambda v: isinstance(v, str) and len(v) == 64, "64 hexadecimal digits"),
}


def check_record(record: Mapping[str, Any], where: str) -> None:
    """Every field there and right, no other.

    Raises
    ------
    NetworkError
        Naming the first field that is missing, unknown or wrong.
    """
    for kind, fields in (
        ("lacks", set(_FIELDS) - set(record)),
        ("has", set(record) - set(_FIELDS)),
    ):
        if fields:
            first = sorted(fields)[0]
            names = ", ".join(_FIELDS)
            msg = f"the record of {where} {kind} the field {first[:80]!r}; fields: {names}"
            raise NetworkError(msg)
    for field, (good, accepted) in _FIELDS.items():
        if not good(record[field]):
            shown = str(record[field])[:80]
            msg = f"{field} in the record of {where} is {shown!r}; accepted: {accepted}"
            raise NetworkError(msg)


def traits(network: Network) -> dict[str, Any]:
    """What JSON can hold of any network, its process and its weights left out."""
    return {
        "prediction": network.prediction,
        "shape": list(network.shape),
        "lam_range": list(network.lam_range),
        "classes": network.classes,
        "null_class": network.null_class,
        "sigma_data": network.sigma_data,
    }


def network_record(network: Network, asked: str) -> dict[str, Any]:
    """Everything but the digest, checked as a reader will check it."""
    name, config = config_of(network.module)
    record = {
        "format": FORMAT,
        "name": network.name,
        "architecture": name,
        "config": config,
        "asked": asked,
        "process": process_to_dict(network.process),
        **traits(network),
        "about": dict(network.about),
        "digest": "0" * 64,
    }
    check_record(record, f"the network {network.name!r}")
    try:
        json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as reason:
        msg = f"the config and the words about {network.name!r} must fit into JSON: {reason}"
        raise NetworkError(msg) from reason
    return record
