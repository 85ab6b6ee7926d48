"""A hub on this machine: what ``huggingface_hub`` asks of a server, and a list of what it asked.

Model info, the listing of files, and ``resolve`` with its headers; weights lie behind a redirect,
as on the real one. It can also misbehave: refuse, break off, be gone.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is on it, how it misbehaves, and what was asked of it."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    gated_files: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    log: list[tuple[str, str]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        """For ``HF_ENDPOINT``."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, name: str, folder: Path, *more: Mapping[str, bytes]) -> None:
        """Put the files of a folder on the hub."""
        files = {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in sorted(folder.rglob("*")) if p.is_file()
        }  # fmt: skip
        for extra in more:
            files |= extra
        self.repositories[name] = files

    def files_asked(self) -> set[str]:
        """Names of the files of which a byte or a header was asked for."""
        names = [re.fullmatch(r"/[^/]+/[^/]+/resolve/[^/]+/(.*)", path) for _, path in self.log]
        return {found[1] for found in names if found}

    def stop(self) -> None:
        """From now on nobody answers."""
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def small_hub() -> Iterator[Hub]:
    """A hub on a free port, gone afterwards."""
    hub = Hub()

    class Asked(_Handler):
        pass

    Asked.hub = hub
    hub.server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    hub.server.daemon_threads = True
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stop()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/[^/]+", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.*)", path)
        cdn = re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.*)", path)
        found = api or file or cdn
        name = found[1] if found else ""
        if name in self.hub.refused:
            self._refuse(*self.hub.refused[name])
        elif name not in self.hub.repositories:
            self._refuse(404, "RepoNotFound")
        elif api:
            self._json(_info(name, self.hub) if api[2] == "revision" else _tree(name, self.hub))
        else:
            assert found is not None
            self._file(name, found[2], behind=cdn is not None)

    def _file(self, name: str, path: str, *, behind: bool) -> None:
        data = self.hub.repositories[name].get(path)
        if data is None:
            self._refuse(404, "EntryNotFound")
        elif path in self.hub.gated_files:
            self._refuse(403, "GatedRepo")
        elif path.endswith(".safetensors") and not behind:
            digest = hashlib.sha256(data).hexdigest()
            place = {"Location": f"{self.hub.endpoint}/cdn/{name}/{path}"}
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            self._send(302, b"", {**place, **linked})
        else:
            self._bytes(path, data)

    def _bytes(self, path: str, data: bytes) -> None:
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(begin[1]) if begin else 0
        etag = {"ETag": f'"{_sha1(data)}"'}
        if begin:
            etag["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        stop = len(data) // 2 if path in self.hub.cut else len(data)
        self._send(206 if begin else 200, data[start:], etag, data[start:stop])

    def _json(self, found: Any) -> None:
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": "no"})

    def _send(
        self, status: int, data: bytes, headers: Mapping[str, str], sent: bytes | None = None
    ) -> None:
        """Headers of ``data``, and of its bytes what is ``sent``: less, if the line breaks."""
        self.send_response(status)
        about = {"Content-Length": str(len(data)), "X-Repo-Commit": COMMIT, "Connection": "close"}
        about |= headers
        for key, value in about.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data if sent is None else sent)
        self.close_connection = True


def _info(name: str, hub: Hub) -> dict[str, Any]:
    siblings = [{"rfilename": path} for path in hub.repositories[name]]
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}


def _tree(name: str, hub: Hub) -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": path, "size": len(data), "oid": _sha1(data)}
        for path, data in hub.repositories[name].items()
    ]


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
