# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack values of one release as another expects them; bytes written field by field."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    FirstWord,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conversion import (
    v2_to_v3,
    words_of,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
)


def raw(*fields: str) -> bytes:
    return bytes.fromhex("".join(fields))


CREATED = "01 00 00 00 00 00 00 00"
LAST_SEEN = "00 e4 0b 54 02 00 00 00"
FLAGS = "02 08 00 00 00 00 00 01"  # type NAT_REV, low flags, padding, high flags
LEGS = ("de ad be ef 23 00 00 00 07 00 00 00", "00 00 00 01 1c 00 00 00 00 00 00 00")
SERVICE, PORTS = "0a 60 00 0a", "bb 01 39 30"
TUNNEL, SOURCE = "c0 00 02 01", "0a 41 00 05"
NAT_REV_V2 = raw(CREATED, LAST_SEEN, FLAGS, *LEGS, SERVICE, PORTS, TUNNEL, SOURCE)
NO_COUNTERS = "00" * 12
V3_BODY = (NO_COUNTERS, LEGS[0], NO_COUNTERS, LEGS[1], TUNNEL, SERVICE, PORTS, SOURCE)
NAT_REV_V3 = raw(CREATED, LAST_SEEN, FLAGS, *V3_BODY)
FORWARD = raw(CREATED, LAST_SEEN, "01 00 00 00 00 00 00 00", "06 00 00 00", SOURCE, SERVICE)
FORWARD += raw("39 30 50 00", "21 4e")  # ports of the reverse key, new source port
NAT_FWD_V2, NAT_FWD_V3 = FORWARD.ljust(64, b"\0"), FORWARD.ljust(88, b"\0")


def test_ct2_values_become_ct3_values() -> None:
    assert v2_to_v3(NAT_REV_V2, FirstWord.CREATED) == NAT_REV_V3
    assert v2_to_v3(NAT_REV_V2, FirstWord.RST_SEEN) == bytes(8) + NAT_REV_V3[8:]
    assert v2_to_v3(NAT_FWD_V2, FirstWord.CREATED) == NAT_FWD_V3


def test_what_ct2_has_no_meaning_for_is_dropped() -> None:
    dirty = bytearray(NAT_FWD_V2)
    dirty[18:23] = b"\xff" * 5
    dirty[42:] = b"\xff" * 22
    assert v2_to_v3(dirty, FirstWord.CREATED) == NAT_FWD_V3
    with pytest.raises(LayoutError, match="88 bytes"):
        v2_to_v3(NAT_FWD_V3, FirstWord.CREATED)


def test_a_value_of_unknown_type_keeps_its_bytes() -> None:
    odd = NAT_REV_V2[:16] + b"\x09" + NAT_REV_V2[17:]
    assert v2_to_v3(odd, FirstWord.CREATED) == odd.ljust(88, b"\0")


def test_words_need_a_buffer_that_holds_them() -> None:
    values = memoryview(bytearray(3 * 88))
    for count, stride in ((4, 88), (1, 20)):
        with pytest.raises(LayoutError, match=f"{count} values of {stride} bytes"):
            words_of(values, count, stride)
