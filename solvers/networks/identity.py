"""What a network is: facts that are compared exactly, and answers that are compared to rounding.

Results that are kept (images of a job, rows of a sweep) belong to one network. Its name says
little: weights are trained on, a file is edited, a law gets other numbers. So two things are kept:

**Facts**, the same on every device and machine, compared exactly: process, prediction, shape,
range of levels, classes, architecture; SHA-256 of all parameters and buffers of the module, each
with its name, dtype and shape; of the words and numbers that the call holds beside it; and, for a
network from ``file.py:function``, of the bytes of that file, of which a comment is a part.

**Probes**, measured and compared with a tolerance: what the network answers at three fixed states
(at a quarter, a half and three quarters of its range of levels, for the first, a middle and the
last class), and the tensors that the call holds, such as embeddings of texts or the means of an
exact law, each as its root mean square and four projections on fixed directions; and the times of
nine levels. They are not hashed, because a device, a library or another order of summation changes
their last digits: a hash of them would call one network two. What is only probed is known to
:data:`TOLERANCE`: a function of your own, the code of a module, a file that yours imports.

A probe that gives no finite number says nothing and equals every other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import FokkerError
from ..normals import normal_field
from .architectures import config_of
from .asking import module_dtype
from .errors import NetworkError
from .network import Network
from .process_text import process_to_dict
from .record import traits

FILE = "file SHA-256"
"""Under this word ``Network.about`` says which bytes a network of your own was made by."""
TOLERANCE = 5e-3
"""Between probes, relative to the largest: the trained digits differ by 6e-4 when their layers
round to TF32, as GPUs do, and by 8e-7 in float64."""
HALF_TOLERANCE = 5e-2
"""The same for weights of 16 bits: in bfloat16 they differ by 8e-3."""
_PROJECTIONS = 4
_PERIOD = 4096
_PIECE = 2**20
_ROUNDING = 1e-9  # a mean that is zero on one machine is 1e-17 on another

Probes = dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """Facts and probes of a network; they can be sent and are small."""

    facts: Mapping[str, Any]
    probes: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the facts, 64 hexadecimal digits."""
        return _digest(self.facts)

    def __hash__(self) -> int:
        return hash(self.digest)

    def difference(self, other: Identity) -> str | None:
        """In what two networks differ, ours first, in words; None if they are one."""
        for name in dict.fromkeys([*self.facts, *other.facts]):
            ours, theirs = (json.dumps(i.facts.get(name)) for i in (self, other))
            if ours != theirs:
                return f"its {name} is {brief(ours)} there and {brief(theirs)} here"
        return probes_differ(self.probes, other.probes)


def identity_of(network: Network, device: Any = "cpu") -> Identity:
    """Facts, and probes on a device."""
    return Identity(network_facts(network), network_probes(network, device))


def network_digest(network: Network) -> str:
    """SHA-256 of the facts: which network a record speaks of, whatever its name."""
    return _digest(network_facts(network))


def _digest(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def network_facts(network: Network) -> dict[str, Any]:
    """What JSON can hold of a network, its weights and the rest of its call by their SHA-256."""
    try:
        process: Any = process_to_dict(network.process)
    except (
        NetworkError
    ):  # a process that cannot be written down is known by its kind and its times
        process = {"name": type(network.process).__name__}
    return {
        "process": process,
        **traits(network),
        "architecture": None if network.module is None else _architecture(network.module),
        "weights SHA-256": None if network.module is None else weights_digest(network.module),
        "call SHA-256": _call_digest(network),
        FILE: network.about.get(FILE),
    }


def _architecture(module: nn.Module) -> dict[str, Any]:
    """What a module was built of: weights of one shape fit into several (heads of attention)."""
    try:
        name, config = config_of(_plain(module))
        return {"name": name, "config": json.loads(json.dumps(config, allow_nan=False))}
    except (NetworkError, TypeError, ValueError):  # of no architecture that can be written down
        return {"name": type(_plain(module)).__qualname__}


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the names, dtypes, shapes and numbers of all parameters and buffers."""
    found, module = hashlib.sha256(), _plain(module)
    buffers = dict(module.named_buffers(remove_duplicate=False))  # also those that are not saved
    saved = {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    for name, tensor in sorted({**buffers, **saved}.items()):
        found.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        found.update(numbers(tensor))
    return found.hexdigest()


def _plain(module: nn.Module) -> nn.Module:
    """The module that was compiled, if one was."""
    return getattr(module, "_orig_mod", module)


def numbers(tensor: Tensor) -> bytes:
    """The bytes of the numbers of a tensor, in their order."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()


def _held(value: Any, path: str, inside: nn.Module | None) -> Iterator[tuple[str, Any]]:
    """What a call holds: words, numbers, tensors and foreign modules, each with its place.

    Fields of dataclasses are followed, but for those with a leading underscore and those that are
    made from the others: an eigenbasis has its signs from a library.
    """
    if isinstance(value, nn.Module):
        own = inside is not None and _plain(value) is _plain(inside)
        yield path, None if own else weights_digest(value)
    elif isinstance(value, (Tensor, np.ndarray)):
        yield path, torch.as_tensor(value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield path, type(value).__qualname__
        for field in fields(value):
            if field.init and not field.name.startswith("_"):
                yield from _held(getattr(value, field.name), f"{path}.{field.name}", inside)
    elif isinstance(value, (Mapping, list, tuple)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        yield path, len(value)
        for key, part in sorted(pairs, key=lambda pair: str(pair[0]).zfill(20)):
            yield from _held(part, f"{path}[{key}]", inside)
    elif value is None or isinstance(value, (bool, int, float, str)):
        yield path, value


def _call_digest(network: Network) -> str:
    found = hashlib.sha256()
    for path, value in _held(network.call, "", network.module):
        said = tuple(value.shape) if isinstance(value, Tensor) else value
        found.update(f"{path}={said!r}|".encode())
    return found.hexdigest()


@torch.no_grad()
def network_probes(network: Network, device: Any = "cpu") -> Probes:
    """Fixed numbers of a network; the answers are asked for on a device, where its module is."""
    low, high = network.lam_range
    levels = [low + (high - low) * k / 8 for k in range(9)]
    held = _held(network.call, "", network.module)
    half = torch.finfo(module_dtype(network.module, torch.empty(0))).bits == 16
    return {
        "tolerance": HALF_TOLERANCE if half else TOLERANCE,
        "times": [float(f"{network.process.node_at_lam(lam).t:.12g}") for lam in levels],
        "answers": [_answer(network, k, levels[2 + 2 * k], device) for k in range(3)],
        "tensors": {path: _sketch(v) for path, v in held if isinstance(v, Tensor)},
    }


def _answer(network: Network, k: int, lam: float, device: Any) -> list[float] | None:
    """Sketch of what the network answers at the state k."""
    node = network.process.node_at_lam(lam)
    size = math.prod(network.shape)
    data, eps = normal_field(b"probe|state", (k, k + 3), size)
    x = torch.from_numpy(0.5 * node.alpha * data + node.sigma * eps).to(torch.float32)
    most = network.classes - (not network.null_class)
    labels = torch.full((1,), k * most // 2, device=device) if network.classes else None
    try:
        return _sketch(network.call(x.reshape(1, *network.shape).to(device), node.t, labels))
    except (FokkerError, RuntimeError, IndexError, TypeError, ValueError, AttributeError):
        return None  # the job itself will say what is wrong


def _sketch(tensor: Tensor) -> list[float] | None:
    """Root mean square and four projections, of six digits; None if they are not finite."""
    v = tensor.detach().reshape(-1)
    if not v.numel():
        return [0.0] * (1 + _PROJECTIONS)
    period = min(len(v), _PERIOD)
    w = torch.from_numpy(normal_field(b"probe|direction", range(_PROJECTIONS), period)).double()
    found = torch.zeros(1 + _PROJECTIONS, dtype=torch.float64)
    for piece in v.split(_PIECE):  # the points of an empirical law can fill half the memory
        x = piece.to("cpu", torch.float64)
        rows = nn.functional.pad(x, (0, -len(x) % period)).reshape(-1, period)
        found += torch.cat([x.square().sum()[None], w @ rows.sum(0)])
    found /= len(v) ** 0.5
    found[0] = (found[0] / len(v) ** 0.5).sqrt()
    return [float(f"{n:.6g}") for n in found.tolist()] if bool(found.isfinite().all()) else None


def probes_differ(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """In what two sets of probes differ, in words; None if they are those of one network."""
    times = there.get("times"), here.get("times")
    if not _close(*times, 1e-9):
        return f"its times at nine levels are {_shown(times[0])} there and {_shown(times[1])} here"
    old, new = (dict(found.get("tensors") or {}) for found in (there, here))
    for path in sorted({*old, *new}):
        if not _close(old.get(path), new.get(path), here["tolerance"]):
            return f"the tensor {path.lstrip('.') or 'of its call'} is another one"
    pairs = zip(there.get("answers") or [], here.get("answers") or [], strict=False)
    for k, (one, other) in enumerate(pairs):
        if not _close(one, other, here["tolerance"]):
            said = f"{_shown(one)} there and {_shown(other)} here"
            return f"its answer to probe {k} (rms and projections) is {said}"
    return None


def _close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether no number differs by more than a share of the largest; None is close to all."""
    if a is None or b is None:
        return True
    allowed = _ROUNDING + tolerance * max((abs(v) for v in (*a, *b)), default=0.0)
    return len(a) == len(b) and all(abs(u - v) <= allowed for u, v in zip(a, b, strict=True))


def _shown(values: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values or ()) + ")"


def brief(text: str) -> str:
    """A value for a sentence: the first twelve digits of a SHA-256, sixty letters of all else."""
    plain = text.strip('"')
    return plain[:12] if len(plain) == 64 and plain.isalnum() else text[:60]
