# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about connect-time programs while eBPF mode is on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico.connect_time import HOOKS, settings_of
from .._calico.defects import defect
from .._calico.evidence import Verdict
from .._calico.places import CONNECT_LINKS
from .ebpf_mode import mode_is_on
from .findings_input import Finding, Node

_SECTIONS = {hook.attach_type: hook.section for hook in HOOKS}
_NAMES = [hook.section for hook in HOOKS]


def severed_connect_links(node: Node) -> Iterator[Finding]:
    """Pins that stop the next felix start."""
    for one in node.pins:
        if one.severed and PurePosixPath(one.path).parent.name == CONNECT_LINKS:
            yield Finding("CTLB_SEVERED", one.path, (f"Link {one.object_id} has no cgroup.",))


def unexpected(node: Node) -> Iterator[Finding]:
    """Hooks that are not those of the setting; where it is not known, of no setting at all."""
    if not mode_is_on(node):
        return
    proven, possible = _sections(node, True), _sections(node, False)
    allowed = _allowed(node)
    if allowed and not any(proven <= hooks <= possible for hooks in allowed):
        has = f"Programs of Calico are at {_said(proven)}."
        wanted = " or ".join(_said(hooks) for hooks in sorted(allowed, key=len))
        asked = node.connect_setting or "some setting"
        yield Finding(
            "CTLB_UNEXPECTED", ", ".join(node.cgroups), (has, f"With {asked} they are at {wanted}.")
        )


def _sections(node: Node, proven: bool) -> frozenset[str]:
    return frozenset(
        one.section
        for one in node.connect_time
        if one.owner.verdict is Verdict.CALICO
        or not (proven or one.owner.verdict is Verdict.FOREIGN)
    )


def _allowed(node: Node) -> set[frozenset[str]]:
    """Sets of hooks that are right; empty when that cannot be said."""
    asked = node.connect_setting
    rows = settings_of(node.release.releases) if node.cgroups else ()
    hooks = {row.hooks for row in rows if asked in (None, row.load_balancing)}
    if rows and asked is None:
        hooks.add(frozenset())
    return {frozenset(_SECTIONS[one] for one in some) for some in hooks}


def _said(sections: frozenset[str]) -> str:
    return ", ".join(name for name in _NAMES if name in sections) or "no hook"


def legacy_kept(node: Node) -> Iterator[Finding]:
    """Programs without a link that this very release will not remove."""
    if not defect("CTLB_LEGACY_KEPT").affected.covers(node.release.releases):
        return
    for root in node.cgroups:
        legacy = [
            f"{one.section} has program {one.program.id} without a link."
            for one in node.connect_time
            if one.legacy and one.cgroup == root and one.owner.verdict is Verdict.CALICO
        ]
        if legacy:
            yield Finding("CTLB_LEGACY_KEPT", root, tuple(legacy))


def below_the_root(node: Node) -> Iterator[Finding]:
    """Programs where felix does not clean up."""
    found: dict[str, list[str]] = {}
    for one in node.connect_below:
        if one.owner.verdict is Verdict.CALICO:
            sentence = f"{one.section} has program {one.program.id}, {one.program.evidence.name}."
            found.setdefault(one.cgroup, []).append(sentence)
    for cgroup, evidence in found.items():
        yield Finding("CTLB_CGROUP", cgroup, tuple(evidence))


CONNECT_RULES = (severed_connect_links, unexpected, legacy_kept, below_the_root)
