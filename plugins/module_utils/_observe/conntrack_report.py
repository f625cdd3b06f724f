# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack tables of a node, and the release by which they are judged."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._calico.conntrack_expiry import Expiry, expiry_of
from .._calico.versions import VersionSet
from .._kernel import proc
from .._plan.conntrack_query import Query
from .conntrack import survey
from .conntrack_pins import detected, family_of, pinned_maps


class Report(NamedTuple):
    """What the module gives back."""

    facts: dict[str, Any]
    warnings: tuple[str, ...]


def conntrack_report(pin_dir: str, query: Query) -> Report:
    """Survey each conntrack map pinned in ``pin_dir``.

    Raises BadInputError for a directory that is not on a bpffs and for a release that is not
    known, RefusedError for a map whose version or layout is not known, SyscallError.
    """
    pinned = pinned_maps(pin_dir)
    told = detected(pinned, query.release)
    release = query.release or told.releases
    expiry = expiry_of(release, query.timeouts, proc.netfilter_seconds)
    newest = max(span.low for span in release.spans)
    tables = [
        survey(path, query, expiry, newest if expiry.certain else None)
        for path in pinned
        if family_of(path) in query.families
    ]
    facts = {
        "release": str(release),
        "release_evidence": list(told.evidence),
        "tables": tables,
    }
    return Report(facts, (*told.contradictions, *unclear(release, expiry)))


def unclear(release: VersionSet, expiry: Expiry) -> tuple[str, ...]:
    """The warning that the life of entries depends on which release it is; empty when it is not."""
    if expiry.certain:
        return ()
    return (f"Calico {release} judge the life of entries differently; set calico_version.",)
