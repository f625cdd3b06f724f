# SPDX-License-Identifier: GPL-3.0-or-later
"""The NAT maps: Service frontends, their backends, affinity, and the Maglev table.

Facts: calico-maps 4.1 to 4.4 (nat_types.h, nat/maps.go, maps6.go of 3.26 to 3.32).
"""

from __future__ import annotations

from typing import NamedTuple

from .fields import Address, Bit, Buffer, LayoutError, Packing, address, trimmed

FRONTEND_FLAGS = (
    Bit(0x1, "external-local"),
    Bit(0x2, "internal-local"),
    Bit(0x4, "nat-excluded", (3, 27)),
    Bit(0x8, "maglev", (3, 32)),
)
"""Flags of a frontend: the traffic policies that are Local, and how it is served."""

BLACKHOLE = 0xFFFFFFFF
"""The number of backends that means: drop what comes here."""
_BASE_PREFIX = {4: 56, 6: 152}  # bits before the source address, by family

_FRONTEND_KEY = Packing("NAT frontend key", {16: "<I4sHB4s1s", 40: "<I16sHB16s1s"})
_FRONTEND = Packing("NAT frontend value", {20: "<5I"})
_BACKEND_KEY = Packing("NAT backend key", {8: "<II"})
_BACKEND = Packing("NAT backend value", {8: "<4sHH", 20: "<16sHH"})
_AFFINITY_KEY = Packing("NAT affinity key", {16: "<4sHB1s4s4s", 40: "<16sHB1s16s4s"})
_AFFINITY = Packing("NAT affinity value", {16: "<4sH2sQ", 32: "<16sH6sQ"})


class FrontendKey(NamedTuple):
    """A Service's address and port; ``prefix_length`` in bits counts everything before it too.

    16 bytes for IPv4, 40 for IPv6.
    """

    prefix_length: int
    address: Address
    port: int
    protocol: int
    source: Address
    padding: bytes = b""

    @property
    def source_prefix(self) -> int:
        """Length in bits of the source range that the entry is for; 0: any source."""
        return self.prefix_length - _BASE_PREFIX[self.address.version]


class Frontend(NamedTuple):
    """A frontend's value, 20 bytes. ``backends`` counts all, ``local_backends`` this node's.

    ``affinity_timeout`` is in seconds; 0 without session affinity.
    """

    service_id: int
    backends: int
    local_backends: int
    affinity_timeout: int
    flags: int

    @property
    def blackhole(self) -> bool:
        """Whether packets from this source range are dropped (LoadBalancerSourceRanges)."""
        return self.backends == BLACKHOLE


class BackendKey(NamedTuple):
    """A Service's id and the ordinal of a backend (or the slot of a Maglev table); 8 bytes."""

    service_id: int
    ordinal: int


class Backend(NamedTuple):
    """A backend's address and port: 8 bytes for IPv4, 20 for IPv6."""

    address: Address
    port: int
    padding: int = 0


class AffinityKey(NamedTuple):
    """A Service's address and the client that sticks: 16 bytes for IPv4, 40 for IPv6."""

    address: Address
    port: int
    protocol: int
    client: Address
    padding: tuple[bytes, bytes] = (b"", b"")


class Affinity(NamedTuple):
    """The backend a client sticks to: 16 bytes for IPv4, 32 for IPv6.

    ``stamp`` is CLOCK_MONOTONIC in ns.
    """

    address: Address
    port: int
    stamp: int
    padding: bytes = b""


def decode_frontend_key(raw: Buffer) -> FrontendKey:
    """The key in 16 or 40 bytes. Raises LayoutError for any other size."""
    length, service, port, protocol, source, padding = _FRONTEND_KEY.unpack(raw)
    ends = address(service), address(source)
    return FrontendKey(length, ends[0], port, protocol, ends[1], trimmed(padding))


def encode_frontend_key(key: FrontendKey) -> bytes:
    """The 16 or 40 bytes of a frontend key. Raises LayoutError when a field does not fit."""
    service, source = _same_family("NAT frontend key", key.address, key.source)
    return _FRONTEND_KEY.pack(
        8 + 2 * len(service),
        key.prefix_length,
        service,
        key.port,
        key.protocol,
        source,
        key.padding,
    )


def frontend_of(service: Address, port: int, protocol: int) -> FrontendKey:
    """The key to look up whether an address is a Service's; every frontend has this entry.

    Its source range is empty: entries for LoadBalancerSourceRanges do not answer to it.
    """
    anyone = address(bytes(len(service.packed)))
    return FrontendKey(_BASE_PREFIX[service.version], service, port, protocol, anyone)


def decode_frontend(raw: Buffer) -> Frontend:
    """The value in 20 bytes. Raises LayoutError for any other size."""
    return Frontend(*_FRONTEND.unpack(raw))


def encode_frontend(value: Frontend) -> bytes:
    """The 20 bytes of a frontend's value. Raises LayoutError when a field does not fit."""
    return _FRONTEND.pack(20, *value)


def decode_backend_key(raw: Buffer) -> BackendKey:
    """The key of a backend or Maglev slot in 8 bytes. Raises LayoutError for any other size."""
    return BackendKey(*_BACKEND_KEY.unpack(raw))


def encode_backend_key(key: BackendKey) -> bytes:
    """The 8 bytes of a backend's or Maglev slot's key."""
    return _BACKEND_KEY.pack(8, *key)


def decode_backend(raw: Buffer) -> Backend:
    """The value of a backend or Maglev slot in 8 or 20 bytes. Raises LayoutError otherwise."""
    packed, port, padding = _BACKEND.unpack(raw)
    return Backend(address(packed), port, padding)


def encode_backend(value: Backend) -> bytes:
    """The 8 or 20 bytes of a backend's or Maglev slot's value."""
    packed = value.address.packed
    return _BACKEND.pack(4 + len(packed), packed, value.port, value.padding)


def decode_affinity_key(raw: Buffer) -> AffinityKey:
    """The key in 16 or 40 bytes. Raises LayoutError for any other size."""
    service, port, protocol, inner, client, tail = _AFFINITY_KEY.unpack(raw)
    padding = trimmed(inner), trimmed(tail)
    return AffinityKey(address(service), port, protocol, address(client), padding)


def encode_affinity_key(key: AffinityKey) -> bytes:
    """The 16 or 40 bytes of an affinity key. Raises LayoutError when a field does not fit."""
    service, client = _same_family("NAT affinity key", key.address, key.client)
    size = 8 + 2 * len(service)
    inner, tail = key.padding
    return _AFFINITY_KEY.pack(size, service, key.port, key.protocol, inner, client, tail)


def decode_affinity(raw: Buffer) -> Affinity:
    """The value in 16 or 32 bytes. Raises LayoutError for any other size."""
    backend, port, padding, stamp = _AFFINITY.unpack(raw)
    return Affinity(address(backend), port, stamp, trimmed(padding))


def encode_affinity(value: Affinity) -> bytes:
    """The 16 or 32 bytes of an affinity value."""
    packed = value.address.packed
    size = 16 if len(packed) == 4 else 32
    return _AFFINITY.pack(size, packed, value.port, value.padding, value.stamp)


def _same_family(what: str, one: Address, other: Address) -> tuple[bytes, bytes]:
    if one.version != other.version:
        raise LayoutError(f"{what}: {one} and {other} are of two families.")
    return one.packed, other.packed
