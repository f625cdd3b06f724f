# SPDX-License-Identifier: GPL-3.0-or-later
"""Making and reading maps for the tests, by raw bpf(2) and bpftool."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils import _runner
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import proc
from ansible_collections.bpfops.calico.plugins.modules import bpf_map
from tests.observe import rawbpf

HASH, ARRAY, PROG_ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH = 1, 2, 3, 5, 6, 9
LRU_PERCPU_HASH, LPM_TRIE, NO_PREALLOC = 10, 11, 1


def run(check: bool = False, **params: Any) -> _runner.Result:
    """The module's work with the defaults of its options."""
    defaults = {name: spec.get("default") for name, spec in bpf_map.ARGUMENT_SPEC.items()}
    return bpf_map.work({**defaults, **params}, check)


def shown(path: Path) -> dict[str, Any]:
    """What bpftool says of a pinned map."""
    return dict(bpftool("map", "show", "pinned", str(path)))


def make(path: Path, kind: int, entries: int, **layout: int) -> int:
    """A pinned map made by raw calls; layout: key, value (bytes), flags."""
    fd = rawbpf.create_map(
        kind, layout.get("key", 4), layout.get("value", 8), entries, layout.get("flags", 0)
    )
    rawbpf.pin(fd, str(path))
    return fd


def slot(kind: int, value: int) -> int:
    per_cpu = kind in (PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH)
    return (value + 7) // 8 * 8 * proc.possible_cpus() if per_cpu else value


def fill(fd: int, kind: int, count: int, key: int = 4, value: int = 8) -> dict[bytes, bytes]:
    """Distinct entries, each CPU's value different.

    Zeros pad the values of per-CPU maps: newer kernels (7.2 does, 6.18 does not) drop the padding.
    """
    padded = value if slot(kind, value) == value else (value + 7) // 8 * 8
    wanted = {}
    for number in range(count):
        name = struct.pack("<I", number)
        if kind == LPM_TRIE:
            name = struct.pack("<I", (key - 4) * 8) + struct.pack(">I", number)
        name = name.ljust(key, b"\x07")
        body = bytes(
            (number + place) % 251 if place % padded < value else 0
            for place in range(slot(kind, value))
        )
        rawbpf.put(fd, name, body)
        wanted[name] = body
    return wanted


def content(path: Path, key: int, size: int) -> dict[bytes, bytes]:
    fd = rawbpf.open_pinned(str(path))
    try:
        return rawbpf.dump(fd, key, size)
    finally:
        os.close(fd)


def names(place: Path) -> list[str]:
    """What is in a directory."""
    return sorted(entry.name for entry in place.iterdir())


def bpftool(*words: str) -> Any:
    """The JSON that bpftool prints."""
    command = ["bpftool", "--json", *words]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def die_before(number: int, steps: Iterable[tuple[Any, str]]) -> None:
    """Let this process end before the step of that number, as kill -9 would end it."""
    left = [number]

    def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
        def run_or_die(*args: Any, **keywords: Any) -> Any:
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return step(*args, **keywords)

        return run_or_die

    for owner, name in steps:
        setattr(owner, name, guarded(getattr(owner, name)))
