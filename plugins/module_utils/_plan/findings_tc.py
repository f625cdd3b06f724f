# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about places of tc filters, and interfaces that felix does not look after."""

from __future__ import annotations

import re
from typing import Iterator

from .._calico.defects import defect
from .._calico.evidence import Verdict
from .._calico.places import DEVICES
from .._calico.tc_attach import FIRST_HANDLE, FIRST_PREF, LAST_PREF
from .ebpf_mode import mode_is_on
from .findings_attach import HOOKS, filters
from .findings_input import Finding, Interface, Node
from .wording import several

_NOT_MANAGED = 0x400  # a flag of the interface state (programs 3.1)

_DEFAULTS = re.compile(
    r"cali|((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*|tunl0$|vxlan(-v6)?\.calico$"
    r"|wireguard\.cali$|wg-v6\.cali$|egress\.calico$|lo$)"
)
"""Names that felix manages by default in some release (programs 1.1)."""


def unmatched(node: Node) -> Iterator[Finding]:
    """Interfaces with programs that felix has no state of, and none by its defaults."""
    if not node.ifstate or not mode_is_on(node):
        return
    for one in node.interfaces:
        kinds = [attached.kind for attached in one.attachments if attached.calico]
        reason = _unmatched(node, one) if kinds else ""
        if reason:
            has = f"It has {len(kinds)} programs of Calico ({several(kinds)})."
            yield Finding("ATTACH_UNMATCHED", one.name, (has, reason))


def _unmatched(node: Node, one: Interface) -> str:
    flags = (node.ifstate or {}).get(one.ifindex)
    if flags is not None:
        return "felix calls it not managed." if flags & _NOT_MANAGED else ""
    if one.workload or _DEFAULTS.match(one.name) or one.name in {row.name for row in DEVICES}:
        return ""
    return "felix has no state of it, and its name is not among felix's defaults."


def drifted(node: Node) -> Iterator[Finding]:
    """Filters that were moved, still alike on both hooks, in releases that move them on."""
    if not defect("TC_DRIFT").affected.overlaps(node.release.releases):
        return
    moved = [place for one in node.interfaces if one.workload for place in _moved(one)]
    if moved:
        yield Finding("TC_DRIFT", "node", (f"{len(moved)} interfaces: {several(moved)}.",))


def _moved(one: Interface) -> Iterator[str]:
    if any(attached.kind == "tc" and not attached.calico for attached in one.attachments):
        return  # a filter of others takes a preference
    places = {hook: [(f.preference, f.handle) for f in filters(one, hook)] for hook in HOOKS}
    if any(len(found) != 1 for found in places.values()) or places["ingress"] != places["egress"]:
        return
    ((preference, handle),) = places["ingress"]
    if preference is None or handle is None or preference <= LAST_PREF:
        return
    if (preference, handle) != (FIRST_PREF, FIRST_HANDLE):
        yield f"{one.name} at preference {preference}, handle {handle:#x}"


def foreign_filters(node: Node) -> Iterator[Finding]:
    """Filters of others on interfaces whose clsact qdisc felix deletes some day."""
    beside = []
    for one in node.interfaces:
        if one.clsact and any(attached.calico for attached in one.attachments):
            beside += [
                f"{other.name} on {one.name} {other.hook}"
                for other in one.attachments
                if other.kind == "tc" and other.owner.verdict is Verdict.FOREIGN
            ]
    if beside:
        yield Finding("CLSACT_FOREIGN", "node", (f"{len(beside)} filters: {several(beside)}.",))


TC_RULES = (unmatched, drifted, foreign_filters)
