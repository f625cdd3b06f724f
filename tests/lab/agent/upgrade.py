# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier versions of the conntrack map: which one felix finds, and its entries in newer form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .entries import CT2, NAT_FWD, V4

# felix knows no upgrade of IPv6 maps.
FAMILY = "cali_v4_ct"
PIN = re.compile(rf"{FAMILY}(\d+)(_old)?\Z")


def version_of(name: str) -> int | None:
    """Version of a conntrack map that has upgrades, by the name of its pin."""
    match = PIN.match(name)
    return int(match.group(1)) if match else None


def other_version(directory: Path, mine: int) -> int | None:
    """The first other version that has a pin, in the order of names."""
    for path in sorted(directory.iterdir()):
        version = version_of(path.name)
        if version not in (None, mine):
            return version
    return None


def converted(found: list[tuple[bytes, bytes]], version: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries in the form of versions 3 and 4, which have the same."""
    for key, value in found:
        yield key, _from_2(value) if version == 2 else value


def _from_2(old: bytes) -> bytes:
    """Everything but the time of creation."""
    new = bytearray(V4.value)
    new[8:24] = old[8:24]
    if old[16] == NAT_FWD:
        end = 24 + V4.key + 2
        new[24:end] = old[24:end]
        return bytes(new)
    for leg in (0, 1):
        source, target = 24 + leg * CT2.leg, 24 + leg * V4.leg
        # Sequence number, bits and interface follow each other in both.
        new[target + V4.seqno : target + V4.leg] = old[source : source + CT2.leg]
    for field in ("tunnel", "original", "original_port", "original_source"):
        source, target = getattr(CT2, field), getattr(V4, field)
        new[target : target + 4] = old[source : source + 4]
    return bytes(new)
