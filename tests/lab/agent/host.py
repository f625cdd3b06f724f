# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own interfaces to which felix attaches: eth0, lo, and a veth pair of its own."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from .filters import Interface
from .plan import Plan

IN, OUT = "bpfin.cali", "bpfout.cali"


def prepare(plan: Plan) -> list[Interface]:
    """Make the pair and return what gets programs; nothing unless the plan has host interfaces."""
    if not plan.host:
        return []
    names = ["eth0"]
    if plan.release.special_devices:
        _make_pair()
        names += [OUT, "lo"]
    numbers = {name: number for number, name in socket.if_nameindex()}
    return [Interface(numbers[name], name) for name in names]


def remove() -> None:
    """Delete the pair, if it is there."""
    if _there(IN):
        _run("ip", "link", "del", IN)


def _make_pair() -> None:
    """The one end has clsact, and no filter."""
    if _there(IN):
        return
    _run("ip", "link", "add", IN, "type", "veth", "peer", "name", OUT)
    for name in (IN, OUT):
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
        _run("ip", "link", "set", name, "up")
    _run("tc", "qdisc", "add", "dev", IN, "clsact")


def _there(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
