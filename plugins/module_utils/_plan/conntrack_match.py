# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a conntrack entry is one of those that are meant.

What a NAT_FWD entry does not hold itself - TCP state, interfaces, age, life - is that of its
NAT_REV entry, which carries them for both (facts: calico-maps 2.2, 3.2, 3.4).
"""

from __future__ import annotations

from typing import NamedTuple

from .._calico.codecs.conntrack import Endpoint, EntryType, Key, NatForward, Tracking, Value
from .._calico.codecs.conntrack_flow import (
    UDP,
    NatSides,
    destination,
    nat_sides,
    originator,
    state_of,
)
from .._calico.conntrack_expiry import Expiry
from .._calico.conntrack_liveness import expired, expires_at
from .conntrack_select import Select


class Entry(NamedTuple):
    """A decoded entry; ``reverse`` is the value that a NAT_FWD entry points at."""

    key: Key
    value: Value
    reverse: Value | None = None

    @property
    def tracking(self) -> Value | None:
        """The value that has the flow's state; None for a NAT_FWD entry without its other half."""
        return self.reverse if self.value.type == EntryType.NAT_FWD else self.value


class Services:
    """What the node's NAT maps say of Services; the base knows none."""

    def bypassed(self, client: Endpoint, service: Endpoint) -> bool:
        """Whether programs would send the client's UDP packets on to a backend."""
        return False

    def has_backend(self, protocol: int, service: Endpoint, backend: Endpoint) -> bool:
        """Whether that is a backend of the Service."""
        return False


class Context(NamedTuple):
    """What entries are judged by; ``now`` is CLOCK_MONOTONIC in ns."""

    now: int
    expiry: Expiry
    services: Services


def matches(want: Select, entry: Entry, context: Context) -> bool:
    """Whether every selector holds."""
    return (
        _is_of(want, entry)
        and _has_ends(want, entry)
        and _is_in_state(want, entry, context)
        and (not want.stale_udp or _is_stale_udp(entry, context.services))
        and (not want.stale_nat or _is_stale_nat(entry, context.services))
    )


def _is_of(want: Select, entry: Entry) -> bool:
    return (
        want.protocol in (None, entry.key.protocol)
        and (not want.types or entry.value.type in want.types)
        and entry.value.flags & want.flags == want.flags
    )


def _has_ends(want: Select, entry: Entry) -> bool:
    if want.either and not (want.either.has(entry.key.a) or want.either.has(entry.key.b)):
        return False
    if not (want.source or want.destination or want.services):
        return True
    sides = sides_of(entry)
    if sides is None:
        return False
    if want.services and not any(end.has(sides.service) for end in want.services):
        return False
    return (not want.source or want.source.has(sides.client)) and (
        not want.destination or want.destination.has(sides.backend)
    )


def sides_of(entry: Entry) -> NatSides | None:
    """Who began the flow, the Service that it was begun to, and where this entry leads.

    A NAT_FWD entry leads to the Service, for it is the flow as the client sees it. None when
    nothing tells the sides of one.
    """
    key, body = entry.key, entry.value.body
    if isinstance(body, NatForward):
        client_side = _forward_sides(entry, body)
        return client_side and client_side._replace(backend=client_side.service)
    if not isinstance(body, Tracking):
        return None
    client, backend = originator(key, entry.value.flags), destination(key, entry.value.flags)
    if entry.value.type == EntryType.NAT_REV:
        return NatSides(client, Endpoint(body.orig_ip, body.orig_port), backend)
    return NatSides(client, backend, backend)


def _forward_sides(entry: Entry, body: NatForward) -> NatSides | None:
    found = nat_sides(entry.key, body)
    if found or entry.reverse is None or not isinstance(entry.reverse.body, Tracking):
        return found
    service = Endpoint(entry.reverse.body.orig_ip, entry.reverse.body.orig_port)
    backend = destination(body.reverse, entry.reverse.flags)
    for client, other in ((entry.key.a, entry.key.b), (entry.key.b, entry.key.a)):
        if other == service:
            return NatSides(client, service, backend)
    return None


def _is_in_state(want: Select, entry: Entry, context: Context) -> bool:
    tracking = entry.tracking
    if want.states and (tracking is None or state_of(entry.key, tracking) not in want.states):
        return False
    if want.ifindex is not None and want.ifindex not in _interfaces(tracking):
        return False
    seen = max(one.last_seen for one in (entry.value, tracking) if one)
    if want.idle is not None and context.now - seen <= want.idle:
        return False
    return not want.expired or _is_expired(entry, context)


def _interfaces(tracking: Value | None) -> tuple[int, ...]:
    if tracking is None or not isinstance(tracking.body, Tracking):
        return ()
    return tracking.body.a_to_b.ifindex, tracking.body.b_to_a.ifindex


def _is_expired(entry: Entry, context: Context) -> bool:
    expiry = context.expiry
    end = expires_at(entry.key, entry.value, expiry.timeouts, expiry.rules, entry.reverse)
    return expired(end, context.now)


def _is_stale_udp(entry: Entry, services: Services) -> bool:
    key, value = entry.key, entry.value
    if key.protocol != UDP or value.type != EntryType.NORMAL:
        return False
    return services.bypassed(originator(key, value.flags), destination(key, value.flags))


def _is_stale_nat(entry: Entry, services: Services) -> bool:
    """Calico's own rule: NAT_REV by both sides, NAT_FWD by the backend that it leads to."""
    key, body = entry.key, entry.value.body
    if entry.value.type == EntryType.NAT_REV and isinstance(body, Tracking):
        return _reverse_is_stale(key, body, services)
    if not isinstance(body, NatForward):
        return False
    sides = nat_sides(key, body)
    if sides:
        return not services.has_backend(key.protocol, sides.service, sides.backend)
    reverse = entry.reverse
    if reverse is None or reverse.type != EntryType.NAT_REV:
        return True
    return isinstance(reverse.body, Tracking) and _reverse_is_stale(
        body.reverse, reverse.body, services
    )


def _reverse_is_stale(key: Key, body: Tracking, services: Services) -> bool:
    service = Endpoint(body.orig_ip, body.orig_port)
    return not any(services.has_backend(key.protocol, service, end) for end in (key.a, key.b))
