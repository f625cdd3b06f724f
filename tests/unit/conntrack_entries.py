# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up conntrack entries, packed by hand from the facts' offsets."""

from __future__ import annotations

import random
import struct
from typing import List, Tuple

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_liveness as life,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    ConntrackLayout,
)

SECOND = 10**9
NOW = 100_000 * SECOND
TIMEOUTS = life.Timeouts(*(seconds * SECOND for seconds in (10, 20, 3600, 30, 40, 60, 600, 5)))
Entries = List[Tuple[bytes, bytes]]


def entry(
    layout: ConntrackLayout, random_source: random.Random, idle: int | None = None
) -> tuple[bytes, bytes]:
    """Key and value, ``idle`` ns since it was last seen, by default some whole seconds."""
    choose = random_source.choice
    width = layout.address_size
    key = struct.pack("<I", choose([1, 6, 6, 6, 17, 58, 132]))
    key += bytes(choose(b"abcd") for _ in range(2 * width)) + struct.pack("<HH", 7, 9)
    value = bytearray(layout.value_size)
    first = choose([0, *(NOW - seconds * SECOND for seconds in (3, 10, 50))])
    age = choose(range(4000)) * SECOND if idle is None else idle
    struct.pack_into("<QQ", value, 0, first, NOW - age)
    value[16] = choose([0, 0, 1, 2])
    value[17] = choose([0, 2])
    value[23] = choose([0, 1])
    for leg in layout.legs:
        struct.pack_into("<I", value, leg + layout.bits_in_leg, choose(range(0x80)))
    return key, bytes(value)


def packed(entries: Entries) -> tuple[memoryview, memoryview]:
    """Keys and values as a chunk holds them; what is behind its entries counts for nothing."""
    keys, values = (b"".join(part) for part in zip(*entries))
    spare = b"\xff" * 400
    return memoryview(bytearray(keys + spare)), memoryview(bytearray(values + spare))
