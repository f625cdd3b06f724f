# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack tables of a node, and the release by which they are judged."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from .._calico.conntrack_expiry import Expiry, expiry_of
from .._calico.detect import Detection, Sightings, detect
from .._calico.maps import rows_named
from .._calico.rows import require_known
from .._calico.versions import VersionSet
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


def conntrack_report(pin_dir: str, query: Query) -> Report:
    """Survey each conntrack map pinned in ``pin_dir``.

    Raises BadInputError for a directory that is not on a bpffs and for a release that is not
    known, RefusedError for a map whose version or layout is not known, SyscallError.
    """
    if not bpffs.on_bpffs(pin_dir):
        raise BadInputError("pin_dir", pin_dir, "is not on a bpffs, where pins live")
    pinned = _pinned(pin_dir)
    _require_known_versions(pinned)
    told = _detected(pinned, query.release)
    release = query.release or told.releases
    expiry = expiry_of(release, query.timeouts, proc.netfilter_seconds)
    newest = max(span.low for span in release.spans)
    tables = [
        survey(path, query, expiry, newest if expiry.certain else None)
        for path in pinned
        if _family(path) in query.families
    ]
    facts = {
        "release": str(release),
        "release_evidence": list(told.evidence),
        "tables": tables,
    }
    return Report(facts, (*told.contradictions, *_unclear(release, expiry)))


def _detected(pinned: dict[str, MapSpec], stated: VersionSet | None) -> Detection:
    if stated is not None:
        require_known(stated)
    specs = tuple(spec._replace(name=PurePosixPath(path).name) for path, spec in pinned.items())
    return detect(Sightings(pinned_maps=specs), stated)


def _unclear(release: VersionSet, expiry: Expiry) -> tuple[str, ...]:
    if expiry.certain:
        return ()
    return (f"Calico {release} judge the life of entries differently; set calico_version.",)


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
