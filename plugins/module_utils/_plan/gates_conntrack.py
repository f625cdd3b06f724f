# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates about conntrack maps: one function for each rule of the table."""

from __future__ import annotations

from typing import Iterable

from .._calico.defects import defect
from .._calico.maps import maps_of
from .._calico.tables.gate_row import Gate
from .._calico.versions import VersionSet
from .gates_input import (
    CLOSED,
    NAME_IT,
    NOTE,
    PASS,
    Answer,
    Asked,
    CtMap,
    Rule,
    affected,
    conntrack_maps,
    current_maps,
    found,
    shown,
    suspicion,
)
from .map_memory import hash_memory

HEADROOM = 1.25
"""New size for each live entry: connections come while entries are copied, and an LRU map evicts
a little before it is full (maps 1.2, ops 9.1)."""

MEMORY_SHARE = 0.8
"""Share of the available memory that new maps may take; pods need the rest."""


def there_is_a_map(asking: Asked, gate: Gate) -> Answer:
    """Each family that is named, or any where none is."""
    there = {one.family for one in current_maps(asking)}
    wanted = asking.operation.families
    missing = [one for one in wanted if one not in there]
    if not missing or (asking.operation.all_families and there):
        return PASS
    return Answer(CLOSED, evidence=(f"No conntrack map is pinned for {' and '.join(missing)}.",))


def size_is_loadable(asking: Asked, gate: Gate) -> Answer:
    """The wanted size is the compiled one, or the release is told of sizes."""
    bad = affected(asking.running, gate.code)
    wanted = asking.operation.max_entries
    if not bad.spans or wanted in _compiled(asking.running, ("conntrack",)):
        return PASS
    remedy = "" if bad == asking.running else NAME_IT
    says = f"{wanted} is not the size that the release is compiled for, which it cannot load."
    return Answer(CLOSED, says, (suspicion(asking.running, bad),), remedy)


def sizes_are_loadable(asking: Asked, gate: Gate) -> Answer:
    """The sizes that are pinned now, against the release that comes."""
    if not affected(asking.loading, gate.code).spans:
        return PASS
    compiled = {row.name: row.max_entries for row in maps_of(asking.loading)}
    checked = ("conntrack", "nat_frontend", "nat_backend", "nat_affinity")
    names = {row.name for row in maps_of(asking.loading) if row.role in checked}
    evidence = tuple(
        f"{one['name']} has {one['max_entries']} entries, {asking.loading} is compiled for "
        f"{compiled[one['name']]}."
        for one in asking.facts["maps"]
        if one["name"] in names and one["max_entries"] != compiled[one["name"]]
    )
    return Answer(CLOSED, evidence=tuple(dict.fromkeys(evidence))) if evidence else PASS


def _compiled(release: VersionSet, roles: Iterable[str]) -> set[int]:
    return {row.max_entries for row in maps_of(release) if row.role in roles}


def entries_fit(asking: Asked, gate: Gate) -> Answer:
    """Live entries against the wanted size; entries that were not counted close the gate."""
    wanted = asking.operation.max_entries
    uncounted = [one.name for one in current_maps(asking) if one.entries is None]
    if uncounted:
        says = f"The entries of {', '.join(uncounted)} were not counted."
        return Answer(CLOSED, says, remedy="Look at the node with count_entries.")
    evidence = _fuller_than(asking, wanted)
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def entries_have_room(asking: Asked, gate: Gate) -> Answer:
    """The same with room for what comes meanwhile."""
    wanted = asking.operation.max_entries
    evidence = _fuller_than(asking, wanted / HEADROOM)
    if not evidence:
        return PASS
    most = max(one.entries or 0 for one in current_maps(asking))
    says = f"{wanted} entries leave too little room beside the live ones."
    return Answer(CLOSED, says, evidence, f"Choose {int(most * HEADROOM) + 1} or more.")


def _fuller_than(asking: Asked, limit: float) -> tuple[str, ...]:
    return tuple(
        f"{one.name} has {one.entries} live entries."
        for one in current_maps(asking)
        if (one.entries or 0) > limit
    )


def no_size_per_cpu(asking: Asked, gate: Gate) -> Answer:
    """bpfMapSizePerCpuConntrack times the possible CPUs."""
    each, cpus = asking.operation.per_cpu, asking.facts["kernel"]["possible_cpus"]
    wanted = asking.operation.max_entries
    if not each or not affected(asking.running, gate.code).spans or each * cpus == wanted:
        return PASS
    evidence = f"{each} entries for each of {cpus} possible CPUs are {each * cpus}, not {wanted}."
    return Answer(CLOSED, evidence=(evidence,))


def no_larger_file(asking: Asked, gate: Gate) -> Answer:
    """The number in the auto-scale file wins when it is larger."""
    number, wanted = asking.facts["conntrack_size_file"], asking.operation.max_entries
    bad = affected(asking.running, gate.code)
    if number is None or number <= wanted or not bad.spans:
        return PASS
    evidence = (f"The file says {number}, wanted are {wanted}.", suspicion(asking.running, bad))
    return Answer(CLOSED, evidence=evidence)


def memory_suffices(asking: Asked, gate: Gate) -> Answer:
    """New maps on top of the old ones, against what can be had without swapping."""
    available = asking.facts.get("memory_available_bytes")
    grown = [one for one in current_maps(asking) if one.max_entries != asking.operation.max_entries]
    if not grown:
        return PASS
    need = sum(_memory(one, asking.operation.max_entries) for one in grown)
    if available is None:
        return Answer(NOTE, f"{_mb(need)} MB are needed, and the node does not say what it has.")
    evidence = f"The new maps take {_mb(need)} MB, the node has {_mb(available)} MB available."
    if need > MEMORY_SHARE * available:
        return Answer(CLOSED, evidence=(evidence,))
    return Answer(evidence=(evidence,))


def _memory(one: CtMap, max_entries: int) -> int:
    entries = None if one.type == "lru_hash" else (one.entries or 0)
    return hash_memory(max_entries, one.key_size, one.value_size, entries)


def _mb(size: int) -> int:
    return -(-size // 10**6)


def no_old_pin(asking: Asked, gate: Gate) -> Answer:
    """Any pin that felix would take for the map before a resize; with eBPF mode off it does not."""
    if asking.goes_off:
        return PASS
    old = tuple(f"{one.path} is pinned." for one in conntrack_maps(asking.facts) if one.old)
    return Answer(CLOSED, evidence=old) if old else PASS


def no_older_conntrack(asking: Asked, gate: Gate) -> Answer:
    """felix reads the table of an older version again, or ends with several maps."""
    return _other_version(asking, newer=False)


def no_newer_conntrack(asking: Asked, gate: Gate) -> Answer:
    """felix refuses to start beside one where it has to make its own."""
    return _other_version(asking, newer=True)


def _other_version(asking: Asked, newer: bool) -> Answer:
    paths = {one["object"] for one in found(asking.facts, "CT_NEWER")}
    evidence = tuple(
        f"{one.path} is pinned with {one.entries} entries."
        for one in conntrack_maps(asking.facts)
        if one.superseded and not one.old and (one.path in paths) is newer
    )
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def layout_is_known(asking: Asked, gate: Gate) -> Answer:
    """Conntrack maps of unknown layout, or of a version that no table knows."""
    suspects = found(asking.facts, "CT_LAYOUT") + found(asking.facts, "MAP_UNKNOWN")
    mine = tuple(one for one in suspects if "_ct" in one["object"].rpartition("/")[2])
    return Answer(CLOSED, evidence=shown(mine)) if mine else PASS


def both_families_settle(asking: Asked, gate: Gate) -> Answer:
    """With both families felix copies the last changes of IPv6 alone."""
    families = {one.family for one in conntrack_maps(asking.facts) if not one.superseded}
    bad = affected(asking.running, gate.code)
    if len(families) < 2 or not bad.spans:
        return PASS
    says = f"{defect(gate.code).title} The role conntrack_resize settles both."
    return Answer(NOTE, says, (suspicion(asking.running, bad),))


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        there_is_a_map,
        size_is_loadable,
        sizes_are_loadable,
        entries_fit,
        entries_have_room,
        no_size_per_cpu,
        no_larger_file,
        memory_suffices,
        no_old_pin,
        no_older_conntrack,
        no_newer_conntrack,
        layout_is_known,
        both_families_settle,
    )
}
