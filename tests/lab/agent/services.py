# SPDX-License-Identifier: GPL-3.0-or-later
"""Services, as felix's kube-proxy writes them: frontends, backends, and the node's routes.

`lab-agent services` brings the maps to /etc/calico/lab-services.json, which stands for the API:
a list of objects with name, protocol (udp or tcp), port, addresses (cluster and load-balancer IPs),
backends ("10.65.1.2:5353", "[fd00::1]:5353") and, when wanted, node_port and source_ranges.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

from . import bpf
from .entries import LAYOUTS, NAT_FWD, NAT_REV
from .pinned import PINS

CONFIG = Path("/etc/calico/lab-services.json")
PROTOCOLS = {"tcp": 6, "udp": 17}
BLACKHOLE = 0xFFFFFFFF
WILDCARD = {"v4": b"\xff" * 4, "v6": b"\xff" * 16}
FAMILIES = {4: "v4", 6: "v6"}
# Flags of routes.
POD, LOCAL, HOST = 0x4, 0x8, 0x10


class Content(NamedTuple):
    """What the maps of one family hold."""

    frontends: dict[bytes, bytes]
    backends: dict[bytes, bytes]


def sync(families: tuple[str, ...]) -> None:
    """Bring the maps of the families to what the file says."""
    wanted = json.loads(CONFIG.read_text()) if CONFIG.exists() else []
    for family in families:
        _write_routes(family)
        _apply(family, _content(family, wanted))
        _drop_stale(family)


def _apply(family: str, wanted: Content) -> None:
    """In felix's order: frontends go, backends come, frontends change, backends go."""
    frontends, backends = _map(family, "nat_fe3"), _map(family, "nat_be")
    for key in set(bpf.as_dict(frontends)) - set(wanted.frontends):
        bpf.delete(frontends, key)
    bpf.write(backends, wanted.backends.items())
    bpf.write(frontends, wanted.frontends.items())
    for key in set(bpf.as_dict(backends)) - set(wanted.backends):
        bpf.delete(backends, key)


def _map(family: str, name: str) -> int:
    fd = bpf.opened(PINS / f"cali_{family}_{name}")
    if fd is None:
        raise OSError(f"{PINS}/cali_{family}_{name} is not pinned.")
    return fd


def _content(family: str, wanted: list[dict[str, Any]]) -> Content:
    found = Content({}, {})
    for number, service in enumerate(wanted, 1):
        ends = [_end(text) for text in service.get("backends", [])]
        ends = [end for end in ends if FAMILIES[end[0].version] == family]
        for ordinal, (address, port) in enumerate(ends):
            value = address.packed + struct.pack("<HH", port, 0)
            found.backends[struct.pack("<II", number, ordinal)] = value
        found.frontends.update(_frontends(family, service, number, len(ends)))
    return found


def _end(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    address, _, port = text.rpartition(":")
    return ip_address(address.strip("[]")), int(port)


def _frontends(family: str, service: dict[str, Any], number: int, count: int) -> dict[bytes, bytes]:
    """Where the Service is met; ranges of sources leave a frontend that drops all others."""
    protocol, found = PROTOCOLS[service["protocol"]], {}
    addresses = [ip_address(text) for text in service.get("addresses", [])]
    places = [(one.packed, service["port"]) for one in addresses if FAMILIES[one.version] == family]
    if service.get("node_port"):
        own = [*_own_addresses(family), WILDCARD[family]]
        places += [(address, service["node_port"]) for address in own]
    ranges = [ip_network(text) for text in service.get("source_ranges", [])]
    for address, port in places:
        width = len(address)
        head = address + struct.pack("<HB", port, protocol)
        base = struct.pack("<I", 8 * (width + 3)) + head + bytes(width + 1)
        found[base] = _frontend(number, BLACKHOLE if ranges else count)
        for one in ranges:
            if len(one.network_address.packed) == width:
                bits = struct.pack("<I", 8 * (width + 3) + one.prefixlen)
                found[bits + head + one.network_address.packed + b"\0"] = _frontend(number, count)
    return found


def _frontend(number: int, count: int) -> bytes:
    return struct.pack("<5I", number, count, 0, 0, 0)


def _own_addresses(family: str) -> list[bytes]:
    return [ip_address(text).packed for text in _hosts(family)["eth0"]]


def _hosts(family: str) -> dict[str, list[str]]:
    """Global addresses of the node by interface."""
    shown = json.loads(_ip(family, "addr", "show", "scope", "global"))
    return {
        one["ifname"]: [info["local"] for info in one["addr_info"] if info]
        for one in shown
        if any(one.get("addr_info", ()))
    }


def _ip(family: str, *words: str) -> str:
    command = ["ip", "-json", "-6" if family == "v6" else "-4", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout or "[]"


def _write_routes(family: str) -> None:
    """The node itself, its pods, other nodes and the networks of their pods."""
    routes, numbers = _map(family, "routes"), {name: n for n, name in socket.if_nameindex()}
    for addresses in _hosts(family).values():
        for address in addresses:
            bpf.update(routes, _prefix(address), _route(family, HOST | LOCAL))
    for one in json.loads(_ip(family, "route", "show")):
        target, device, via = one["dst"], one.get("dev", ""), one.get("gateway")
        if device.startswith("cali") and target != "default" and "/" not in target:
            index = struct.pack("<I", numbers[device])
            bpf.update(routes, _prefix(target), _route(family, POD | LOCAL, index))
        elif via and target != "default":
            bpf.update(routes, _prefix(via), _route(family, HOST))
            hop = ip_address(via).packed
            bpf.update(routes, _prefix(target), _route(family, POD, hop))


def _prefix(text: str) -> bytes:
    network = ip_network(text)
    return struct.pack("<I", network.prefixlen) + network.network_address.packed


def _route(family: str, flags: int, target: bytes = b"") -> bytes:
    return struct.pack("<I", flags) + target.ljust(16 if family == "v6" else 4, b"\0")


def _drop_stale(family: str) -> None:
    """Entries whose backend is gone: felix's next sweep takes them out in every release."""
    known = _pairs(family)
    for path in PINS.glob(f"cali_{family}_ct[0-9]"):
        fd = bpf.opened(path)
        if fd is None:
            continue
        shape = bpf.info(fd)
        layout, found = LAYOUTS[shape.key, shape.value], bpf.as_dict(fd)
        stale = {key for key, value in found.items() if value[16] == NAT_REV}
        for key in list(stale):
            value, width = found[key], layout.address
            service = value[layout.original :][:width] + value[layout.original_port :][:2]
            if any(service + key[:1] + end in known for end in _ends(key, width)):
                stale.discard(key)
        for key, value in found.items():
            if key in stale or (value[16] == NAT_FWD and value[24 : 24 + len(key)] in stale):
                bpf.delete(fd, key)


def _pairs(family: str) -> set[bytes]:
    """Frontend, protocol and backend of all Services, in packed form."""
    backends: dict[bytes, list[bytes]] = {}
    width = 16 if family == "v6" else 4
    for key, value in bpf.entries(_map(family, "nat_be")):
        backends.setdefault(key[:4], []).append(value[: width + 2])
    return {
        key[4 : 4 + width + 3] + end
        for key, value in bpf.entries(_map(family, "nat_fe3"))
        for end in backends.get(value[:4], [])
    }


def _ends(key: bytes, width: int) -> tuple[bytes, bytes]:
    ports = 4 + 2 * width
    one, other = key[4 : 4 + width], key[4 + width : ports]
    return one + key[ports : ports + 2], other + key[ports + 2 : ports + 4]
