# SPDX-License-Identifier: GPL-3.0-or-later
"""Packet counters per interface and hook: cali_counters2, 3, 5 and 6.

Facts: calico-maps 4.6 (counters/counters.go of 3.26 to 3.32).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .fields import Buffer, LayoutError, Packing, unknown_size

NAMES = (
    "total",
    "failsafe",
    "policy-accept",
    "other-program",
    "policy-drop",
    "too-short",
    "checksum",
    "ip-options",
    "malformed",
    "encapsulated",
    "decapsulated",
    "unauthorized-source",
    "unknown-route",
    "blackhole-route",
    "source-collision",
    "source-collision-unresolved",
    "conntrack-create-failed",
    "redirect",
    "redirect-neighbor",
    "redirect-peer",
    "fragment-wait",
    "fragment-reorder",
    "fragment-unsupported",
    "qos",
    "reserved",
    "maglev-no-backend",
    "no-host-ip",
)
"""Counters by their place in the value; a release has the first of them, by the value's size."""

SIZES = (112, 136, 200, 216)
"""Bytes of a value: 14 counters in 3.26 to 3.29, 17 in 3.30, 25 in 3.31, 27 from 3.32."""

HOOKS = {0: "ingress", 1: "egress", 2: "xdp"}

_KEY = Packing("counters key", {8: "<II"})


class CountersKey(NamedTuple):
    """The interface, and the hook as a number of HOOKS; 8 bytes."""

    ifindex: int
    hook: int


def decode_counters_key(raw: Buffer) -> CountersKey:
    """The key in 8 bytes. Raises LayoutError for any other size."""
    return CountersKey(*_KEY.unpack(raw))


def encode_counters_key(key: CountersKey) -> bytes:
    """The 8 bytes of a key. Raises LayoutError when a field does not fit."""
    return _KEY.pack(8, *key)


def decode_counters(raw: Buffer, value_size: int) -> tuple[tuple[int, ...], ...]:
    """The counters of each possible CPU; ``raw`` has their values of ``value_size`` bytes.

    Raises LayoutError for an unknown size, and when ``raw`` is no whole number of values.
    """
    if value_size not in SIZES:
        raise unknown_size("counters value", value_size, SIZES)
    if not raw or len(raw) % value_size:
        raise LayoutError(f"{len(raw)} bytes are not counters of {value_size} bytes for each CPU.")
    return tuple(struct.iter_unpack(f"<{value_size // 8}Q", raw))


def encode_counters(cpus: tuple[tuple[int, ...], ...], value_size: int) -> bytes:
    """The bytes of the counters of all CPUs. Raises LayoutError when one does not fit."""
    packing = Packing("counters value", {size: f"<{size // 8}Q" for size in SIZES})
    return b"".join(packing.pack(value_size, *counters) for counters in cpus)


def totals(cpus: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    """The sums over all CPUs by counter name, in the value's order."""
    return {name: sum(values) for name, values in zip(NAMES, zip(*cpus))}
