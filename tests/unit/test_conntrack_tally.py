# SPDX-License-Identifier: GPL-3.0-or-later
"""Totals over packed entries against those of a slow count of decoded ones."""

from __future__ import annotations

import random
import struct

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_liveness as life,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico import conntrack_tally as tally
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    conntrack,
    conntrack_flow,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    V2,
    V3_IPV4,
    V3_IPV6,
    ConntrackLayout,
    FirstWord,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.conntrack_expiry import (
    expiry_of,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from tests.unit.conntrack_entries import NOW, SECOND, TIMEOUTS, entry, packed


@pytest.mark.parametrize("layout", [V2, V3_IPV4, V3_IPV6])
@pytest.mark.parametrize("rules", [life.RULES_TO_3_27, life.RULES_FROM_3_30])
def test_groups_agree_with_decoded_entries(layout: ConntrackLayout, rules: life.Rules) -> None:
    source = random.Random(7)
    entries = [entry(layout, source) for _ in range(3000)]
    totals = tally.Tally(layout, rules, TIMEOUTS, NOW)
    for first in range(0, len(entries), 256):
        part = entries[first : first + 256]
        totals.add(*packed(part), len(part))
    groups = list(tally.counted(totals))
    decoded = [
        (conntrack.decode_key(key), conntrack.decode_value(value, layout)) for key, value in entries
    ]
    assert sum(item.entries for item in groups) == 3000
    # The key in a NAT_FWD value stands where others have bits, and must not split its group.
    assert not any(g.bits_a or g.bits_b for g, _, _ in groups if g.type == 1)
    assert sum(tally.by_protocol(groups).values()) == 3000
    assert tally.by_protocol(groups)["tcp"] == sum(key.protocol == 6 for key, _ in decoded)
    assert tally.by_type(groups)["NAT_FWD"] == sum(value.type == 1 for _, value in decoded)
    states = [conntrack_flow.state_of(key, value) for key, value in decoded]
    for state in set(states) - {None}:
        assert tally.by_tcp_state(groups)[str(state)] == states.count(state)
    expired = [
        life.expired(life.expires_at(key, value, TIMEOUTS, rules), NOW)
        for key, value in decoded
        if value.type != conntrack.EntryType.NAT_FWD
    ]
    # Ages are whole seconds, and an entry at its limit to the second is not yet expired.
    at_limit = sum(item.entries for item in groups if item.left == 0) - sum(expired)
    assert 0 <= at_limit < 60
    begun = [
        conntrack_flow.originator(key, value.flags).address.packed
        for key, value in decoded
        if value.type != conntrack.EntryType.NAT_FWD
    ]
    assert sum(totals.talkers.values()) == len(begun)
    for address, count in totals.talkers.most_common(5):
        assert begun.count(address) == count


@pytest.mark.parametrize(
    ("release", "rules", "certain"),
    [
        ("3.27.3", life.RULES_TO_3_27, True),
        ("3.28", life.RULES_3_28_TO_3_29, True),
        ("3.29.7", life.RULES_3_28_TO_3_29, True),
        ("3.30", life.RULES_FROM_3_30, True),
        ("3.32.1", life.RULES_FROM_3_30, True),
        (">=3.26,<3.29", life.RULES_3_28_TO_3_29, False),
        (">=3.29,<3.31", life.RULES_FROM_3_30, False),
    ],
)
def test_rules_and_timers_of_a_release(release: str, rules: life.Rules, certain: bool) -> None:
    found = expiry_of(parse_range(release), {})
    assert (found.rules, found.certain) == (rules, certain)
    assert found.timeouts == TIMEOUTS


def test_timers_that_are_configured_or_follow_a_sysctl() -> None:
    found = expiry_of(parse_range("3.31"), {"udp": 90}, lambda name: 120)
    assert found.timeouts == TIMEOUTS._replace(udp=90 * SECOND, tcp_fins_seen=120 * SECOND)
    assert expiry_of(parse_range("3.29"), {}, lambda name: 120).timeouts == TIMEOUTS


def test_histogram() -> None:
    found = tally.histogram([(0, 5), (1, 2), (9, 1), (10, 4), (5000, 3)], (1, 10))
    assert found == [tally.Bucket(1, 5), tally.Bucket(10, 3), tally.Bucket(None, 7)]


def test_talkers_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_TALKERS", 8)
    totals = tally.Tally(V3_IPV4, life.RULES_FROM_3_30, TIMEOUTS, NOW)
    for number in range(20):
        frequent = struct.pack("<I4s4sHH", 17, b"same", b"zzzz", 1, 2)
        rare = struct.pack("<I4s4sHH", 17, struct.pack(">I", number), b"zzzz", 1, 2)
        totals.add(memoryview(frequent + rare), memoryview(bytes(176)), 2)
    assert totals.forgotten
    assert len(totals.talkers) <= 8
    assert totals.talkers[b"same"] == 20


def test_grace_keeps_what_is_idle() -> None:
    totals = tally.Tally(V3_IPV4, life.RULES_3_28_TO_3_29, TIMEOUTS, NOW)
    assert life.RULES_3_28_TO_3_29.first_word is FirstWord.CREATED
    young = struct.pack("<QQ", NOW - 5 * SECOND, NOW - 99 * SECOND).ljust(88, b"\0")
    old = struct.pack("<QQ", NOW - 99 * SECOND, NOW - 99 * SECOND).ljust(88, b"\0")
    keys = struct.pack("<I", 17).ljust(16, b"\0") * 2
    totals.add(memoryview(keys), memoryview(young + old), 2)
    assert sorted(item.left or 0 for item in tally.counted(totals)) == [0, 1]
