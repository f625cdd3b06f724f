# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces, the bridge between nodes and the host's way in.

The bridge stands in a namespace of its own, so that the host's packet filter
(Docker's FORWARD policy, for one) does not see what nodes say to each other.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Interface
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.settings import NODES6, Settings
from tests.lab.shell import run

NETNS = Path("/run/netns")


def create_switch(settings: Settings) -> None:
    """The bridge, and the host's address on it."""
    _refuse_used_subnet(settings)
    run("ip", "netns", "add", settings.switch)
    inside = ["ip", "-n", settings.switch]
    run(*inside, "link", "add", "br0", "type", "bridge")
    run(*inside, "link", "set", "br0", "up")
    link = ["ip", "link", "add", settings.uplink, "type", "veth", "peer", "name", "host"]
    run(*link, "netns", settings.switch)
    run(*inside, "link", "set", "host", "master", "br0", "up")
    address = f"{settings.gateway}/{settings.subnet.prefixlen}"
    run("ip", "addr", "add", address, "dev", settings.uplink)
    run("ip", "link", "set", settings.uplink, "alias", str(settings.state), "up")


def owner(settings: Settings) -> str | None:
    """State directory of the checkout that made the lab of this name."""
    text = run("ip", "-j", "link", "show", "dev", settings.uplink, check=False)
    return json.loads(text)[0].get("ifalias") if text else None


def create_node(settings: Settings, index: int) -> None:
    """Namespace of a node with eth0 on the bridge."""
    netns, port = settings.node_netns(index), f"node{index}"
    run("ip", "netns", "add", netns)
    bridge = ["ip", "-n", settings.switch]
    run(*bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", netns)
    run(*bridge, "link", "set", port, "master", "br0", "up")
    address = f"{settings.node_address(index)}/{settings.subnet.prefixlen}"
    commands = [
        "link set lo up",
        "link set eth0 addrgenmode none",
        f"addr add {address} dev eth0",
        f"addr add {settings.node_address6(index)}/{NODES6.prefixlen} dev eth0 nodad",
        "link set eth0 up",
        # The node asks for neighbours from here, at once: no duplicate address detection.
        f"addr add fe80::{index}/64 dev eth0 nodad",
        f"route add default via {settings.gateway}",
    ]
    run("ip", "-n", netns, "-batch", "-", stdin="\n".join(commands))


def namespaces(settings: Settings) -> list[str]:
    """Names of this lab's network namespaces that exist."""
    mine = re.compile(rf"{settings.name}-(switch|node\d+)\Z")
    if not NETNS.is_dir():
        return []
    return sorted(path.name for path in NETNS.iterdir() if mine.match(path.name))


def destroy(settings: Settings) -> None:
    """Remove the host's link and every namespace of this lab."""
    run("ip", "link", "del", settings.uplink, check=False)
    for name in namespaces(settings):
        run("ip", "netns", "del", name, check=False)
        # `ip netns add` that was killed between creating the file and mounting on it.
        (NETNS / name).unlink(missing_ok=True)


def _refuse_used_subnet(settings: Settings) -> None:
    for link in json.loads(run("ip", "-j", "-4", "addr")):
        for entry in link.get("addr_info", []):
            other = IPv4Interface(f"{entry['local']}/{entry['prefixlen']}").network
            if other.overlaps(settings.subnet):
                raise LabError(
                    f"BPFOPS_LAB_SUBNET {settings.subnet} overlaps {other} on {link['ifname']};"
                    " name another /24."
                )
