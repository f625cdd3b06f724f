# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack tables of a node, and the release by which they are judged."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from .._calico.conntrack_expiry import expiry_of
from .._calico.maps import rows_fitting, rows_named
from .._calico.releases import known_releases
from .._calico.rows import require_known
from .._calico.versions import VersionSet, union
from .._errors import BadInputError, RefusedError, SyscallError
from .._kernel import bpffs, proc
from .._kernel.maps import Map
from .._plan.conntrack_query import Query
from .._uapi.maps import MapSpec
from .conntrack import survey

_PIN = re.compile(r"cali_v([46])_ct\d+", re.ASCII)


class Report(NamedTuple):
    """What the module gives back."""

    facts: dict[str, Any]
    warnings: tuple[str, ...]


class Told(NamedTuple):
    """The releases that come into question, and what told them."""

    releases: VersionSet
    evidence: list[str]


def conntrack_report(pin_dir: str, query: Query) -> Report:
    """Survey each conntrack map pinned in ``pin_dir``.

    Raises BadInputError for a directory that is not on a bpffs and for a release that is not
    known, RefusedError for a map whose version or layout is not known, SyscallError.
    """
    if not bpffs.on_bpffs(pin_dir):
        raise BadInputError("pin_dir", pin_dir, "is not on a bpffs, where pins live")
    pinned = _pinned(pin_dir)
    told = _told(pinned, query)
    expiry = expiry_of(told.releases, query.timeouts, proc.netfilter_seconds)
    newest = max(span.low for span in told.releases.spans)
    _require_known_versions(pinned)
    tables = [
        survey(path, query, expiry, newest if expiry.certain else None)
        for path in pinned
        if _family(path) in query.families
    ]
    facts = {
        "release": str(told.releases),
        "release_evidence": told.evidence,
        "tables": tables,
    }
    unclear = f"Calico {told.releases} judge the life of entries differently; set calico_version."
    return Report(facts, () if expiry.certain or not tables else (unclear,))


def _require_known_versions(pinned: dict[str, MapSpec]) -> None:
    # A later version may have other fields in as many bytes.
    for path in pinned:
        if _family(path) and not rows_named(PurePosixPath(path).name):
            raise RefusedError(f"{path} is a conntrack map of a version that is not known here.")


def _family(path: str) -> str | None:
    match = _PIN.fullmatch(PurePosixPath(path).name)
    return f"ipv{match[1]}" if match else None


def _pinned(pin_dir: str) -> dict[str, MapSpec]:
    """The maps pinned in the directory; a pin that vanishes meanwhile is passed."""
    found = {}
    for path in bpffs.walk(pin_dir):
        try:
            if bpffs.kind_at(path) == "map":
                with Map.open(path, read_only=True) as opened:
                    found[path] = opened.info().spec
        except (SyscallError, OSError):
            continue
    return found


def _told(pinned: dict[str, MapSpec], query: Query) -> Told:
    if query.release is not None:
        require_known(query.release)
        return Told(query.release, ["calico_version was given"])
    releases, evidence = known_releases(), []
    for path, spec in sorted(pinned.items()):
        name = PurePosixPath(path).name
        rows = rows_fitting(spec._replace(name=name))
        narrowed = releases.intersection(union(span for row in rows for span in row.releases.spans))
        # A pin that contradicts the others is one that an earlier release has left behind.
        if narrowed.spans and narrowed != releases:
            releases = narrowed
            evidence.append(f"{name} is that of Calico {narrowed}")
    return Told(releases, evidence)
