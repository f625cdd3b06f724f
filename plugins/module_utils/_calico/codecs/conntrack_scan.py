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
_FLAG_BYTES = (17, 23, 18, 19)  # of a value: flags 0x1 to 0x80, 0x100 to 0x8000, and so on


class Selector(NamedTuple):
    """What a key must have; None: anything.

    ``address`` is packed, 4 or 16 bytes, and with ``bits`` a prefix of that length; ``ports`` are
    the lowest and the highest. Address and port have to be those of the same side.
    """

    protocol: int | None = None
    address: bytes | None = None
    ports: tuple[int, int] | None = None
    bits: int | None = None


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
    if want.protocol is None or (want.address is None and want.ports is None):
        return found
    protocol = struct.pack("<I", want.protocol)
    return [index for index in found if keys[index * key_size :][:4] == protocol]


def _candidates(keys: memoryview, key_size: int, want: Selector) -> Iterator[int]:
    """Keys by the part of the selector that the fewest keys are likely to have."""
    if want.address is not None:
        return _by_address(bytes(keys), key_size, want.address, want)
    if want.ports is not None:
        return _by_port(keys, key_size, want.ports)
    if want.protocol is not None:
        words = keys.cast("I")[:: key_size // 4].tolist()
        return (index for index, word in enumerate(words) if word == want.protocol)
    return iter(range(len(keys) // key_size))


def _by_address(packed: bytes, size: int, address: bytes, want: Selector) -> Iterator[int]:
    first, second, width = _ADDRESSES[size]
    if len(address) != width:
        raise unknown_size("address in these conntrack keys", len(address), [width])
    whole = 8 * width if want.bits is None else want.bits
    needle, beyond = address[: whole // 8], 8 * width - whole
    prefix = int.from_bytes(address, "big") >> beyond
    sides = dict(zip((first, second), _PORTS[size]))
    low, high = want.ports or (0, 0xFFFF)
    at = packed.find(needle, first)
    while 0 <= at < len(packed):
        index, offset = divmod(at, size)
        if (
            offset in sides
            and int.from_bytes(packed[at : at + width], "big") >> beyond == prefix
            and low <= _port_at(packed, at - offset + sides[offset]) <= high
        ):
            yield index
            at = packed.find(needle, (index + 1) * size + first)
        else:
            at = packed.find(needle, at + 1)


def _port_at(packed: bytes, place: int) -> int:
    return packed[place] | packed[place + 1] << 8


def _by_port(keys: memoryview, key_size: int, ports: tuple[int, int]) -> Iterator[int]:
    halves, step = keys.cast("H"), key_size // 2
    low, high = ports
    sides = (halves[offset // 2 :: step].tolist() for offset in _PORTS[key_size])
    return (
        index
        for index, (one, other) in enumerate(zip(*sides))
        if low <= one <= high or low <= other <= high
    )


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


def with_flags(values: memoryview, count: int, stride: int, flags: int) -> list[int]:
    """The first ``count`` values that have all of these flags. Raises LayoutError as above."""
    packed = words_of(values, count, stride).cast("B")
    found = list(range(count))
    for number, offset in enumerate(_FLAG_BYTES):
        wanted = flags >> 8 * number & 0xFF
        if wanted:
            column = packed[offset::stride].tolist()
            found = [place for place in found if column[place] & wanted == wanted]
    return found


class ServiceEnds(NamedTuple):
    """Where UDP Services are found, in the form of keys' columns.

    ``ends``: the last 4 bytes of an address as a word in host byte order, and the port.
    ``node_ports``: ports that belong to a Service at whatever address.
    """

    ends: frozenset[tuple[int, int]]
    node_ports: frozenset[int]


def to_services(
    keys: memoryview, count: int, key_size: int, protocol: int, want: ServiceEnds
) -> list[int]:
    """The first ``count`` keys of the protocol one side of which may be a Service."""
    keys = keys[: count * key_size].cast("B")
    first, second, width = _ADDRESSES[key_size]
    words, halves = keys.cast("I"), keys.cast("H")
    addresses = (words[(at + width) // 4 - 1 :: key_size // 4].tolist() for at in (first, second))
    ports = (halves[at // 2 :: key_size // 2].tolist() for at in _PORTS[key_size])
    protocols = words[:: key_size // 4].tolist()
    ends, anywhere = want
    return [
        index
        for index, (number, a, b, port_a, port_b) in enumerate(zip(protocols, *addresses, *ports))
        if number == protocol
        and ((a, port_a) in ends or (b, port_b) in ends or port_a in anywhere or port_b in anywhere)
    ]
