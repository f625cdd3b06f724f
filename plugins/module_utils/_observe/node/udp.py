# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP flows to a Service that are tracked as if it were none (maps 3.4, 4.1; #9967).

Such a flow was active while the Service did not exist. Its packets keep the entry alive, and the
entry keeps them from the Service's backends.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Iterable, Iterator, NamedTuple

from ..._calico.codecs.conntrack_flow import destination, originator
from ..._calico.codecs.conntrack_layout import conntrack_layout
from ..._calico.conntrack_expiry import expiry_of
from ..._calico.conntrack_facts import end_text
from ..._calico.defects import defect
from ..._calico.evidence import Verdict
from ..._calico.maps import maps_of
from ..._calico.versions import VersionSet
from ..._kernel.maps import Map
from ..._kernel.readers import chunks, open_reader
from ..._plan.conntrack_select import Select
from ..._plan.findings_input import PinnedMap, StaleFlows
from ..conntrack_search import Search
from ..services import Maps, PinnedServices
from .notes import Notes

_BATCH = 1024
_EXAMPLES = 3
_ROLES = ("conntrack", "nat_frontend", "routes")


class _Tables(NamedTuple):
    """The conntrack map, the NAT frontends and the routes of one family."""

    conntrack: PinnedMap
    frontends: PinnedMap
    routes: PinnedMap | None


def stale_flows(
    maps: Iterable[PinnedMap], pin_dir: str, release: VersionSet, notes: Notes
) -> tuple[StaleFlows, ...]:
    """Live flows by Service, of the releases that leave them alone."""
    if not defect("UDP_STALE").affected.overlaps(release):
        return ()
    found: list[StaleFlows] = []
    for tables in _families(maps, pin_dir, release):
        with notes.reading(f"The UDP flows in {tables.conntrack.path}"):
            found.extend(_family(tables, release))
    return tuple(found)


def _families(maps: Iterable[PinnedMap], pin_dir: str, release: VersionSet) -> Iterator[_Tables]:
    own = {
        one.path: one
        for one in maps
        if one.owner.verdict is Verdict.CALICO and one.path.startswith(f"{pin_dir.rstrip('/')}/")
    }
    rows = [row for row in maps_of(release) if row.role in _ROLES]
    for family in (4, 6):
        pinned = {
            row.role: own[f"{pin_dir.rstrip('/')}/{row.name}"]
            for row in rows
            if row.family == family and f"{pin_dir.rstrip('/')}/{row.name}" in own
        }
        if "conntrack" in pinned and "nat_frontend" in pinned:
            yield _Tables(pinned["conntrack"], pinned["nat_frontend"], pinned.get("routes"))


def _family(tables: _Tables, release: VersionSet) -> Iterator[StaleFlows]:
    expiry = expiry_of(release, {})
    spec = tables.conntrack.spec
    layout = conntrack_layout(spec.key_size, spec.value_size)
    flows: dict[str, list[str]] = {}
    with ExitStack() as stack:
        services = PinnedServices(_opened(tables, layout.family, stack))
        if not services.udp_ends().ends:
            return
        table = stack.enter_context(Map.open(tables.conntrack.path, read_only=True))
        search = Search(table, layout, Select(stale_udp=True), expiry, services)
        oldest = search.context.now - expiry.timeouts.udp
        for chunk in chunks(open_reader(table, spec, _BATCH), spec):
            for key, value, _ in map(search.entry, search.found(chunk)):
                if value.last_seen >= oldest:
                    service = end_text(destination(key, value.flags))
                    flows.setdefault(service, []).append(end_text(originator(key, value.flags)))
    for service, clients in flows.items():
        shown = tuple(f"from {client}" for client in clients[:_EXAMPLES])
        yield StaleFlows(tables.conntrack.path, service, len(clients), shown)


def _opened(tables: _Tables, family: int, stack: ExitStack) -> Maps:
    """Without a map of routes no node port is known to be this host's."""
    routes = tables.routes
    return Maps(
        family,
        stack.enter_context(Map.open(tables.frontends.path, read_only=True)),
        routes and stack.enter_context(Map.open(routes.path, read_only=True)),
    )
