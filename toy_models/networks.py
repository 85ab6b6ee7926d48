"""Networks by name: the trained one that comes with the package, and exact laws in its place.

===================  ===========  =============================================================
name                 shape        what it is
===================  ===========  =============================================================
``digits``           (1, 8, 8)    a trained network, ten classes (:mod:`.train_digits`)
``digits-mixture``   (1, 8, 8)    exact: a Gaussian for each class; without a class the mixture
``digits-empirical`` (1, 8, 8)    exact: the images themselves, by class; it memorises
``digits-gaussian``  (1, 8, 8)    exact: one Gaussian
``image-mixture-32`` (3, 32, 32)  exact: 16 smooth images with 8 modes each
``image-mixture-64`` (3, 64, 64)  the same, larger
``gaussian``, ...    (d,)         the other reference problems of :mod:`.problems`
===================  ===========  =============================================================

All run on the linear variance-preserving process. Exact networks compute in float64 and answer in
the dtype of x, on any device.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..solvers.adapters.callable_box import load, source_digest
from ..solvers.engine.upload import upload
from ..solvers.model import Model
from ..solvers.networks.errors import NetworkError
from ..solvers.networks.folder import RECORD, load_network
from ..solvers.networks.identity import FILE
from ..solvers.networks.network import Network
from ..solvers.networks.rows import Time
from ..solvers.networks.strict_json import read_json
from ..solvers.process import Process
from ..solvers.schedules import VPLinear
from .digits import digits_empirical, digits_labels, digits_mixture
from .empirical import Empirical
from .guided import restricted
from .images import image_mixture
from .law import Denoiser, exact_model
from .problems import PROBLEMS, problem

WEIGHTS = Path(__file__).with_name("weights")
"""Folders of the networks that come with the package."""
IMAGE = (1, 8, 8)
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, eq=False)
class ExactCall:
    """``call(x, t, labels)`` of exact laws: row b is asked of the law of its label.

    t is a float or a time for each row, (B,).

    Attributes
    ----------
    laws : tuple of laws
        One for each class and, last, the one without a class.
    process : Process
        Through which they are seen.
    prediction : str
        What is answered.
    """

    laws: tuple[Denoiser, ...]
    process: Process
    prediction: str
    takes_rows: ClassVar[bool] = True
    host_labels: ClassVar[bool] = True
    _models: dict[torch.device, list[Model]] = field(default_factory=dict, repr=False)

    def __call__(self, x: Tensor, t: Time, labels: Tensor | None) -> Tensor:
        """The prediction, of the shape and dtype of x."""
        models = self._on(x.device)
        if labels is None:
            return models[-1](x, t)
        out = torch.empty_like(x)
        for label, rows in _by_class(tuple(labels.tolist()), x.device):
            times = t[rows.to(t.device)] if isinstance(t, Tensor) else t
            out.index_copy_(0, rows, models[label](x.index_select(0, rows), times))
        return out

    def _on(self, device: torch.device) -> list[Model]:
        if device not in self._models:
            self._models[device] = [
                exact_model(law.to(device), self.process, self.prediction) for law in self.laws
            ]
        return self._models[device]


@functools.lru_cache(maxsize=64)
def _by_class(labels: tuple[int, ...], device: torch.device) -> list[tuple[int, Tensor]]:
    """Each class that occurs, with its rows."""
    found = torch.tensor(labels)
    return [
        (int(label), upload((found == label).nonzero()[:, 0], device, torch.long))
        for label in found.unique()
    ]


def exact_network(
    name: str,
    law: Denoiser,
    process: Process,
    lam_range: tuple[float, float],
    *,
    shape: tuple[int, ...] | None = None,
    by_class: Sequence[Denoiser] = (),
    prediction: str = "data",
    about: str = "",
) -> Network:
    """A law seen through a process, as a network.

    Parameters
    ----------
    name : str
        Its name.
    law : law
        The law without a class, of dimension ``prod(shape)``.
    process : Process
        Forward process.
    lam_range : (float, float)
        Half log-SNRs between which it is sampled; exact at all of them.
    shape : tuple of int, optional
        Shape of a sample; (d,) by default.
    by_class : sequence of laws
        The law of each class; none for an unconditional network. Guidance is exact: it mixes
        these with ``law``.
    prediction : str
        What the network gives.
    about : str
        A few words.

    Raises
    ------
    NetworkError
        If a law does not have the dimension of the shape.

    Examples
    --------
    >>> p = problem("gaussian")
    >>> network = exact_network("mine", p.law, p.process, (p.lam_start, p.lam_end))
    >>> network.model()(torch.zeros(2, 4), p.start.t).shape
    torch.Size([2, 4])
    """
    shape = shape or (law.dim,)
    laws = (*by_class, law)
    for one in laws:
        if one.dim != torch.Size(shape).numel():
            msg = f"a law of dimension {one.dim} does not fill samples of shape {shape}"
            raise NetworkError(msg)
    return Network(
        name=name,
        call=ExactCall(laws, process, prediction),
        process=process,
        prediction=prediction,
        shape=shape,
        lam_range=lam_range,
        classes=len(by_class),
        about={"exact": True, "law": about or getattr(law, "name", type(law).__name__)},
    )


def _of_problem(name: str) -> Network:
    p = problem(name)
    shape = IMAGE if name.startswith("digits") else None
    by_class = ()
    if name == "digits-mixture":
        by_class = [restricted(digits_mixture(), [k]) for k in range(10)]
    return exact_network(
        name, p.law, p.process, (p.lam_start, p.lam_end), shape=shape, by_class=by_class
    )


def _digits_empirical() -> Network:
    law, labels = digits_empirical(), digits_labels()
    by_class = [Empirical(law.points[labels == k]) for k in range(10)]
    return exact_network(
        "digits-empirical", law, VPLinear(), (-4.0, 4.0), shape=IMAGE, by_class=by_class
    )


def _image_mixture(size: int) -> Network:
    law = image_mixture(size=size)
    name = f"image-mixture-{size}"
    return exact_network(name, law, VPLinear(), (-5.0, 4.0), shape=(3, size, size))


_NAMED: dict[str, Callable[[], Network]] = {
    "digits": lambda: load_network(WEIGHTS / "digits"),
    "digits-empirical": _digits_empirical,
    "image-mixture-32": lambda: _image_mixture(32),
    "image-mixture-64": lambda: _image_mixture(64),
    **{name: functools.partial(_of_problem, name) for name in PROBLEMS},
}
NETWORKS = tuple(_NAMED)
"""The accepted names."""


def named_network(name: str) -> Network:
    """The network of that name, built anew.

    Raises
    ------
    NetworkError
        For an unknown name; the sentence lists the accepted ones.

    Examples
    --------
    >>> network = named_network("digits-mixture")
    >>> network.model(labels=[3, 7])(torch.zeros(2, 1, 8, 8), 0.5).shape
    torch.Size([2, 1, 8, 8])
    """
    if name not in _NAMED:
        msg = f"unknown network {name!r}; accepted: {', '.join(NETWORKS)}"
        raise NetworkError(msg)
    return _NAMED[name]()


def weights_digest(name: str) -> str:
    """Digest of the weights of a network that comes with the package, 64 hexadecimal digits."""
    return str(read_json(WEIGHTS / name / RECORD, "the record")["digest"])


def find_network(text: str) -> Network:
    """The network that a text stands for, as the command line takes it.

    In this order: a name of :data:`NETWORKS`; ``file.py:function``, a function of your own
    without arguments that returns a Network (the file is run: it is your program); a folder that
    :func:`~fokker.solvers.networks.folder.save_network` wrote; and what diffusers calls a model,
    a folder or a name on its hub. Weights are read from safetensors only, so that nothing in a
    folder is run.

    Raises
    ------
    NetworkError
        If it is none of these.
    """
    if text in _NAMED:
        return named_network(text)
    file, colon, function = text.rpartition(":")
    if colon and file.endswith(".py"):
        return _own(file, function)
    folder = _folder(text)
    if folder is not None and (folder / RECORD).is_file():
        return load_network(folder)
    if folder is not None or _HUB.fullmatch(text):
        from ..solvers.networks.diffusers_networks import from_diffusers

        return from_diffusers(text)
    near = difflib.get_close_matches(text, NETWORKS, n=3) or NETWORKS
    msg = (
        f"unknown network {text!r}; accepted: {', '.join(near)}, file.py:function, a folder, or "
        "owner/name on the hub"
    )
    raise NetworkError(msg)


def _folder(text: str) -> Path | None:
    """The file or folder of that name, if there is one."""
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, an unknown user
        return None


def _own(file: str, function: str) -> Network:
    """What the function of a file of the user's returns; it says which bytes made it."""
    module = load(file)
    made: Any = getattr(module, function, None)
    if not callable(made):
        msg = f"{file!r} has no function {function!r}"
        raise NetworkError(msg)
    found = made()
    if not isinstance(found, Network):
        msg = f"{function!r} of {file!r} must return a Network, got {type(found).__name__}"
        raise NetworkError(msg)
    return replace(found, about={**found.about, FILE: source_digest(module)})
