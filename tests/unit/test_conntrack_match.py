# SPDX-License-Identifier: GPL-3.0-or-later
"""The search by raw bytes lets nothing through its fingers that decoding every entry finds."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack import (
    FLAGS,
    Endpoint,
    EntryType,
    NatForward,
    decode_key,
    decode_value,
    encode_key,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    LAYOUTS,
    ConntrackLayout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_scan import (
    ServiceEnds,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.conntrack_expiry import Expiry
from ansible_collections.bpfops.calico.plugins.module_utils._calico.conntrack_liveness import (
    RULES_3_28_TO_3_29,
    RULES_FROM_3_30,
    RULES_TO_3_27,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_match as match
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_select import (
    STATES,
    End,
    Select,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_sieve import (
    Raw,
    Sieve,
    is_exact,
)
from tests.unit.conntrack_entries import NOW, SECOND, TIMEOUTS, Entries, entry, packed

BY_SIZES = pytest.mark.parametrize(
    "layout", LAYOUTS, ids=lambda one: f"{one.key_size}-{one.value_size}"
)


class Known(match.Services):
    """Services as two sets."""

    def __init__(self, ends: frozenset[Endpoint]) -> None:
        self.ends = ends

    def bypassed(self, client: Endpoint, service: Endpoint) -> bool:
        return service in self.ends and client.port != 9

    def raw(self) -> ServiceEnds:
        words = ((struct.unpack("=I", one.address.packed[-4:])[0], one.port) for one in self.ends)
        return ServiceEnds(frozenset(words), frozenset())


def table(chance: random.Random, layout: ConntrackLayout) -> Entries:
    """Entries, of which NAT_FWD ones often point at others of the table."""
    found = [entry(layout, chance) for _ in range(60)]
    for at, (key, raw) in enumerate(found):
        value = bytearray(raw)
        ports = struct.pack("<HH", chance.randrange(7, 10), chance.randrange(7, 10))
        struct.pack_into("<I", value, layout.legs[0] + layout.bits_in_leg + 4, chance.randrange(4))
        value[18] = chance.randrange(4)
        value[layout.orig_ip : layout.orig_ip + layout.address_size] = chance.choice(found)[0][
            4 : 4 + layout.address_size
        ]
        struct.pack_into("<H", value, layout.orig_port, chance.randrange(7, 10))
        if value[16] == EntryType.NAT_FWD:
            value[24 : 24 + layout.key_size] = chance.choice(found)[0]
        found[at] = key[:-4] + ports, bytes(value)
    return found


def wanted(chance: random.Random, found: Entries, layout: ConntrackLayout) -> Select:
    """Mostly one or two selectors, with values that turn up."""

    def end() -> End:
        key = decode_key(chance.choice(found)[0])
        bits = chance.choice((0, 7, 12, 8 * layout.address_size))
        network = ip_network((key.a.address, bits), strict=False)
        low = chance.randrange(6, 10)
        ports = chance.choice((None, (low, low), (low, 9)))
        return End(chance.choice((network, None)) if ports else network, ports)

    some: dict[str, Callable[[], Any]] = {
        "protocol": lambda: chance.choice((1, 6, 17)),
        "either": end,
        "source": end,
        "destination": end,
        "services": lambda: (end(), end()),
        "types": lambda: frozenset(chance.sample(range(3), chance.randrange(1, 3))),
        "states": lambda: frozenset(chance.sample(STATES, 2)),
        "flags": lambda: (
            chance.choice([bit.mask for bit in FLAGS[:10]]) | chance.choice((0, 0x100))
        ),
        "idle": lambda: chance.randrange(4000) * SECOND,
        "expired": lambda: True,
        "ifindex": lambda: chance.randrange(1, 4),
        "stale_udp": lambda: True,
        "stale_nat": lambda: True,
    }
    names = chance.sample(sorted(some), chance.choice((1, 1, 2, 3)))
    return Select(**{name: some[name]() for name in names})


def decoded(found: Entries, layout: ConntrackLayout) -> list[match.Entry]:
    values = {key: decode_value(raw, layout) for key, raw in found}
    entries = []
    for key, raw in found:
        value, reverse = decode_value(raw, layout), None
        if isinstance(value.body, NatForward):
            reverse = values.get(encode_key(value.body.reverse))
            if reverse and reverse.type == EntryType.NAT_FWD:
                reverse = None
        entries.append(match.Entry(decode_key(key), value, reverse))
    return entries


@BY_SIZES
@pytest.mark.parametrize("rules", [RULES_TO_3_27, RULES_3_28_TO_3_29, RULES_FROM_3_30])
def test_a_sieve_loses_nothing(layout: ConntrackLayout, rules: object) -> None:
    chance = random.Random(layout.value_size)
    expiry = Expiry(rules, TIMEOUTS, True)  # type: ignore[arg-type]
    hits = passed = 0
    for _ in range(120):
        found = table(chance, layout)
        entries = decoded(found, layout)
        services = Known(frozenset((chance.choice(entries).key.a, chance.choice(entries).key.b)))
        want = wanted(chance, found, layout)
        context = match.Context(NOW, expiry, services)
        meant = [at for at, one in enumerate(entries) if match.matches(want, one, context)]
        sieve = Sieve(layout, want, Raw(NOW, expiry, services.raw()))
        places = list(sieve.places(*packed(found), len(found)))
        assert set(meant) <= set(places), want
        assert places == sorted(set(places))
        assert not is_exact(want) or meant == places, want
        hits += len(meant)
        passed += len(places)
    assert hits > 800
    assert passed < 120 * 60 * 0.6  # and it is worth its while


def test_an_end_of_the_other_family() -> None:
    end = End(ip_network("10.0.0.0/8"), None)
    assert end.has(Endpoint(ip_address("10.1.2.3"), 1))
    assert not end.has(Endpoint(ip_address("fd00::1"), 1))
