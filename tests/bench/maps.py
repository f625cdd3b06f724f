# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps to measure on, in a mount namespace of our own, so that nothing is left behind.

A pin lives on a bpffs that only this process and its children see; when they end, however they
end, the kernel frees the maps. The maps have the shape of Calico's IPv4 conntrack up to 3.30.
"""

from __future__ import annotations

import ctypes
import os
import random
import time
from pathlib import Path
from typing import TypeVar

from tests.bench.tools import BenchError, measure, program, run

T = TypeVar("T")
CLONE_NEWNS = 0x00020000

# Not below the checkout: bpf_map refuses paths with a dot, such as .build, in them.
BPFFS = Path("/sys/fs/bpf")
OLD = str(BPFFS / "old")
NEW = str(BPFFS / "new")
MOVED = str(BPFFS / "moved")

SHAPE = ["type", "hash", "key", "16", "value", "88", "flags", "1", "name", "bench"]
"""Flag 1 is BPF_F_NO_PREALLOC."""

_POLL_SECONDS = 0.05
_QUIET_POLLS = 3
_PATIENCE_SECONDS = 15.0


def enter_private_mounts() -> None:
    """Go on in a mount namespace with a bpffs and a /run of our own. Raises BenchError.

    The own /run keeps the lock of the modules apart from that of this machine.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        reason = os.strerror(ctypes.get_errno())
        raise BenchError(f"A mount namespace of its own is refused: {reason}.")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "bpf", "bpf", str(BPFFS))
    run("mount", "-t", "tmpfs", "tmpfs", "/run")


def create(path: str, max_entries: int) -> None:
    """A new map at ``path``, in place of what is there."""
    drop(path)
    run("bpftool", "map", "create", path, *SHAPE, "entries", str(max_entries))


def fill(path: str, entries: int, max_entries: int = 0) -> None:
    """A new map of made-up flows, full unless ``max_entries`` says otherwise."""
    create(path, max_entries or entries)
    run(program("ctmap"), "fill", path, str(entries), "0", "-1", "created", "plain")
    require_entries(path, entries)


def pin_again(path: str, other: str) -> None:
    """A second pin for the map at ``path``."""
    drop(other)
    run("bpftool", "map", "pin", "pinned", path, other)


def touch(path: str, every: int) -> int:
    """Give every ``every``-th entry the present time (0: none); how many that were."""
    return measure(program("copymap"), "touch", path, str(every)).entries if every else 0


def drop(*paths: str) -> None:
    """Remove pins; a map without one is freed."""
    for path in paths:
        Path(path).unlink(missing_ok=True)


def require_entries(path: str, entries: int) -> None:
    """Count the entries at ``path``. Raises BenchError when some are missing."""
    found = int(run(program("ctmap"), "count", path))
    if found != entries:
        raise BenchError(f"{path} holds {found} entries after a run, not {entries}.")


def max_entries(path: str) -> int:
    """The size of the map at ``path``, as bpftool tells it."""
    words = run("bpftool", "map", "show", "pinned", path).split()
    return int(words[words.index("max_entries") + 1])


def settle() -> None:
    """Wait until the kernel has torn freed maps down: its workers use no CPU time any more.

    Other work on the machine keeps them busy as well; then go on after 15 s.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    quiet, before = 0, -1
    while quiet < _QUIET_POLLS and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now = _worker_ticks()
        quiet = quiet + 1 if now == before else 0
        before = now


def _worker_ticks() -> int:
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text().rpartition(")")
        except OSError:
            continue
        if "(kworker/" in name:
            ticks += int(fields.split()[12])  # stime, proc_pid_stat(5)
    return ticks


def shuffled(items: list[T]) -> list[T]:
    """The items in random order, so that none always runs after the same other one."""
    return random.sample(items, len(items))
