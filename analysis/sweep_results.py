"""The results of a sweep: one file for each, and each belongs to a network, not to a name.

The facts of the network are in the name of the file: what was measured with other weights stays,
and is measured anew beside it. Its probes are inside; a result whose network had the same facts
and other answers is neither used nor overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..solvers.errors import AnalysisError
from ..solvers.files import write_text_atomic
from .sweep_config import Config

if TYPE_CHECKING:
    from ..solvers.networks.identity import Identity

Identities = Mapping[str, "Identity"]


@dataclass(frozen=True)
class Kept:
    """The results in a folder.

    Attributes
    ----------
    place : Path
        The folder.
    known : mapping
        What the networks are, by name; a network that is not in it is known by its name.
    """

    place: Path
    known: Identities

    def file(self, cfg: Config) -> Path:
        """Where the result of a configuration is."""
        network = self.known.get(cfg.network)
        return self.place / cfg.file(network.digest if network else "")

    def write(self, cfg: Config, result: Mapping[str, Any]) -> None:
        """Write a result down, whole."""
        network = self.known.get(cfg.network)
        said = network and {"SHA-256": network.digest, "probes": dict(network.probes)}
        record = {"config": asdict(cfg), "network": said, **result}
        write_text_atomic(self.file(cfg), json.dumps(record, indent=1) + "\n")

    def read(self, cfg: Config) -> dict[str, Any] | None:
        """The result of a configuration, if it is there, whole, and of this network.

        Raises
        ------
        AnalysisError
            If it is of a network of the same facts that answered otherwise.
        """
        file, network = self.file(cfg), self.known.get(cfg.network)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["config"] != asdict(cfg):
                return None
            other = None
            if network is not None:
                if found["network"]["SHA-256"] != network.digest:
                    return None
                other = _otherwise(found["network"]["probes"], network)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if other:
            msg = f"{str(file)!r} was measured on another network than {cfg.network!r} is now: "
            msg += f"{other}; take another folder"
            raise AnalysisError(msg)
        return found


def _otherwise(probes: Any, network: Identity) -> str | None:
    from ..solvers.networks.identity import probes_differ

    return probes_differ(probes, network.probes)
