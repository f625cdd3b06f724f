# SPDX-License-Identifier: GPL-3.0-or-later
"""The Services of a node as its NAT and route maps have them.

Facts: calico-maps 3.4, 4.1, 4.2 and 4.5.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Iterator, NamedTuple, Sequence

from .._calico.codecs.conntrack import Endpoint, EntryType
from .._calico.codecs.conntrack_flow import UDP
from .._calico.codecs.conntrack_layout import HEADER_SIZE, TYPE, ConntrackLayout
from .._calico.codecs.conntrack_scan import ServiceEnds
from .._calico.codecs.fields import Address
from .._calico.codecs.nat import (
    BLACKHOLE,
    Frontend,
    FrontendKey,
    decode_frontend,
    encode_frontend_key,
)
from .._calico.codecs.routes import HOST, LOCAL, RouteKey, decode_route, encode_route_key
from .._calico.maps import maps_of_role
from .._calico.versions import VersionSet
from .._errors import RefusedError, SyscallError
from .._kernel import bpffs
from .._kernel.maps import Map
from .._kernel.readers import chunks, open_reader
from .._plan.conntrack_match import Services

_BATCH = 1024
_EXCLUDED = 0x4  # a frontend's flag: its traffic is not translated
_THIS_HOST = HOST | LOCAL
_WILDCARD = {4: ip_address("255.255.255.255"), 6: ip_address((1 << 128) - 1)}
_WIDTH = {4: 4, 6: 16}


class Maps(NamedTuple):
    """Open maps of one family; without ``backends`` no backend is known."""

    family: int
    frontends: Map
    routes: Map | None = None
    backends: Map | None = None


class PinnedServices(Services):
    """Looks up what programs look up."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._table: _Backends | None = None

    def bypassed(self, client: Endpoint, service: Endpoint) -> bool:
        """Whether programs would send the client's UDP packets on to a backend.

        The frontend for the client's source range counts, and of node ports those of this host.
        """
        found = self._frontend(client.address, service)
        if found is None and self._is_this_host(service.address):
            anywhere = Endpoint(_WILDCARD[self._maps.family], service.port)
            found = self._frontend(client.address, anywhere)
        return found is not None and _leads_on(found)

    def _frontend(self, client: Address, service: Endpoint) -> Frontend | None:
        width = 8 * _WIDTH[self._maps.family]
        key = FrontendKey(2 * width + 24, service.address, service.port, UDP, client)
        raw = self._maps.frontends.lookup(encode_frontend_key(key), 20)
        return None if raw is None else decode_frontend(raw)

    def _is_this_host(self, address: Address) -> bool:
        if self._maps.routes is None:
            return False
        width = _WIDTH[self._maps.family]
        raw = self._maps.routes.lookup(encode_route_key(RouteKey(8 * width, address)), 4 + width)
        return raw is not None and decode_route(raw).flags & _THIS_HOST == _THIS_HOST

    def udp_ends(self) -> ServiceEnds:
        """Addresses and ports of UDP Services that lead on for some client."""
        ends, anywhere = set(), set()
        width, wildcard = _WIDTH[self._maps.family], _WILDCARD[self._maps.family].packed
        for key, value in _entries(self._maps.frontends):
            if key[4 + width + 2] == UDP and _leads_on(decode_frontend(value)):
                port = key[4 + width] | key[5 + width] << 8
                packed = key[4 : 4 + width]
                ends.add((struct.unpack("=I", packed[-4:])[0], port))
                if packed == wildcard:
                    anywhere.add(port)
        return ServiceEnds(frozenset(ends), frozenset(anywhere))

    def has_backend(self, protocol: int, service: Endpoint, backend: Endpoint) -> bool:
        """Whether that is a backend of the Service."""
        return self.backends().has(protocol, _packed(service), _packed(backend))

    def backends(self) -> _Backends:
        """All backends, read once."""
        if self._table is None:
            if self._maps.backends is None:
                raise ValueError("The map of backends was not opened.")
            self._table = _Backends(self._maps.family, self._maps.frontends, self._maps.backends)
        return self._table


class _Backends:
    """Backends by Service, all in packed form: memory grows with the Services alone."""

    def __init__(self, family: int, frontends: Map, backends: Map) -> None:
        width = _WIDTH[family]
        self._wildcard = _WILDCARD[family].packed
        self._ids: dict[bytes, set[bytes]] = {}
        counts: dict[bytes, int] = {}
        for key, raw in _entries(frontends):
            value = decode_frontend(raw)
            if value.backends and value.backends != BLACKHOLE:
                self._ids.setdefault(key[4 : 4 + width + 3], set()).add(raw[:4])
                counts[raw[:4]] = max(counts.get(raw[:4], 0), value.backends)
        self._backends = frozenset(
            key[:4] + value[: width + 2]
            for key, value in _entries(backends)
            if struct.unpack_from("<I", key, 4)[0] < counts.get(key[:4], 0)
        )

    def __bool__(self) -> bool:
        """Whether any Service is known."""
        return bool(self._ids)

    def has(self, protocol: int, service: bytes, backend: bytes) -> bool:
        """Whether ``backend`` is one of the Service, or of the node port that the port may be."""
        tail = bytes((protocol,))
        ids = self._ids.get(service + tail, set()) | self._ids.get(
            self._wildcard + service[-2:] + tail, set()
        )
        return any(one + backend in self._backends for one in ids)

    def unknown(
        self, layout: ConntrackLayout, keys: memoryview, values: memoryview, count: int
    ) -> list[int]:
        """Places of NAT entries that do not lead to a backend that is known."""
        found = []
        for at in range(count):
            kind = values[at * layout.value_size + TYPE]
            if kind in (EntryType.NAT_FWD, EntryType.NAT_REV):
                key = bytes(keys[at * layout.key_size : (at + 1) * layout.key_size])
                start = at * layout.value_size
                raw = bytes(values[start : start + layout.value_size])
                if not self._knows(layout, kind, key, raw):
                    found.append(at)
        return found

    def _knows(self, layout: ConntrackLayout, kind: int, key: bytes, raw: bytes) -> bool:
        ends = _ends(layout, key)
        if kind == EntryType.NAT_FWD:
            pair = _forward_pair(layout, ends, raw)
            return pair is not None and self.has(key[0], *pair)
        service = raw[layout.orig_ip :][: layout.address_size] + raw[layout.orig_port :][:2]
        return any(self.has(key[0], service, one) for one in ends)


def _forward_pair(
    layout: ConntrackLayout, ends: tuple[bytes, bytes], raw: bytes
) -> tuple[bytes, bytes] | None:
    """Service and backend of a NAT_FWD entry, as conntrack_flow.nat_sides tells them."""
    first, second = _ends(layout, raw[HEADER_SIZE : HEADER_SIZE + layout.key_size])
    port = raw[layout.nat_sport : layout.nat_sport + 2]
    for backend, shared in ((second, first), (first, second)):
        for client, service in (ends, ends[::-1]):
            if shared == (client[:-2] + port if any(port) else client):
                return service, backend
    return None


def _ends(layout: ConntrackLayout, key: bytes) -> tuple[bytes, bytes]:
    width = layout.address_size
    ports = 4 + 2 * width
    first = key[4 : 4 + width] + key[ports : ports + 2]
    return first, key[4 + width : ports] + key[ports + 2 : ports + 4]


def _packed(end: Endpoint) -> bytes:
    return end.address.packed + struct.pack("<H", end.port)


def _leads_on(one: Frontend) -> bool:
    """Whether packets go to a backend: felix's rule, and neither excluded nor dropped."""
    return bool(one.backends) and not one.blackhole and not one.flags & _EXCLUDED


def _entries(table: Map) -> Iterator[tuple[bytes, bytes]]:
    spec = table.info().spec
    for chunk in chunks(open_reader(table, spec, _BATCH), spec):
        for at in range(chunk.count):
            key = bytes(chunk.key_view[at * spec.key_size : (at + 1) * spec.key_size])
            yield key, bytes(chunk.value_view[at * chunk.slot : at * chunk.slot + spec.value_size])


def open_services(
    stack: ExitStack, pin_dir: str, release: VersionSet, family: int, need: Sequence[str]
) -> PinnedServices:
    """The Services of one family; ``need`` are roles of maps, nat_frontend among them.

    The maps stay open until ``stack`` closes. Raises RefusedError when one is missing or of a
    layout that no known release has.
    """
    found = {role: _opened(stack, pin_dir, release, family, role) for role in need}
    return PinnedServices(
        Maps(family, found["nat_frontend"], found.get("routes"), found.get("nat_backend"))
    )


def _opened(stack: ExitStack, pin_dir: str, release: VersionSet, family: int, role: str) -> Map:
    rows = [row for row in maps_of_role(release, role) if row.family == family]
    if not rows:
        raise RefusedError(f"Calico {release} has no {role} map of IPv{family} that is known here.")
    path = str(PurePosixPath(pin_dir, rows[0].name))
    if bpffs.kind_at(path) != "map":
        raise RefusedError(f"Without a map at {path} nothing tells which Services there are.")
    try:
        opened = stack.enter_context(Map.open(path, read_only=True))
    except SyscallError as error:
        message = f"{path} cannot be read, so nothing tells which Services there are: {error}"
        raise RefusedError(message) from error
    spec = opened.info().spec
    if not any(
        (row.type, row.key_size, row.value_size) == (spec.type, spec.key_size, spec.value_size)
        for row in rows
    ):
        raise RefusedError(
            f"{path} has keys of {spec.key_size} and values of {spec.value_size} bytes, as in no "
            "known release, so nothing tells which Services there are."
        )
    return opened
