# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF programs and maps of a lab, and waiting until the kernel has freed them.

The kernel frees them some time after namespace, bpffs and processes have gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import network, node
from tests.lab.settings import Settings
from tests.lab.shell import run, wait_for

_PROG_ARRAY = 3  # BPF_MAP_TYPE_PROG_ARRAY
LIBBPF = ctypes.CDLL("libbpf.so.1", use_errno=True)


@dataclass
class Objects:
    """Kernel-wide ids; the kernel does not hand out an id again soon."""

    programs: set[int] = field(default_factory=set)
    maps: set[int] = field(default_factory=set)


def held_by(settings: Settings) -> Objects:
    """Attached to the interfaces of the lab's nodes, or pinned in their bpffs.

    Without program arrays: see `wait_until_freed`.
    """
    found = Objects()
    for name in network.namespaces(settings):
        found.programs |= _attached(name)
    for one in node.existing(settings):
        if pid := one.pid():
            _add_pins(found, Path(f"/proc/{pid}/root/sys/fs/bpf"))
    for program in _programs() if found.programs else []:
        if program["id"] in found.programs:
            found.maps |= set(program.get("map_ids", []))
    found.maps = {number for number in found.maps if not _is_program_array(number)}
    return found


def wait_until_freed(objects: Objects, seconds: float = 300) -> None:
    """Return when none of ``objects`` exists any more.

    Nothing is opened meanwhile: the kernel never frees a program array that somebody opens by
    its id while it is cleared, since prog_array_map_clear() takes a reference also when its
    work is pending already.
    """
    wait_for(lambda: not _alive(objects), seconds, "the kernel to free the lab's BPF objects", 0.05)


def _alive(objects: Objects) -> bool:
    return bool(ids("prog") & objects.programs or ids("map") & objects.maps)


def ids(kind: str) -> set[int]:
    """Ids of all programs or maps; unlike bpftool, this opens none of them."""
    following = getattr(LIBBPF, f"bpf_{kind}_get_next_id")
    found, number = set(), ctypes.c_uint32(0)
    while following(number, ctypes.byref(number)) == 0:
        found.add(number.value)
    return found


def _programs() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(run("bpftool", "-j", "prog", "show") or "[]")
    return entries


def _is_program_array(number: int) -> bool:
    """Whether the map of that id is one; it is opened, and none besides."""
    opened = LIBBPF.bpf_map_get_fd_by_id(ctypes.c_uint32(number))
    if opened < 0:  # gone
        return False
    info = (ctypes.c_uint32 * 2)()  # bpf_map_info begins with type and id
    LIBBPF.bpf_obj_get_info_by_fd(opened, info, ctypes.byref(ctypes.c_uint32(8)))
    os.close(opened)
    return int(info[0]) == _PROG_ARRAY


def _attached(netns: str) -> set[int]:
    command = ["nsenter", f"--net=/run/netns/{netns}", "bpftool", "-j", "net", "show"]
    text = run(*command, check=False)
    groups = json.loads(text)[0] if text else {}
    return {entry["id"] for group in groups.values() for entry in group if "id" in entry}


def _add_pins(found: Objects, bpffs: Path) -> None:
    for path in bpffs.rglob("*"):
        fd = LIBBPF.bpf_obj_get(os.fsencode(path))
        if fd < 0:
            continue
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
        os.close(fd)
        found.maps |= {int(number) for number in re.findall(r"^map_id:\t(\d+)", text, re.MULTILINE)}
        found.programs |= {int(no) for no in re.findall(r"^prog_id:\t(\d+)", text, re.MULTILINE)}
