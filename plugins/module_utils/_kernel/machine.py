# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, lockdown and interface names, as /proc, /sys and the C library tell them."""

from __future__ import annotations

import os
import re
import shlex
import socket
from pathlib import Path
from typing import NamedTuple

_MOUNTS = "/proc/self/mounts"
_LOCKDOWN = "/sys/kernel/security/lockdown"
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


class Mount(NamedTuple):
    """A mount of this mount namespace, and the file system and directory that it shows."""

    path: str
    device: int
    inode: int


def mounts(kind: str) -> tuple[Mount, ...]:
    """Mounts of a file system type, such as ``bpf``; those that cannot be read are passed."""
    found = []
    for line in Path(_MOUNTS).read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == kind:
            path = unescape(fields[1])
            try:
                seen = os.stat(path)
            except OSError:
                continue
            found.append(Mount(path, seen.st_dev, seen.st_ino))
    return tuple(found)


def unescape(text: str) -> str:
    """A path as it is, from /proc, where blanks and backslashes are octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def lockdown() -> str | None:
    """none, integrity or confidentiality (5.4); None where it cannot be read."""
    try:
        match = re.search(r"\[(\w+)\]", Path(_LOCKDOWN).read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        return None
    return match[1] if match else None


def os_release() -> dict[str, str]:
    """The fields of os-release(5), such as ID and VERSION_ID; empty where it cannot be read."""
    for path in _OS_RELEASE:
        try:
            lines = Path(path).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        return dict(field for line in lines for field in _field(line))
    return {}


def _field(line: str) -> list[tuple[str, str]]:
    name, assigned, value = line.strip().partition("=")
    if not assigned or name.startswith("#"):
        return []
    try:
        return [(name, " ".join(shlex.split(value)))]
    except ValueError:  # an open quotation mark
        return []


def interface_names() -> dict[int, str]:
    """Name by ifindex of the interfaces of this network namespace."""
    return dict(socket.if_nameindex())


def udp_ports() -> tuple[int, ...]:
    """UDP ports that sockets of this network namespace have, those of the kernel's own included."""
    ports = set()
    for name in ("udp", "udp6"):
        path = Path("/proc/self/net", name)
        for line in path.read_text("ascii").splitlines()[1:] if path.exists() else ():
            ports.add(int(line.split()[1].rpartition(":")[2], 16))
    return tuple(sorted(ports))
