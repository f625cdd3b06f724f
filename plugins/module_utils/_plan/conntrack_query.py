# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants to know of the conntrack table."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Mapping, NamedTuple

from .._calico.codecs.conntrack import EntryType
from .._calico.codecs.conntrack_flow import WITH_PORTS, protocol_name, protocol_number
from .._calico.codecs.conntrack_scan import Selector
from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError
from . import inputs

MAX_LIMIT = 100_000


class Query(NamedTuple):
    """Which entries to decode, and how much of them."""

    families: tuple[str, ...]
    selector: Selector
    types: frozenset[int]
    limit: int
    top: int
    release: VersionSet | None
    timeouts: dict[str, int]


def query(params: Mapping[str, Any]) -> Query:
    """The parameters as a value. Raises BadInputError."""
    inputs.in_range("limit", params["limit"], 0, MAX_LIMIT)
    inputs.in_range("top", params["top"], 0, 1000)
    version = params["calico_version"]
    return Query(
        families=tuple(params["families"]),
        selector=_selector(params),
        types=frozenset(EntryType[name].value for name in params["types"]),
        limit=params["limit"],
        top=params["top"],
        release=None if version is None else parse_release(version, "calico_version"),
        timeouts=timeouts(params["timeouts"] or {}),
    )


def _selector(params: Mapping[str, Any]) -> Selector:
    protocol, address, port = params["protocol"], params["address"], params["port"]
    number = None if protocol is None else protocol_number("protocol", protocol)
    if port is not None:
        inputs.in_range("port", port, 1, 65535)
    if port is not None and number is not None and number not in WITH_PORTS:
        name = protocol_name(number)
        raise BadInputError("port", port, f"goes with tcp and udp, and {name} has no ports")
    return Selector(number, None if address is None else _packed(address), port)


def _packed(address: str) -> bytes:
    try:
        return ip_address(address).packed
    except ValueError:
        raise BadInputError("address", address, "is no IPv4 or IPv6 address") from None


def timeouts(given: Mapping[str, int | None]) -> dict[str, int]:
    """Calico's timers that a task sets, in seconds. Raises BadInputError."""
    found = {name: seconds for name, seconds in given.items() if seconds is not None}
    for name, seconds in found.items():
        inputs.in_range(f"timeouts.{name}", seconds, 0, 10**9)
    return found
