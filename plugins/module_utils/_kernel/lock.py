# SPDX-License-Identifier: GPL-3.0-or-later
"""The node-wide lock that keeps two changing runs apart."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .._errors import BusyError

LOCK_PATH = "/run/bpfops.lock"
_POLL_SECONDS = 0.1


@contextmanager
def node_lock(timeout: float, path: str = LOCK_PATH) -> Iterator[None]:
    """Hold the lock; wait up to ``timeout`` seconds for another run to give it back.

    The kernel releases it when the process ends, however it ends. The file holds the pid of the
    last holder and stays. Raises BusyError, which names the holder, when the time is up.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(fd, timeout, path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, timeout: float, path: str) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                break
        time.sleep(_POLL_SECONDS)
    holder = Path(path).read_text("ascii").strip() or "unknown"
    raise BusyError(
        f"Another run (pid {holder}) holds {path}, and lock_timeout of {timeout:g} s is over."
    )
