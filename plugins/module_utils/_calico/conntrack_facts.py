# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack entries as results and reports show them."""

from __future__ import annotations

from typing import Any

from .codecs.conntrack import (
    FLAGS,
    LEG_BITS,
    EntryType,
    Key,
    Leg,
    NatForward,
    Tracking,
    Value,
)
from .codecs.conntrack import Endpoint as End
from .codecs.conntrack_flow import (
    destination,
    nat_sides,
    originator,
    protocol_name,
    state_of,
)
from .codecs.fields import Release, flag_names
from .conntrack_liveness import SECOND


def entry_facts(key: Key, value: Value, now: int, release: Release | None) -> dict[str, Any]:
    """One entry; ``now`` is CLOCK_MONOTONIC of the node in ns, ages are in seconds."""
    facts: dict[str, Any] = {
        "protocol": protocol_name(key.protocol),
        "type": type_name(value.type),
        "side_a": end_text(key.a),
        "side_b": end_text(key.b),
        "idle_seconds": max(0, now - value.last_seen) / SECOND,
        "flags": flag_names(value.flags, FLAGS, release),
        "tcp_state": state_of(key, value),
    }
    if isinstance(value.body, Tracking):
        facts.update(_tracking_facts(key, value, value.body, release))
    elif isinstance(value.body, NatForward):
        facts.update(_forward_facts(key, value.body))
    return facts


def type_name(number: int) -> str:
    """NORMAL, NAT_FWD or NAT_REV; the number of a type that is not known."""
    return EntryType(number).name if number in tuple(EntryType) else str(number)


def end_text(end: End) -> str:
    """An endpoint as 192.0.2.1:80 or [2001:db8::1]:80."""
    address = f"[{end.address}]" if end.address.version == 6 else str(end.address)
    return f"{address}:{end.port}"


def _tracking_facts(
    key: Key, value: Value, body: Tracking, release: Release | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source": end_text(originator(key, value.flags)),
        "destination": end_text(destination(key, value.flags)),
        "a_to_b": _leg_facts(body.a_to_b, release),
        "b_to_a": _leg_facts(body.b_to_a, release),
    }
    if value.type == EntryType.NAT_REV:
        facts["service"] = end_text(End(body.orig_ip, body.orig_port))
        facts["tunnel"] = str(body.tun_ip) if int(body.tun_ip) else None
    return facts


def _leg_facts(leg: Leg, release: Release | None) -> dict[str, Any]:
    return {"seen": flag_names(leg.bits, LEG_BITS, release), "ifindex": leg.ifindex}


def _forward_facts(key: Key, body: NatForward) -> dict[str, Any]:
    sides = nat_sides(key, body)
    if sides is None:
        return {"reverse": [end_text(body.reverse.a), end_text(body.reverse.b)]}
    return {
        "source": end_text(sides.client),
        "service": end_text(sides.service),
        "destination": end_text(sides.backend),
    }
