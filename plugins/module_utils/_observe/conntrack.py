# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a conntrack table: totals of all entries, and those selected decoded."""

from __future__ import annotations

import time
from typing import Any, Iterable, NamedTuple

from .._calico.codecs.conntrack import decode_key, decode_value
from .._calico.codecs.conntrack_layout import ConntrackLayout, conntrack_layout
from .._calico.codecs.fields import Release, address
from .._calico.conntrack_expiry import Expiry
from .._calico.conntrack_facts import entry_facts
from .._calico.conntrack_tally import (
    Bucket,
    Tally,
    by_protocol,
    by_tcp_state,
    by_type,
    counted,
    histogram,
)
from .._kernel.chunks import Chunk
from .._kernel.maps import Map
from .._kernel.readers import chunks, open_reader
from .._plan.conntrack_query import Query
from .._uapi.maps import MapSpec
from .conntrack_search import Search

READ_BATCH = 1024


class Selection(NamedTuple):
    """Entries that match, and as many of them decoded as were asked for."""

    matched: int
    entries: list[dict[str, Any]]


def survey(path: str, query: Query, expiry: Expiry, release: Release | None) -> dict[str, Any]:
    """Everything that a result says of the table pinned at ``path``.

    The table may change meanwhile: entries that stay are counted once. Memory does not grow with
    it. Raises SyscallError, LayoutError for a map whose layout is not known.
    """
    with Map.open(path, read_only=True) as table:
        spec = table.info().spec
        layout = conntrack_layout(spec.key_size, spec.value_size)
        tally = Tally(layout, expiry.rules, expiry.timeouts, time.monotonic_ns())
        shown = _Shown(Search(table, layout, query.select, expiry), query.limit, release)
        for chunk in chunks(open_reader(table, spec, READ_BATCH), spec):
            tally.add(chunk.key_view, chunk.value_view, chunk.count)
            shown.look(chunk)
    selection = Selection(shown.matched, shown.entries)
    return _facts(path, spec, layout, tally, selection, query.top, expiry.certain)


class _Shown:
    """Counts the entries that the query selects, and decodes as many as are shown."""

    def __init__(self, search: Search, limit: int, release: Release | None) -> None:
        self.search = search
        self.limit = limit
        self.release = release
        self.matched = 0
        self.entries: list[dict[str, Any]] = []

    def look(self, chunk: Chunk) -> None:
        """Take the matching entries of a chunk in."""
        found = self.search.places(chunk)
        self.matched += len(found)
        for place in found[: self.limit - len(self.entries)]:
            one = self.search.packed(chunk, place)
            key, value = decode_key(one.key), decode_value(one.value, self.search.layout)
            self.entries.append(entry_facts(key, value, self.search.context.now, self.release))


def _facts(
    path: str,
    spec: MapSpec,
    layout: ConntrackLayout,
    tally: Tally,
    selection: Selection,
    top: int,
    certain: bool,
) -> dict[str, Any]:
    groups = list(counted(tally))
    total = sum(group.entries for group in groups)
    left = [(group.left, group.entries) for group in groups if group.left is not None]
    return {
        "path": path,
        "family": f"ipv{layout.family}",
        "max_entries": spec.max_entries,
        "entries": total,
        "by_protocol": by_protocol(groups),
        "by_type": by_type(groups),
        "by_tcp_state": by_tcp_state(groups),
        "idle": buckets(histogram((group.group.age, group.entries) for group in groups)),
        "remaining_life": buckets(histogram(left)) if certain else None,
        "top_sources": _talkers(tally, top),
        "top_sources_exact": not tally.forgotten,
        "matched": selection.matched,
        "selected": selection.entries,
    }


def buckets(found: Iterable[Bucket]) -> list[dict[str, Any]]:
    """A histogram as results show it."""
    return [{"below_seconds": bucket.below, "entries": bucket.entries} for bucket in found]


def _talkers(tally: Tally, top: int) -> list[dict[str, Any]]:
    return [
        {"address": str(address(packed)), "flows": flows}
        for packed, flows in tally.talkers.most_common(top)
    ]
