# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP flows of the Molecule scenario repair_udp, by the packets themselves and by bpftool."""

from __future__ import annotations

import json
import time
from typing import Any

from testinfra.host import Host

STUCK = {"cluster4", "cluster6", "balancer4"}
PINS = "/sys/fs/bpf/tc/globals"
# The Service's addresses in keys, network byte order.
SERVICE = {
    4: [bytes([10, 96, 0, 10]), bytes([203, 0, 113, 7])],
    6: [bytes.fromhex("fd000010009600000000000000000010")],
}


def flows(host: Host) -> dict[str, dict[str, Any]]:
    """What became of the client's datagrams, by flow."""
    found: dict[str, dict[str, Any]] = json.loads(
        host.check_output("cat /run/lab-udp/client.json")
    )["flows"]
    return found


def silent_after(host: Host, names: set[str], seconds: float) -> set[str]:
    """Those of the flows that have no answer within that time."""
    before = flows(host)
    deadline = time.monotonic() + seconds
    left = set(names)
    while left and time.monotonic() < deadline:
        now = flows(host)
        left = {name for name in left if now[name]["echoed"] <= before[name]["echoed"]}
    return left


def types(host: Host, family: int) -> list[int]:
    """Types of the UDP entries whose key has an address of the Service: 0 NORMAL, 1 NAT_FWD."""
    shown = json.loads(host.check_output(f"bpftool -j map dump pinned {PINS}/cali_v{family}_ct3"))
    found = []
    for one in shown:
        key, value = (bytes(int(byte, 16) for byte in one[part]) for part in ("key", "value"))
        if key[0] == 17 and any(address in key for address in SERVICE[family]):
            found.append(value[16])
    return sorted(found)
