# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs print by bpf_trace_printk, listened to without taking it from other readers.

Each listener has a tracing instance of its own (Documentation/trace/ftrace.rst, "Instances") in
which the one event bpf_trace/bpf_trace_printk is on (Linux 5.9), so that the kernel's trace pipe
keeps all that it has. It takes the kernel's usual 1.4 MiB for each CPU as long as it is there: to
make it smaller waits for a work item on each CPU, which takes a minute on a busy machine.
"""

from __future__ import annotations

import os
import secrets
import select
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .._errors import SyscallError, UnsupportedError
from .machine import mounts

_PREFIX = "bpfops_"
_EVENT = "events/bpf_trace/bpf_trace_printk"
_ABANDONED = 3600
"""Seconds after which an instance of a run that was killed is removed."""

_BLOCK = 65536


def printed(pattern: str, seconds: float) -> Iterator[str]:
    """The lines that match a glob pattern, for that many seconds, as they come.

    Raises UnsupportedError without tracefs or the event, SyscallError when the kernel refuses.
    """
    with _instance() as instance:
        (instance / _EVENT / "filter").write_text(f'bpf_string ~ "{pattern}"', "ascii")
        (instance / _EVENT / "enable").write_text("1", "ascii")
        yield from _lines(instance / "trace_pipe", time.monotonic() + seconds)


@contextmanager
def _instance() -> Iterator[Path]:
    place = _tracefs() / "instances"
    _remove_abandoned(place)
    instance = place / f"{_PREFIX}{secrets.token_hex(4)}"
    try:
        instance.mkdir()
        try:
            yield instance
        finally:
            instance.rmdir()
    except OSError as error:
        raise SyscallError("tracefs", error.errno or 0, str(error.strerror), str(place)) from error


def _tracefs() -> Path:
    for mount in mounts("tracefs"):
        if (Path(mount.path) / _EVENT).is_dir():
            return Path(mount.path)
    raise UnsupportedError(
        "The kernel's trace cannot be listened to: that needs tracefs, mounted by "
        "`mount -t tracefs tracefs /sys/kernel/tracing`, and Linux 5.9 or later."
    )


def _remove_abandoned(place: Path) -> None:
    for old in place.glob(f"{_PREFIX}*"):
        try:
            if time.time() - old.stat().st_mtime > _ABANDONED:
                old.rmdir()
        except OSError:
            continue  # it is in use, or gone


def _lines(pipe: Path, deadline: float) -> Iterator[str]:
    opened = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    rest = b""
    try:
        while (left := deadline - time.monotonic()) > 0:
            # A pipe of an instance does not wake a poll at once on each kernel.
            select.select([opened], [], [], min(left, 0.1))
            *lines, rest = (rest + _read(opened)).split(b"\n")
            yield from (line.decode("ascii", "replace") for line in lines)
    finally:
        os.close(opened)


def _read(opened: int) -> bytes:
    try:
        return os.read(opened, _BLOCK)
    except BlockingIOError:
        return b""
