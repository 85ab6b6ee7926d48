"""A Dask cluster of this machine in processes of its own: a scheduler and workers that can die.

Run as a program it is the cluster: it prints the address and its process id, and ends when its
input does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Cluster(NamedTuple):
    """Where the scheduler is, and which process it is."""

    address: str
    pid: int


@contextmanager
def cluster(workers: int) -> Iterator[Cluster]:
    """A cluster that gives up on work that two workers died with."""
    env = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    command = [sys.executable, __file__, str(workers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=env, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        try:
            address, pid = process.stdout.readline().split()
            yield Cluster(address, int(pid))
        finally:
            process.stdin.close()
            process.wait(20)


def main() -> None:
    from distributed import LocalCluster

    options: dict[str, Any] = {"processes": True, "dashboard_address": None}
    made: Any = LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, **options)
    with made as found:
        print(found.scheduler_address, os.getpid(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
