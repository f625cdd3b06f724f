# SPDX-License-Identifier: GPL-3.0-or-later
"""Which conntrack entries a task means: its selectors as one value, all of which have to hold."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from .._calico.codecs.conntrack import FLAGS, Endpoint, EntryType
from .._calico.codecs.conntrack_flow import TCP, UDP, WITH_PORTS, protocol_name, protocol_number
from .._calico.codecs.conntrack_scan import Selector
from .._calico.codecs.fields import Network
from .._calico.conntrack_liveness import SECOND
from .._errors import BadInputError, RefusedError
from . import inputs

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_SERVICE = re.compile(r"\[([^\]]*)\](?::(\d+))?|([^:]*)(?::(\d+))?", re.ASCII)
_MAX_IFINDEX = 2**31 - 1
_NAT_TYPES = frozenset({EntryType.NAT_FWD.value, EntryType.NAT_REV.value})
STATES = ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "RST")
"""What conntrack_flow.tcp_state may answer."""

_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
_FAMILIES = ["ipv4", "ipv6"]
SELECTORS: dict[str, Any] = {
    "families": {"type": "list", "elements": "str", "choices": _FAMILIES, "default": _FAMILIES},
    "calico_version": {"type": "str"},
    "protocol": {"type": "str"},
    "address": {"type": "str"},
    "port": {"type": "str"},
    "source": {"type": "str"},
    "source_port": {"type": "str"},
    "destination": {"type": "str"},
    "destination_port": {"type": "str"},
    "services": _NAMES,
    "types": {**_NAMES, "choices": [kind.name for kind in EntryType]},
    "tcp_states": {**_NAMES, "choices": list(STATES)},
    "flags": _NAMES,
    "idle_longer_than": {"type": "int"},
    "expired": {"type": "bool", "default": False},
    "ifindex": {"type": "int"},
}
"""The options of modules that select entries."""


class End(NamedTuple):
    """One side of a flow: its address is in ``network``, its port from the first to the second."""

    network: Network | None = None
    ports: tuple[int, int] | None = None

    def has(self, one: Endpoint) -> bool:
        """Whether that is such a side."""
        low, high = self.ports or (0, 0xFFFF)
        return (self.network is None or one.address in self.network) and low <= one.port <= high

    def raw(self, protocol: int | None) -> Selector:
        """The search of packed keys for it, on either side."""
        if self.network is None:
            return Selector(protocol, None, self.ports)
        bits = self.network.prefixlen
        return Selector(protocol, self.network.network_address.packed, self.ports, bits)


class Select(NamedTuple):
    """What an entry must be; None, False or nothing: anything.

    ``flags`` are those it must have. ``idle`` in ns. ``services`` are the Services that it is to
    one of.
    """

    protocol: int | None = None
    either: End | None = None
    source: End | None = None
    destination: End | None = None
    services: tuple[End, ...] = ()
    types: frozenset[int] = frozenset()
    states: frozenset[str] = frozenset()
    flags: int = 0
    idle: int | None = None
    expired: bool = False
    ifindex: int | None = None
    stale_udp: bool = False
    stale_nat: bool = False

    @property
    def ends(self) -> tuple[End, ...]:
        """Sides that an entry must have."""
        return tuple(end for end in (self.either, self.source, self.destination) if end)


def select(params: Mapping[str, Any]) -> Select:
    """The selectors of a task. Raises BadInputError, RefusedError when they contradict another."""
    protocol = params["protocol"]
    found = Select(
        protocol=None if protocol is None else protocol_number("protocol", protocol),
        either=_end(params, "address", "port"),
        source=_end(params, "source", "source_port"),
        destination=_end(params, "destination", "destination_port"),
        services=tuple(_service(text) for text in params["services"]),
        types=frozenset(EntryType[name].value for name in params["types"]),
        states=frozenset(params["tcp_states"]),
        flags=_flags(params["flags"]),
        idle=_seconds("idle_longer_than", params["idle_longer_than"]),
        expired=params["expired"],
        ifindex=params["ifindex"],
        stale_udp=params.get("stale_udp", False),
        stale_nat=params.get("stale_nat", False),
    )
    if found.ifindex is not None:
        inputs.in_range("ifindex", found.ifindex, 1, _MAX_IFINDEX)
    _require_ports(params, found)
    _require_one_family(params, found)
    _require_sense(found)
    return found


def _end(params: Mapping[str, Any], address: str, port: str) -> End | None:
    network, ports = params[address], params[port]
    if network is None and ports is None:
        return None
    return End(
        None if network is None else _network(address, network),
        None if ports is None else _ports(port, ports),
    )


def _network(parameter: str, text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise BadInputError(
                parameter, text, "has bits set beyond the length of its prefix"
            ) from None
        raise BadInputError(parameter, text, "is no IPv4 or IPv6 address or prefix") from None


def _ports(parameter: str, text: str) -> tuple[int, int]:
    match = _PORTS.fullmatch(text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= low <= high <= 0xFFFF:
        allowed = "is no port from 1 to 65535, nor a range of ports such as 8000-8099"
        raise BadInputError(parameter, text, allowed)
    return low, high


def _service(text: str) -> End:
    match = _SERVICE.fullmatch(text)
    address, port = (match[1] or match[3], match[2] or match[4]) if match else (text, None)
    try:
        network = ip_network(ip_address(address or ""))
    except ValueError:
        allowed = "is no address of a Service such as 10.96.0.10:53, [fd00::10]:53 or fd00::10"
        raise BadInputError("services", text, allowed) from None
    return End(network, None if port is None else _ports("services", port))


def _flags(names: Sequence[str]) -> int:
    masks = {bit.name: bit.mask for bit in FLAGS}
    found = 0
    for name in names:
        if name not in masks:
            raise BadInputError("flags", name, f"is not one of {', '.join(masks)}")
        found |= masks[name]
    return found


def _seconds(parameter: str, seconds: int | None) -> int | None:
    if seconds is None:
        return None
    inputs.in_range(parameter, seconds, 1, 10**9)
    return seconds * SECOND


def _require_ports(params: Mapping[str, Any], found: Select) -> None:
    if found.protocol is None or found.protocol in WITH_PORTS:
        return
    for parameter in ("port", "source_port", "destination_port"):
        if params[parameter] is not None:
            name = protocol_name(found.protocol)
            allowed = f"goes with tcp and udp, and {name} has no ports"
            raise BadInputError(parameter, params[parameter], allowed)


def _require_one_family(params: Mapping[str, Any], found: Select) -> None:
    """An entry has two addresses of one family, which is one of those to work on."""
    families, known = frozenset(params["families"]), ""
    named = zip(
        ("address", "source", "destination"), (found.either, found.source, found.destination)
    )
    networks = [(name, end.network) for name, end in named if end and end.network]
    for parameter, network in networks:
        family = f"ipv{network.version}"
        if family not in families:
            raise BadInputError(
                parameter, params[parameter], f"is {family}, which families leaves out"
            )
        if known and known != family:
            raise BadInputError(
                parameter, params[parameter], f"is {family}, and the other is {known}"
            )
        known = family
    possible = frozenset({known} if known else families)
    if found.services and not possible & {
        f"ipv{end.network.version}" for end in found.services if end.network
    }:
        allowed = f"has no Service of {', '.join(sorted(possible))}, which the other selectors want"
        raise BadInputError("services", params["services"], allowed)


class _Clash(NamedTuple):
    """Two selectors that no entry can have at once."""

    holds: Callable[[Select], bool]
    says: str


_CLASHES = (
    _Clash(
        lambda one: one.stale_udp and one.stale_nat,
        "stale_udp selects entries without NAT and stale_nat entries with NAT; take two tasks.",
    ),
    _Clash(
        lambda one: bool(one.states) and one.protocol not in (None, TCP),
        "tcp_states goes with protocol tcp only.",
    ),
    _Clash(
        lambda one: bool(one.states) and one.stale_udp,
        "tcp_states goes with tcp and stale_udp with udp.",
    ),
    _Clash(
        lambda one: one.stale_udp and one.protocol not in (None, UDP),
        "stale_udp goes with protocol udp only.",
    ),
    _Clash(
        lambda one: one.stale_udp and bool(one.types) and EntryType.NORMAL not in one.types,
        "stale_udp selects NORMAL entries, which types leaves out.",
    ),
    _Clash(
        lambda one: one.stale_nat and bool(one.types) and not one.types & _NAT_TYPES,
        "stale_nat selects NAT_FWD and NAT_REV entries, which types leaves out.",
    ),
)


def _require_sense(found: Select) -> None:
    for clash in _CLASHES:
        if clash.holds(found):
            raise RefusedError(f"The selectors contradict each other: {clash.says}")
