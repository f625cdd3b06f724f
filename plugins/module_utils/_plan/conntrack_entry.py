# SPDX-License-Identifier: GPL-3.0-or-later
"""Which conntrack entries go, together with those that are nothing without them."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from .._calico.codecs.conntrack import decode_key, decode_value
from .._calico.codecs.conntrack_layout import conntrack_layout
from .._calico.codecs.fields import Release
from .._calico.conntrack_facts import entry_facts
from .._calico.defects import defect
from .._calico.versions import VersionSet, parse_release
from .._errors import RefusedError
from . import inputs
from .conntrack_query import timeouts
from .conntrack_select import Select, select
from .findings_input import Finding
from .wording import several

MAX_DELETIONS = 10_000_000
_EXAMPLES = 3
_CODE = "UDP_STALE"


class Task(NamedTuple):
    """What the task wants to be absent."""

    families: tuple[str, ...]
    select: Select
    max_deletions: int
    pin_dir: str
    release: VersionSet | None
    timeouts: dict[str, int]


class Member(NamedTuple):
    """An entry that goes; ``matched``: for itself, and not as the other half of one that is."""

    key: bytes
    value: bytes
    matched: bool


Group = Tuple[Member, ...]
"""Entries that go together, in their order: what matched goes last, so that a run which is killed
between two of them finds the group again."""


class Table(NamedTuple):
    """A conntrack map and what goes of it; ``matched`` counts more when they are too many."""

    path: str
    map_id: int
    groups: tuple[Group, ...]
    matched: int


class Seen(NamedTuple):
    """What was seen at ``now`` (CLOCK_MONOTONIC, ns)."""

    tables: tuple[Table, ...]
    release: VersionSet
    now: int
    warnings: tuple[str, ...] = ()


class Removal(NamedTuple):
    """Delete these groups from the map; ``facts`` tell each of their entries, in the same order."""

    table: Table
    facts: tuple[dict[str, Any], ...]

    @property
    def lines(self) -> list[str]:
        """Each entry in a few words."""
        return [line(facts) for facts in self.facts]

    @property
    def sentence(self) -> str:
        """What is done."""
        count = f"{len(self.facts)} entries" if len(self.facts) > 1 else "1 entry"
        more = " and others" if len(self.facts) > _EXAMPLES else ""
        examples = ", ".join(map(line, self.facts[:_EXAMPLES]))
        return f"Delete {count} from {self.table.path}: {examples}{more}"


class Plan(NamedTuple):
    """The steps in their order."""

    removals: tuple[Removal, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """What is done, in sentences."""
        return tuple(one.sentence for one in self.removals)


def task(params: Mapping[str, Any]) -> Task:
    """The parameters as a value. Raises BadInputError, RefusedError when nothing is selected."""
    inputs.in_range("max_deletions", params["max_deletions"], 1, MAX_DELETIONS)
    pin_dir = params["pin_dir"] or f"{params['bpffs'].rstrip('/')}/tc/globals"
    for name, path in (("bpffs", params["bpffs"]), ("pin_dir", pin_dir)):
        inputs.directory_path(name, path)
    wanted = select(params)
    if wanted == Select():
        raise RefusedError(
            "Nothing is selected, which would mean every entry; name an address, a protocol, "
            "stale_udp or another selector."
        )
    version = params["calico_version"]
    return Task(
        tuple(params["families"]),
        wanted,
        params["max_deletions"],
        pin_dir,
        None if version is None else parse_release(version, "calico_version"),
        timeouts(params["timeouts"] or {}),
    )


def plan(wanted: Task, seen: Seen) -> Plan:
    """The entries that go; none when nothing matches.

    Raises RefusedError when they are more than the task allows.
    """
    total = sum(max(one.matched, len(members(one))) for one in seen.tables)
    if total > wanted.max_deletions:
        raise RefusedError(
            f"max_deletions: {total} entries match, with their other halves, and at most "
            f"{wanted.max_deletions} may go; nothing was deleted."
        )
    return Plan(tuple(Removal(one, _facts(one, seen)) for one in seen.tables if one.groups))


def members(table: Table) -> list[Member]:
    """All entries of a table that go, in their order."""
    return [member for group in table.groups for member in group]


def _facts(table: Table, seen: Seen) -> tuple[dict[str, Any], ...]:
    return tuple(shown(table.path, one, seen) for one in members(table))


def outcome_facts(
    seen: Seen, planned: Plan, removed: Sequence[Table], spared: Sequence[Table] = ()
) -> dict[str, Any]:
    """What went, and what did not after all."""
    known = {
        (step.table.path, one): facts
        for step in planned.removals
        for one, facts in zip(members(step.table), step.facts)
    }

    def told(tables: Sequence[Table]) -> list[dict[str, Any]]:
        return [
            known.get((table.path, one)) or shown(table.path, one, seen)
            for table in tables
            for one in members(table)
        ]

    return {"removed": told(removed), "spared": told(spared)}


def shown(path: str, one: Member, seen: Seen) -> dict[str, Any]:
    """One entry as results show it."""
    layout = conntrack_layout(len(one.key), len(one.value))
    key, value = decode_key(one.key), decode_value(one.value, layout)
    place = {"path": path, "family": f"ipv{layout.family}", "matched": one.matched}
    return {**place, **entry_facts(key, value, seen.now, _newest(seen.release))}


def _newest(release: VersionSet) -> Release | None:
    newest: Release = max(span.low for span in release.spans)
    return newest


def line(facts: Mapping[str, Any]) -> str:
    """An entry in a few words."""
    began = facts.get("source", facts["side_a"])
    led = facts.get("service") if facts["type"] == "NAT_FWD" else facts.get("destination")
    return f"{facts['protocol']} {facts['type']} {began} to {led or facts['side_b']}"


def states(seen: Seen, planned: Plan) -> dict[str, list[str]]:
    """The entries that are meant, by map; after the plan there are none."""
    lines = {one.table.path: one.lines for one in planned.removals}
    return {one.path: lines.get(one.path, []) for one in seen.tables}


def predicted(seen: Seen, planned: Plan) -> Seen:
    """What is seen after the plan, if nothing else happens."""
    gone = {one.table.path for one in planned.removals}
    tables = (
        one._replace(groups=(), matched=0) if one.path in gone else one for one in seen.tables
    )
    return seen._replace(tables=tuple(tables))


def findings(wanted: Task, seen: Seen, planned: Plan) -> tuple[Finding, ...]:
    """UDP flows that bypass their Service, where the release leaves them alone."""
    if not wanted.select.stale_udp or not defect(_CODE).affected.overlaps(seen.release):
        return ()
    flows: dict[tuple[str, str], list[str]] = {}
    for facts in (facts for step in planned.removals for facts in step.facts):
        flows.setdefault((facts["destination"], facts["path"]), []).append(facts["source"])
    return tuple(
        Finding(_CODE, service, (f"{len(many)} UDP flows bypass it in {path}: {several(many)}.",))
        for (service, path), many in flows.items()
    )
