# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack entries that a task means, with those that are nothing without them.

A connection to a Service is two entries: NAT_FWD points at NAT_REV, which tells the Service and
the client's first address (facts: calico-maps 2.2).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Iterable, Iterator, Mapping, Sequence

from .._calico.codecs.conntrack import Endpoint, EntryType, Tracking, encode_key
from .._calico.codecs.conntrack_flow import WITH_PORTS, make_key, originator
from .._calico.codecs.conntrack_layout import HEADER_SIZE, TYPE, conntrack_layout
from .._calico.codecs.conntrack_scan import of_types
from .._calico.conntrack_expiry import Expiry, expiry_of
from .._calico.versions import VersionSet
from .._errors import RefusedError
from .._kernel import proc
from .._kernel.maps import Map
from .._kernel.readers import chunks, open_reader
from .._plan.conntrack_entry import Group, Member, Seen, Table, Task, members
from .conntrack import READ_BATCH
from .conntrack_pins import detected, family_of, pinned_maps
from .conntrack_search import Packed, Search
from .services import PinnedServices, open_services

_FORWARD = frozenset({EntryType.NAT_FWD.value})


def observe(wanted: Task) -> Seen:
    """Search each pinned conntrack map; memory grows with what matches alone.

    Raises BadInputError for a directory that is not on a bpffs and for a release that is not
    known, RefusedError for a map whose version or layout is not known and where something that a
    selector needs is not there, SyscallError.
    """
    pinned = pinned_maps(wanted.pin_dir)
    told = detected(pinned, wanted.release)
    release, began = wanted.release or told.releases, time.monotonic_ns()
    tables = []
    for path in pinned:
        if family_of(path) in wanted.families:
            with ExitStack() as stack:
                tables.append(_table(wanted, release, path, stack))
    return Seen(tuple(tables), release, began, told.contradictions)


def expiry_for(wanted: Task, release: VersionSet) -> Expiry:
    """What decides when entries expire. Raises RefusedError where that is asked and not clear."""
    expiry = expiry_of(release, wanted.timeouts, proc.netfilter_seconds)
    if wanted.select.expired and not expiry.certain:
        raise RefusedError(
            f"expired: Calico {release} judge the life of entries differently; set calico_version."
        )
    return expiry


def _table(wanted: Task, release: VersionSet, path: str, stack: ExitStack) -> Table:
    opened = stack.enter_context(Map.open(path, read_only=True))
    finder = finder_for(wanted, release, opened, stack)
    groups, matched = finder.found(wanted.max_deletions)
    return Table(path, opened.info().id, groups, matched)


def finder_for(wanted: Task, release: VersionSet, opened: Map, stack: ExitStack) -> Finder:
    """The search of one map by the clock and the Services of now."""
    spec = opened.info().spec
    layout = conntrack_layout(spec.key_size, spec.value_size)
    services = _services(wanted, release, layout.family, stack)
    expiry = expiry_for(wanted, release)
    return Finder(Search(opened, layout, wanted.select, expiry, services))


def _services(
    wanted: Task, release: VersionSet, family: int, stack: ExitStack
) -> PinnedServices | None:
    """Raises RefusedError when there are none although entries of a Service are to go for it."""
    if not (wanted.select.stale_udp or wanted.select.stale_nat):
        return None
    need = ["nat_frontend", "routes" if wanted.select.stale_udp else "nat_backend"]
    found = open_services(stack, wanted.pin_dir, release, family, need)
    if wanted.select.stale_nat and not found.backends():
        raise RefusedError(
            f"stale_nat: the NAT map of IPv{family} has no Service with backends, as before felix "
            "has filled it, so that every NAT entry would go."
        )
    return found


class Finder:
    """Groups of entries that go together."""

    def __init__(self, search: Search) -> None:
        self.search = search

    def _all(self, limit: int) -> tuple[dict[bytes, bytes], int]:
        """Entries that are meant, and how many; none are kept when they are over ``limit``."""
        found: dict[bytes, bytes] = {}
        more, table = 0, self.search.table
        spec = table.info().spec
        for chunk in chunks(open_reader(table, spec, READ_BATCH), spec):
            for one in self.search.found(chunk):
                if len(found) <= limit:
                    found[one.key] = one.value
                else:
                    more += 1
        return found, len(found) + more

    def found(self, limit: int) -> tuple[tuple[Group, ...], int]:
        """The groups of all entries that are meant, none when these are over ``limit``."""
        found, matched = self._all(limit)
        return (() if matched > limit else self.groups(found)), matched

    def groups(
        self, found: Mapping[bytes, bytes], known: Sequence[bytes] | None = None
    ) -> tuple[Group, ...]:
        """Entries by the flow that they belong to, each with its other half.

        ``known`` are keys among which the other half is; otherwise all are looked through for it.
        """
        flows: dict[bytes, dict[bytes, Member]] = {}
        for key, value in found.items():
            flows.setdefault(self._flow(key, value), {})[key] = Member(key, value, True)
        alone = {
            flow
            for flow, members in flows.items()
            if not self._complete(flow, members, known or ())
        }
        for one in self._pointing_at(alone if known is None else set()):
            flows[self._flow(*one)][one.key] = Member(*one, False)
        return tuple(_in_order(part.values()) for part in flows.values())

    def _flow(self, key: bytes, value: bytes) -> bytes:
        """The key of the entry that tracks the flow."""
        if value[TYPE] != EntryType.NAT_FWD:
            return key
        return value[HEADER_SIZE : HEADER_SIZE + len(key)]

    def _complete(self, flow: bytes, part: dict[bytes, Member], known: Sequence[bytes]) -> bool:
        """Add the other half; False when a NAT_REV entry is alone as far as keys can tell."""
        if flow not in part:
            raw = self.search.lookup(flow)
            if raw is not None and raw[TYPE] == EntryType.NAT_REV:
                part[flow] = Member(flow, raw, False)
            return True
        if part[flow].value[TYPE] != EntryType.NAT_REV or len(part) > 1:
            return True
        for key in (*known, *self._forward_keys(Packed(*part[flow][:2]))):
            raw = self.search.lookup(key)
            if raw is not None and raw[TYPE] == EntryType.NAT_FWD and self._flow(key, raw) == flow:
                part[key] = Member(key, raw, False)
        return len(part) > 1

    def _forward_keys(self, one: Packed) -> Iterator[bytes]:
        """Keys that the NAT_FWD entry of a NAT_REV one may have."""
        entry = self.search.entry(one)
        body, protocol = entry.value.body, entry.key.protocol
        if not isinstance(body, Tracking) or protocol not in WITH_PORTS:
            return
        service = Endpoint(body.orig_ip, body.orig_port)
        clients = (
            Endpoint(body.orig_sip, body.orig_sport),
            originator(entry.key, entry.value.flags),
        )
        for client in dict.fromkeys(clients):
            # 0 stands for the client's port where another flow of this host had it already.
            for port in dict.fromkeys((client.port, 0)):
                yield encode_key(make_key(protocol, client._replace(port=port), service).key)

    def _pointing_at(self, flows: set[bytes]) -> Iterator[Packed]:
        """NAT_FWD entries by what they point at, for which the whole map has to be read."""
        if not flows:
            return
        table, layout = self.search.table, self.search.layout
        spec = table.info().spec
        for chunk in chunks(open_reader(table, spec, READ_BATCH), spec):
            for place in of_types(chunk.value_view, chunk.count, layout.value_size, _FORWARD):
                one = self.search.packed(chunk, place)
                if self._flow(*one) in flows:
                    yield one


def _in_order(part: Iterable[Member]) -> Group:
    return tuple(sorted(part, key=lambda one: one.matched))


def still_there(tables: Sequence[Table]) -> Iterator[str]:
    """What was deleted and is there all the same, or may be in a map that took the place."""
    for table in tables:
        with Map.open(table.path, read_only=True) as opened:
            if opened.info().id != table.map_id:
                yield f"another map at {table.path} than before"
                continue
            gone = members(table)
            left = sum(opened.lookup(one.key, len(one.value)) == one.value for one in gone)
            if left:
                yield f"{left} of {len(gone)} entries in {table.path} unchanged"
