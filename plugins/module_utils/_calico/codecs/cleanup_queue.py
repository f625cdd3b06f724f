# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the conntrack cleanup queue, cali_v4_ccq2 and cali_v6_ccq2 of 3.31 and later.

Its keys are conntrack keys of expired entries. Facts: calico-maps 2.4 (conntrack_cleanup.h,
conntrack/cleanupv1; for IPv6 as the BPF program has it, not the Go accessors).
"""

from __future__ import annotations

from typing import NamedTuple

from .conntrack import Key, decode_key, encode_key
from .fields import Buffer, LayoutError, Packing

_VALUE = Packing("cleanup queue value", {32: "<16sQQ", 56: "<40sQQ"})


class Queued(NamedTuple):
    """An entry to delete unless it was used since: 32 bytes for IPv4, 56 for IPv6.

    ``partner`` is the other key of a NAT pair, or None. The times are CLOCK_MONOTONIC in ns, as
    the scanner saw them on the entry and on the pair's NAT_REV entry.
    """

    partner: Key | None
    last_seen: int
    reverse_last_seen: int


def decode_queued(raw: Buffer) -> Queued:
    """The value in 32 or 56 bytes. Raises LayoutError for any other size."""
    key, last_seen, reverse_last_seen = _VALUE.unpack(raw)
    return Queued(decode_key(key) if any(key) else None, last_seen, reverse_last_seen)


def encode_queued(value: Queued, size: int) -> bytes:
    """The bytes of a value of 32 or 56 bytes. Raises LayoutError when its partner does not fit."""
    key = encode_key(value.partner) if value.partner else b""
    if key and len(key) != size - 16:
        raise LayoutError(f"cleanup queue value: a key of {len(key)} bytes is not in {size} bytes.")
    return _VALUE.pack(size, key, value.last_seen, value.reverse_last_seen)
