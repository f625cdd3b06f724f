# SPDX-License-Identifier: GPL-3.0-or-later
"""Searching packed conntrack entries by their raw bytes, decoding none of those passed over.

Keys lie one after the other; values do so at ``stride`` bytes. The answers are indexes in rising
order, for the caller to decode. A search costs some ten nanoseconds an entry.
"""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple

from .conntrack_layout import LAST_SEEN, TYPE
from .conversion import words_of
from .fields import LayoutError, unknown_size

_ADDRESSES = {16: (4, 8, 4), 40: (4, 20, 16)}  # key size: offsets of A and B, bytes of an address
_PORTS = {16: (12, 14), 40: (36, 38)}


class Selector(NamedTuple):
    """What a key must have; None: anything.

    ``address`` is packed, 4 or 16 bytes; address and port have to be those of the same side.
    """

    protocol: int | None = None
    address: bytes | None = None
    port: int | None = None


def matching(keys: memoryview, count: int, key_size: int, want: Selector) -> list[int]:
    """The first ``count`` keys that match.

    Raises LayoutError for a key or address of unknown size, and for a buffer that is too short.
    """
    if key_size not in _ADDRESSES:
        raise unknown_size("conntrack key", key_size, _ADDRESSES)
    if count * key_size > len(keys):
        raise LayoutError(f"{count} keys are not in a buffer of {len(keys)} bytes.")
    keys = keys[: count * key_size].cast("B")
    found = list(_candidates(keys, key_size, want))
    if want.protocol is None or (want.address is None and want.port is None):
        return found
    protocol = struct.pack("<I", want.protocol)
    return [index for index in found if keys[index * key_size :][:4] == protocol]


def _candidates(keys: memoryview, key_size: int, want: Selector) -> Iterator[int]:
    """Keys by the part of the selector that the fewest keys are likely to have."""
    if want.address is not None:
        return _by_address(bytes(keys), key_size, want.address, want.port)
    if want.port is not None:
        return _by_port(keys, key_size, want.port)
    if want.protocol is not None:
        words = keys.cast("I")[:: key_size // 4].tolist()
        return (index for index, word in enumerate(words) if word == want.protocol)
    return iter(range(len(keys) // key_size))


def _by_address(packed: bytes, size: int, address: bytes, port: int | None) -> Iterator[int]:
    first, second, width = _ADDRESSES[size]
    if len(address) != width:
        raise unknown_size("address in these conntrack keys", len(address), [width])
    ports = dict(zip((first, second), _PORTS[size]))
    wanted = None if port is None else struct.pack("<H", port)
    at = packed.find(address)
    while at >= 0:
        index, offset = divmod(at, size)
        start = index * size + ports.get(offset, 0)
        if offset in ports and wanted in (None, packed[start : start + 2]):
            yield index
            at = packed.find(address, (index + 1) * size)
        else:
            at = packed.find(address, at + 1)


def _by_port(keys: memoryview, key_size: int, port: int) -> Iterator[int]:
    halves, step = keys.cast("H"), key_size // 2
    sides = (halves[offset // 2 :: step].tolist() for offset in _PORTS[key_size])
    return (index for index, pair in enumerate(zip(*sides)) if port in pair)


def idle_since(values: memoryview, count: int, stride: int, instant: int) -> list[int]:
    """The first ``count`` values whose last_seen lies before ``instant`` (CLOCK_MONOTONIC, ns).

    Raises LayoutError for a stride that is no multiple of 8, and for a buffer that is too short.
    """
    times = words_of(values, count, stride)[LAST_SEEN // 8 :: stride // 8].tolist()
    return [index for index, seen in enumerate(times) if seen < instant]


def of_types(values: memoryview, count: int, stride: int, types: frozenset[int]) -> list[int]:
    """The first ``count`` values that are of one of these types. Raises LayoutError as above."""
    kinds = words_of(values, count, stride).cast("B")[TYPE::stride].tolist()
    return [index for index, kind in enumerate(kinds) if kind in types]
