# SPDX-License-Identifier: GPL-3.0-or-later
"""What bpftool on a node says about pinned maps."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host


def pins(host: Host, directory: str) -> set[str]:
    """Names in a directory of a bpffs."""
    return set(host.check_output("ls %s", directory).split())


def shape(host: Host, pin: str) -> tuple[str, int, int, int]:
    """Type, key size, value size (bytes) and greatest number of entries."""
    shown = json.loads(host.check_output("bpftool --json map show pinned %s", pin))
    return shown["type"], shown["bytes_key"], shown["bytes_value"], shown["max_entries"]


def flags(host: Host, pin: str) -> int:
    """The flags that the map was created with (BPF_F_*)."""
    return int(json.loads(host.check_output("bpftool --json map show pinned %s", pin))["flags"])


def entries(host: Host, pin: str) -> dict[int, Any]:
    """Values as lists of bytes by key; of a per-CPU map, a list of these."""
    dump = json.loads(host.check_output("bpftool --json map dump pinned %s", pin))
    return {number(entry["key"]): value(entry) for entry in dump}


def value(entry: dict[str, Any]) -> Any:
    if "values" in entry:
        return [data(cpu["value"]) for cpu in entry["values"]]
    return data(entry["value"])


def data(digits: list[str]) -> list[int]:
    return [int(digit, 16) for digit in digits]


def number(digits: list[str]) -> int:
    return int.from_bytes(bytes(data(digits)), "little")
