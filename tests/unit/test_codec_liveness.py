# SPDX-License-Identifier: GPL-3.0-or-later
"""When an entry expires, against the rules of the releases, timer by timer."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_liveness as live,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import conntrack as ct

S = 1_000_000_000
TIMEOUTS = live.Timeouts(
    creation_grace=10 * S,
    tcp_syn_sent=20 * S,
    tcp_established=3600 * S,
    tcp_fins_seen=30 * S,
    tcp_reset_seen=40 * S,
    udp=60 * S,
    generic=600 * S,
    icmp=5 * S,
)
OLD, MIDDLE, NEW = live.RULES_TO_3_27, live.RULES_3_28_TO_3_29, live.RULES_FROM_3_30
SEEN = 1_000_000 * S
ZERO = ip_address("0.0.0.0")
SYN, ACK, FIN, RST = 1, 2, 4, 8
OPEN = SYN | ACK


def key(protocol: int) -> ct.Key:
    return ct.Key(protocol, ct.Endpoint(ZERO), ct.Endpoint(ZERO))


def entry(
    bits: tuple[int, int] = (0, 0), flags: int = 0, first: int = 0, kind: int = 0
) -> ct.Value:
    legs = (ct.Leg(bits=bits[0]), ct.Leg(bits=bits[1]))
    return ct.Value(first, SEEN, kind, flags, ct.Tracking(*legs, ZERO, ZERO, 0, 0, ZERO))


def forward(first: int = 0) -> ct.Value:
    return ct.Value(first, SEEN + 7 * S, 1, 0, ct.NatForward(key(6)))


BY_PROTOCOL = [
    (1, OLD, 5),
    (1, NEW, 5),
    (58, OLD, 600),
    (58, MIDDLE, 5),
    (58, NEW, 5),
    (17, OLD, 60),
    (17, NEW, 60),
    (132, NEW, 600),
    (0, MIDDLE, 600),
]


@pytest.mark.parametrize(("protocol", "rules", "seconds"), BY_PROTOCOL)
def test_the_timer_of_each_protocol(protocol: int, rules: live.Rules, seconds: int) -> None:
    expiry = live.expires_at(key(protocol), entry((0xF, 0xF)), TIMEOUTS, rules)
    assert not live.expired(expiry, SEEN + seconds * S)
    assert live.expired(expiry, SEEN + seconds * S + 1)


# Legs, flags, then the seconds up to 3.29, from 3.30, and from 3.30 with an RST remembered.
TCP = [
    ((SYN, 0), 0, 20, 20, 20),
    ((OPEN, SYN), 0, 20, 20, 20),
    ((OPEN, OPEN), 0, 3600, 3600, 120),
    ((SYN, 0), 2, 3600, 3600, 120),
    ((OPEN | FIN, OPEN), 0, 3600, 3600, 120),
    ((OPEN | FIN, OPEN | FIN), 0, 30, 30, 30),
    ((FIN, FIN), 0, 20, 20, 20),
    ((OPEN | FIN, 0), 2, 30, 30, 30),
    ((FIN, SYN), 0, 20, 20, 20),
    ((OPEN | RST, OPEN), 0, 40, 40, 40),
    ((OPEN, OPEN | RST), 0, 40, 40, 40),
    ((SYN, RST), 0, 20, 20, 20),
    ((OPEN | FIN | RST, OPEN | FIN), 0, 30, 30, 30),
    ((0, RST), 2, 40, 40, 40),
]


@pytest.mark.parametrize(("bits", "flags", "old", "new", "after_rst"), TCP)
@pytest.mark.parametrize("kind", [0, 2])
def test_tcp_timers(
    bits: tuple[int, int], flags: int, old: int, new: int, after_rst: int, kind: int
) -> None:
    cases = [(OLD, 0, old), (MIDDLE, 1, old), (NEW, 0, new), (NEW, 1, after_rst)]
    for rules, first, seconds in cases:
        for legs in (bits, bits[::-1]):
            value = entry(legs, flags, first, kind)
            expiry = live.expires_at(key(6), value, TIMEOUTS, rules)
            assert expiry == SEEN + seconds * S + 1


def test_the_grace_period_keeps_a_new_entry_up_to_3_29() -> None:
    created = SEEN + 100 * S
    expiry = live.expires_at(key(1), entry(first=created), TIMEOUTS, MIDDLE)
    assert not live.expired(expiry, created + 10 * S - 1)
    assert live.expired(expiry, created + 10 * S)
    assert live.expires_at(key(1), entry(first=created), TIMEOUTS, NEW) == SEEN + 5 * S + 1


def test_a_forward_entry_lives_as_long_as_its_reverse_entry() -> None:
    reverse = entry((OPEN, OPEN), kind=2)
    assert live.expires_at(key(6), forward(), TIMEOUTS, NEW, reverse) == SEEN + 3600 * S + 1
    assert live.expires_at(key(17), forward(), TIMEOUTS, NEW, reverse) == SEEN + 60 * S + 1
    remembered = reverse._replace(first_word=1)
    assert live.expires_at(key(6), forward(), TIMEOUTS, NEW, remembered) == SEEN + 120 * S + 1


def test_only_the_forward_entrys_own_creation_gives_it_grace() -> None:
    young_reverse = entry(first=SEEN + 500 * S, kind=2)
    expiry = live.expires_at(key(17), forward(1), TIMEOUTS, MIDDLE, young_reverse)
    assert expiry == SEEN + 60 * S + 1
    young = forward(SEEN + 500 * S)
    assert live.expires_at(key(17), young, TIMEOUTS, MIDDLE, entry(kind=2)) == SEEN + 510 * S


@pytest.mark.parametrize("reverse", [None, forward()])
def test_a_forward_entry_alone_is_expired(reverse: ct.Value | None) -> None:
    assert live.expired(live.expires_at(key(6), forward(SEEN), TIMEOUTS, NEW, reverse), SEEN)
    assert live.expires_at(key(6), forward(SEEN), TIMEOUTS, OLD, reverse) == SEEN + 10 * S


def test_an_unknown_type_is_kept() -> None:
    unknown = ct.Value(0, 0, 3, 0, ct.Opaque(b""))
    expiry = live.expires_at(key(6), unknown, TIMEOUTS, NEW)
    assert (expiry, live.expired(expiry, 1 << 63), live.remaining(expiry, 0)) == (None, False, None)


def test_what_remains_is_never_negative() -> None:
    expiry = live.expires_at(key(17), entry(), TIMEOUTS, NEW)
    assert live.remaining(expiry, SEEN + 60 * S) == 1
    assert live.remaining(expiry, SEEN + 61 * S) == 0
    assert live.remaining(expiry, SEEN - S) == 61 * S + 1


def verdict(protocol: int, value: ct.Value, now: int, rules: live.Rules) -> bool:
    """The decision as a sequence of questions, as the facts tell it."""
    assert isinstance(value.body, ct.Tracking)
    a, b = value.body.a_to_b.bits, value.body.b_to_a.bits
    age, dsr, old = now - value.last_seen, bool(value.flags & 2), rules is not NEW
    if old and now - value.first_word < 10 * S:
        return False
    if protocol != 6:
        icmp = protocol == 1 or (protocol == 58 and rules is not OLD)
        return age > (5 if icmp else 60 if protocol == 17 else 600) * S
    if (a | b) & RST and age > 40 * S:
        return True
    if ((a & FIN and b & FIN) or (dsr and (a | b) & FIN)) and age > 30 * S:
        return True
    if dsr or (a & SYN and a & ACK and b & SYN and b & ACK):
        remembered = not old and value.first_word != 0 and age > 120 * S
        return remembered or age > 3600 * S
    return age > 20 * S


def test_agrees_with_the_decision_step_by_step() -> None:
    chance = random.Random(3)
    edges = [0, 5, 10, 20, 30, 40, 60, 120, 600, 3600]
    for _ in range(20000):
        rules = chance.choice((OLD, MIDDLE, NEW))
        protocol = chance.choice((6, 6, 6, 1, 58, 17, 132))
        first = chance.choice((0, SEEN, SEEN + chance.choice(edges) * S))
        bits = (chance.randrange(128), chance.randrange(128))
        value = entry(bits, chance.choice((0, 2, 0x102)), first, chance.choice((0, 2)))
        now = SEEN + chance.choice(edges) * S + chance.choice((-1, 0, 1))
        expiry = live.expires_at(key(protocol), value, TIMEOUTS, rules)
        assert live.expired(expiry, now) == verdict(protocol, value, now, rules)
