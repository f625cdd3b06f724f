# SPDX-License-Identifier: GPL-3.0-or-later
"""What the codecs share: sized packing, addresses, and flag names that change with the release."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Mapping, NamedTuple, Sequence, Tuple, Union

from ..._errors import RefusedError

Address = Union[IPv4Address, IPv6Address]
Network = Union[IPv4Network, IPv6Network]
Buffer = Union[bytes, bytearray, memoryview]
Release = Tuple[int, ...]
"""A Calico release as numbers, such as (3, 31) or (3, 27, 5)."""


class LayoutError(RefusedError):
    """Bytes that no known layout fits, or a value that its layout has no room for."""


class Packing(NamedTuple):
    """The struct formats of one kind of bytes, by their size in bytes; all are little-endian."""

    what: str
    formats: Mapping[int, str]

    def unpack(self, raw: Buffer) -> tuple[Any, ...]:
        """The fields of ``raw``. Raises LayoutError when its size is not a known one."""
        return struct.unpack(self._format(len(raw)), raw)

    def pack(self, size: int, *values: Any) -> bytes:
        """``size`` bytes of these fields. Raises LayoutError for a value that does not fit."""
        try:
            packed = struct.pack(self._format(size), *values)
        except struct.error as error:
            raise LayoutError(f"{self.what}: {values!r} does not fit ({error}).") from error
        for value, kept in zip(values, self.unpack(packed)):
            if isinstance(value, bytes) and len(value) > len(kept):  # pack cuts without a word
                raise LayoutError(f"{self.what}: {value!r} is longer than {len(kept)} bytes.")
        return packed

    def _format(self, size: int) -> str:
        if size not in self.formats:
            raise unknown_size(self.what, size, self.formats)
        return self.formats[size]


def unknown_size(what: str, size: int, known: Sequence[int] | Mapping[int, Any]) -> LayoutError:
    """The refusal of bytes that have a size which no known release uses."""
    sizes = ", ".join(str(one) for one in sorted(known))
    return LayoutError(f"A {what} of {size} bytes has no known layout; known are {sizes} bytes.")


def address(raw: Buffer) -> Address:
    """The address in 4 or 16 bytes of network byte order."""
    return ip_address(bytes(raw))


def trimmed(padding: Buffer) -> bytes:
    """Padding without the zeros at its end: nothing, for a program that clears its memory."""
    return bytes(padding).rstrip(b"\0")


def text(raw: bytes) -> str:
    """A fixed-size C string up to its first NUL; bytes outside ASCII are escaped."""
    return raw.partition(b"\0")[0].decode("ascii", "backslashreplace")


class Bit(NamedTuple):
    """One flag (or value of several bits) and the releases that call it so; ``until`` not."""

    mask: int
    name: str
    since: Release = (3,)
    until: Release | None = None

    def known_in(self, release: Release | None) -> bool:
        """Whether ``release`` has this name; without a release: whether any has."""
        if release is None:
            return True
        return self.since <= release and (self.until is None or release < self.until)


def flag_names(flags: int, table: Sequence[Bit], release: Release | None = None) -> list[str]:
    """The names of the bits that are set, and the unnamed rest as one hexadecimal number.

    Without a release, a bit whose name changed gets every name it had, joined by "|".
    """
    names: list[str] = []
    for mask in sorted({bit.mask for bit in table if flags & bit.mask}):
        known = [bit.name for bit in table if bit.mask == mask and bit.known_in(release)]
        if known:
            names.append("|".join(known))
            flags &= ~mask
    return names + ([hex(flags)] if flags else [])
