# SPDX-License-Identifier: GPL-3.0-or-later
"""Which conntrack map the running or coming release wants: its pin, parameters and size."""

from __future__ import annotations

from pathlib import PurePosixPath

from .._calico.conntrack_timeouts import conntrack_rules_of
from .._calico.defects import defect
from .._calico.felix_config import config_field
from .._calico.maps import maps_of_role, rows_named
from .._calico.rows import require_known
from .._calico.tables.map_row import CalicoMap
from .._calico.versions import VersionSet, union
from .._errors import BadInputError, RefusedError
from .._uapi.bpf import LRU_TYPES, MapFlag, MapType
from .._uapi.maps import MapSpec, describe
from .conntrack_map_state import Pinned, Seen
from .conntrack_map_task import KEEP, Task
from .map_memory import hash_memory
from .map_spec import COMPARED

_SHARE = 0.9
"""Part of the available memory that a new map may take."""


def refused(code: str, sentence: str) -> RefusedError:
    """A refusal with its finding code and the numbers upstream."""
    numbers = ", ".join(defect(code).upstream)
    return RefusedError(f"{sentence} ({code}{', upstream ' + numbers if numbers else ''}).", code)


def release_of(task: Task, seen: Seen) -> VersionSet:
    """The release that the map is for: the one that was named, else what the kernel shows."""
    return task.release or seen.detection.shown


def families_of(task: Task, seen: Seen) -> tuple[int, ...]:
    """The families that were named, else those that are there. Raises RefusedError: none is."""
    if task.families is not None:
        return task.families
    found = tuple(
        family
        for family in (4, 6)
        if seen.of(family) or seen.kept_of(family) or seen.strays_of(family)
    )
    if not found:
        raise RefusedError(f"pin_dir: no conntrack map is pinned in {task.pin_dir}.")
    return found


def row_of(task: Task, seen: Seen, family: int) -> CalicoMap:
    """The release's conntrack map. Raises BadInputError: none; RefusedError: not one alone."""
    release = release_of(task, seen)
    rows = [row for row in maps_of_role(release, "conntrack") if row.family == family]
    if not rows:
        raise BadInputError("families", f"ipv{family}", f"has no map in Calico {release}")
    if len(rows) > 1:
        raise RefusedError(
            f"calico_version: the kernel shows Calico {release}, which have different conntrack "
            "maps; name the release."
        )
    return rows[0]


def path_of(task: Task, row: CalicoMap) -> str:
    """Where felix pins it."""
    return f"{task.pin_dir}/{row.name}"


def require_layout(one: Pinned) -> None:
    """Raise RefusedError unless the map's keys and values are those of its name."""
    name = PurePosixPath(one.path).name
    base = name[: -len("_old")] if one.name.old else name
    rows = rows_named(base)
    if not rows:
        raise RefusedError(f"{one.path} is a conntrack map of a version that is not known here.")
    sizes = {(row.key_size, row.value_size) for row in rows}
    if (one.spec.key_size, one.spec.value_size) not in sizes:
        raise refused(
            "CT_LAYOUT",
            f"{one.path} is a {describe(one.spec)}, which is no known layout, so its entries "
            "cannot be carried over; bpf_map with on_mismatch=recreate replaces it by an empty map",
        )


def asked_size(task: Task, seen: Seen, present: int) -> int:
    """The size by the task: for each possible CPU, in all, or the present one.

    Raises BadInputError when the release has no size for each CPU.
    """
    if task.per_cpu is None:
        return task.max_entries or present
    release = release_of(task, seen)
    if not config_field(release, "bpfMapSizePerCpuConntrack"):
        raise BadInputError(
            "per_cpu", task.per_cpu, f"has no meaning to Calico {release}; use max_entries"
        )
    return task.per_cpu * seen.cpus


def reads_file(release: VersionSet) -> bool:
    """Whether some of the releases read the auto-scale file."""
    require_known(release)
    return defect("CT_AUTOSCALE_FILE").affected.overlaps(release)


def effective_size(task: Task, seen: Seen, asked: int) -> int:
    """What felix computes at its next start: the auto-scale file wins if it is larger.

    Raises RefusedError when the releases that come into question disagree.
    """
    release = release_of(task, seen)
    if seen.autoscale is None or seen.autoscale <= asked or not reads_file(release):
        return asked
    if not defect("CT_AUTOSCALE_FILE").affected.covers(release):
        raise RefusedError(
            f"calico_version: {task.autoscale_path} says {seen.autoscale}, and only some of Calico "
            f"{release} read it; name the release."
        )
    return seen.autoscale if task.autoscale == KEEP else asked


def wanted_spec(row: CalicoMap, live: Pinned | None, size: int) -> MapSpec:
    """The exact parameters; a map that only changes its size keeps its BTF."""
    wanted = row.spec._replace(max_entries=size)
    if live is None or live.spec.type != wanted.type:
        return wanted
    same = {field: getattr(wanted, field) for field in COMPARED}
    return live.spec._replace(**same, map_extra=0)


def require_loadable(task: Task, seen: Seen, row: CalicoMap, size: int, present: int) -> None:
    """Raise RefusedError when programs of the release cannot be loaded against the size.

    Where only some of the releases in question cannot, it depends on whether the size changes.
    """
    release = release_of(task, seen)
    affected = defect("CT_SIZE").affected
    if size == row.max_entries or not affected.overlaps(release):
        return
    if affected.covers(release):
        raise refused(
            "CT_SIZE",
            f"max_entries: Calico {release} cannot load its programs against {row.name} of {size} "
            f"entries, only of {row.max_entries}; upgrade to 3.28.2 or later",
        )
    if size == present:
        return
    raise refused(
        "CT_SIZE",
        f"calico_version: the node may run any of Calico {release}, and {affected} cannot load "
        f"programs against {row.name} of {size} entries; name the exact release",
    )


def words_differ(task: Task, seen: Seen, name: str) -> bool:
    """Whether first words in the map ``name`` mean something else to the coming release.

    Raises RefusedError when the kernel does not tell which release writes the table now.
    """
    if task.release is None:
        return False
    having = union(span for row in rows_named(name) for span in row.releases.spans)
    running = (task.running or seen.detection.shown).intersection(having)
    if not running.spans:  # a map that was made for the coming release
        running = task.release
    if task.running is None and running.overlaps(task.release):
        return False
    before, after = _first_words(running), _first_words(task.release)
    if len(before | after) == 1:
        return False
    if len(before) > 1 or len(after) > 1:
        raise RefusedError(
            f"running_version: the kernel shows Calico {running}, whose entries differ from those "
            f"of {task.release} or not; name the release that runs now."
        )
    return True


def _first_words(release: VersionSet) -> set[str]:
    return {rule.value for rule in conntrack_rules_of(release) if rule.name == "first_word"}


def require_memory(spec: MapSpec, entries: int, available: int) -> None:
    """Raise RefusedError unless the new map fits beside the old one."""
    sparse = spec.type == MapType.HASH and spec.flags & MapFlag.NO_PREALLOC
    present = entries if sparse else None
    needed = hash_memory(spec.max_entries, spec.key_size, spec.value_size, present)
    if needed > available * _SHARE:
        kind = "LRU map, allocated at once," if spec.type in LRU_TYPES else "map"
        raise RefusedError(
            f"max_entries: a new {kind} of {spec.max_entries} entries takes {needed >> 20} MiB "
            f"beside the old one, and {available >> 20} MiB are available."
        )
