# SPDX-License-Identifier: GPL-3.0-or-later
"""Every object on a node that eBPF mode or its neighbours could have, as lines by kind.

Runs on the node by itself, as root, with Python 3.8: by tc, ip, bpftool and raw queries.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BPFFS = Path("/sys/fs/bpf")
CGROUP = "/sys/fs/cgroup"
RECORDS = Path("/run/calico/bpf")
TCX = {"ingress": 46, "egress": 47}
CGROUP_HOOKS = (0, 1, 10, 11, 14, 15, 19, 20)
# The counters of the neighbours go on.
COUNTERS = "neighbour_seen"
_NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, packed: bytes) -> int:
    attr = ctypes.create_string_buffer(packed, 256)
    result = int(_libc.syscall(_NUMBER, command, attr, 256))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command})")
    return result


def printed(*command: str) -> Any:
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text or b"[]")


def attached(target: int, hook: int) -> Iterator[int]:
    """Program ids at a hook of an interface or an open cgroup; nothing where it is unknown."""
    ids = (ctypes.c_uint32 * 32)()
    at = ctypes.addressof(ids)
    try:
        bpf(16, struct.pack("<4IQI", target, hook, 0, 0, at, len(ids)))
    except OSError:
        return iter(())
    return (number for number in ids if number)


def described(path: Path) -> dict[str, str]:
    """What fdinfo says of a pin."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    fd = bpf(7, struct.pack("<QII", ctypes.addressof(name), 0, 0))
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii")
    finally:
        os.close(fd)
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))


def program_name(number: int) -> str:
    """From offset 64 of struct bpf_prog_info."""
    fd = bpf(13, struct.pack("<I", number))
    info = ctypes.create_string_buffer(128)
    try:
        bpf(15, struct.pack("<IIQ", fd, len(info), ctypes.addressof(info)))
    finally:
        os.close(fd)
    return info.raw[64:80].partition(b"\0")[0].decode("ascii")


def filters() -> Iterator[str]:
    for name in qdiscs():
        for hook in TCX:
            for one in printed("tc", "-j", "filter", "show", "dev", name, hook):
                options = one.get("options", {})
                if "handle" in options or "fh" in options:
                    program = options.get("prog", {}).get("id", "")
                    called = options.get("bpf_name", one["kind"]).partition(":")[0]
                    place = f"{one['pref']} {options.get('handle', options.get('fh'))}"
                    yield f"{name} {hook} {place} {called} {program}"


def qdiscs() -> Iterator[str]:
    for one in printed("tc", "-j", "qdisc", "show"):
        if one["kind"] == "clsact":
            yield one["dev"]


def tcx() -> Iterator[str]:
    for index, name in socket.if_nameindex():
        for hook, kind in TCX.items():
            for number in attached(index, kind):
                yield f"{name} {hook} {program_name(number)} {number}"


def xdp() -> Iterator[str]:
    for one in printed("ip", "-j", "link", "show"):
        if "prog" in one.get("xdp", {}):
            number = one["xdp"]["prog"]["id"]
            yield f"{one['ifname']} {one['xdp']['mode']} {program_name(number)} {number}"


def cgroup() -> Iterator[str]:
    fd = os.open(CGROUP, os.O_RDONLY | os.O_DIRECTORY)
    for hook in CGROUP_HOOKS:
        for number in attached(fd, hook):
            yield f"{hook} {program_name(number)} {number}"
    os.close(fd)


def pins() -> Iterator[str]:
    """Inode and id of each pin, and the content of small maps."""
    for path in sorted(BPFFS.rglob("*")):
        # The kernel's own iterators cannot be opened as pins.
        if path.is_file() and path.suffix != ".debug":
            said = described(path)
            ids = [said[name] for name in ("map_id", "prog_id", "link_id") if name in said]
            held = ""
            if said.get("max_entries") == "10" and path.name != COUNTERS:
                held = json.dumps(printed("bpftool", "-j", "map", "dump", "pinned", str(path)))
            yield f"{path} {path.stat().st_ino} {' '.join(ids)} {held}"


def directories() -> Iterator[str]:
    return (str(path) for path in sorted(BPFFS.rglob("*")) if path.is_dir())


def records() -> Iterator[str]:
    return (str(path) for path in sorted(RECORDS.rglob("*")))


def everything() -> dict[str, list[str]]:
    """Lines by kind."""
    return {
        "filters": list(filters()),
        "qdiscs": list(qdiscs()),
        "tcx": list(tcx()),
        "xdp": list(xdp()),
        "cgroup": list(cgroup()),
        "pins": list(pins()),
        "directories": list(directories()),
        "records": list(records()),
        "devices": [name for _, name in socket.if_nameindex()],
    }


if __name__ == "__main__":
    print(json.dumps(everything(), indent=1))
