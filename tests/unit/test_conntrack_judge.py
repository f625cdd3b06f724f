# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of packed entries against that of each one decoded; entries of another boot."""

from __future__ import annotations

import random
import struct

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_liveness as life,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import conntrack
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    V2,
    V3_IPV4,
    V3_IPV6,
    ConntrackLayout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.conntrack_judge import (
    Judge,
    rebase_times,
)
from tests.unit.conntrack_entries import NOW, SECOND, TIMEOUTS, Entries, entry, packed

RULES = (life.RULES_TO_3_27, life.RULES_3_28_TO_3_29, life.RULES_FROM_3_30)


def around_limits(layout: ConntrackLayout) -> Entries:
    """Entries of any age, and entries at a timer to the nanosecond, before it and after it."""
    source = random.Random(11)
    limits = sorted({*TIMEOUTS, 120 * SECOND})
    ages = [source.choice(limits) + source.choice([-1, 0, 1]) for _ in range(3000)]
    return [entry(layout, source) for _ in range(1000)] + [
        entry(layout, source, idle=age) for age in ages
    ]


@pytest.mark.parametrize("layout", [V2, V3_IPV4, V3_IPV6])
@pytest.mark.parametrize("rules", RULES)
def test_alive_as_each_entry_decoded(layout: ConntrackLayout, rules: life.Rules) -> None:
    entries = around_limits(layout)
    wanted = []
    for place, (raw_key, raw) in enumerate(entries):
        key, value = conntrack.decode_key(raw_key), conntrack.decode_value(raw, layout)
        expired = life.expired(life.expires_at(key, value, TIMEOUTS, rules), NOW)
        if value.type != conntrack.EntryType.NAT_FWD and not expired:
            wanted.append(place)
    assert 300 < len(wanted) < 2700
    judge = Judge(layout, rules, TIMEOUTS, NOW)
    assert judge.alive(*packed(entries), len(entries)) == wanted
    assert judge.alive(*packed(entries[:7]), 7) == [place for place in wanted if place < 7]


def test_an_entry_of_unknown_type_stays() -> None:
    value = bytearray(88)
    value[16] = 9
    judge = Judge(V3_IPV4, life.RULES_FROM_3_30, TIMEOUTS, NOW)
    assert judge.alive(memoryview(bytes(16)), memoryview(value), 1) == [0]


def test_times_of_another_boot() -> None:
    times = [(0, 50), (30, 90), (5, 7)]
    values = memoryview(bytearray(b"".join(struct.pack("<QQQ", *pair, 77) for pair in times)))
    rebase_times(values, 2, 24)
    found = [struct.unpack_from("<QQQ", values, place) for place in (0, 24, 48)]
    assert found == [(0, 0, 77), (1, 0, 77), (5, 7, 77)]  # 0 is "no time" in the first word
