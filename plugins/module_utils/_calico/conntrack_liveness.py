# SPDX-License-Identifier: GPL-3.0-or-later
"""When Calico's scanner takes a conntrack entry for expired.

All times are nanoseconds; ``now`` is CLOCK_MONOTONIC of the node and boot that made the entry.
Facts: calico-maps 3.1 and 3.2 (conntrack/cleanup.go and timeouts.go of 3.26 to 3.32).
"""

from __future__ import annotations

from typing import NamedTuple

from .codecs.conntrack import FIN_SEEN, FWD_DSR, RST_SEEN, EntryType, Key, Tracking, Value
from .codecs.conntrack_flow import ICMP, ICMPV6, TCP, UDP, established
from .codecs.conntrack_layout import FirstWord

SECOND = 1_000_000_000


class Timeouts(NamedTuple):
    """Calico's conntrack timers in nanoseconds; configurable from 3.30, see facts 3.1."""

    creation_grace: int
    tcp_syn_sent: int
    tcp_established: int
    tcp_fins_seen: int
    tcp_reset_seen: int
    udp: int
    generic: int
    icmp: int


class Rules(NamedTuple):
    """How a release judges; a new release that judges otherwise is another such value.

    ``first_word``: CREATED has a grace period after creation; RST_SEEN has none and shortens the
    life of an established flow that saw an RST to ``rst_idle``.
    """

    first_word: FirstWord
    icmpv6_is_icmp: bool = True
    rst_idle: int = 120 * SECOND


RULES_TO_3_27 = Rules(FirstWord.CREATED, icmpv6_is_icmp=False)
RULES_3_28_TO_3_29 = Rules(FirstWord.CREATED)
RULES_FROM_3_30 = Rules(FirstWord.RST_SEEN)


class Judged(NamedTuple):
    """The fields of a tracking entry that decide: bits are those of the two legs."""

    protocol: int
    flags: int
    first_word: int
    bits_a: int
    bits_b: int


def idle_limit(entry: Judged, timeouts: Timeouts, rules: Rules) -> int:
    """Nanoseconds after last_seen that the entry is kept; one more and it is expired.

    Depends on nothing but whether ``first_word`` is 0, so that a caller may keep the answers.
    """
    if entry.protocol == TCP:
        return _tcp_limit(entry, timeouts, rules)
    if entry.protocol == UDP:
        return timeouts.udp
    if entry.protocol == ICMP or (entry.protocol == ICMPV6 and rules.icmpv6_is_icmp):
        return timeouts.icmp
    return timeouts.generic


def _tcp_limit(entry: Judged, timeouts: Timeouts, rules: Rules) -> int:
    """The shortest of all timers that apply, for the entry expires by whichever ends first."""
    one_way = bool(entry.flags & FWD_DSR)
    either, both = entry.bits_a | entry.bits_b, entry.bits_a & entry.bits_b
    limits = []
    if either & RST_SEEN:
        limits.append(timeouts.tcp_reset_seen)
    if (either if one_way else both) & FIN_SEEN:
        limits.append(timeouts.tcp_fins_seen)
    if one_way or established(entry.bits_a, entry.bits_b):
        limits.append(timeouts.tcp_established)
        if rules.first_word is FirstWord.RST_SEEN and entry.first_word:
            limits.append(rules.rst_idle)
    else:
        limits.append(timeouts.tcp_syn_sent)
    return min(limits)


def expires_at(
    key: Key, value: Value, timeouts: Timeouts, rules: Rules, reverse: Value | None = None
) -> int | None:
    """The first instant at which the entry is expired, if no packet comes; None: never.

    ``reverse`` is the NAT_REV value that a NAT_FWD value points at; a NAT_FWD entry without it
    (None, or not a tracking value) is useless and expired at once. The grace period runs from the
    entry's own creation. An entry of unknown type is kept for ever.
    """
    grace_end = 0
    if rules.first_word is FirstWord.CREATED:
        grace_end = value.first_word + timeouts.creation_grace
    if value.type not in tuple(EntryType):
        return None
    judged = reverse if value.type == EntryType.NAT_FWD else value
    if judged is None or not isinstance(judged.body, Tracking):
        return grace_end
    legs = judged.body.a_to_b.bits, judged.body.b_to_a.bits
    entry = Judged(key.protocol, judged.flags, judged.first_word, *legs)
    return max(grace_end, judged.last_seen + idle_limit(entry, timeouts, rules) + 1)


def remaining(expiry: int | None, now: int) -> int | None:
    """Nanoseconds until ``expiry``, 0 when it has passed; None for an entry that never expires."""
    return None if expiry is None else max(0, expiry - now)


def expired(expiry: int | None, now: int) -> bool:
    """Whether the scanner would remove the entry at ``now``."""
    return expiry is not None and now >= expiry
