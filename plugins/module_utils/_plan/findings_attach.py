# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about programs on interfaces and the program arrays that they call into."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico.defects import defect
from .._calico.evidence import Verdict
from .._calico.places import OLD_JUMPS, TCX_LINKS
from .._calico.tc_attach import LAST_PREF
from .findings_input import Attachment, Constants, Finding, Interface, Node

HOOKS = ("ingress", "egress")
_NETKIT = "netkit"


def filters(interface: Interface, hook: str) -> list[Attachment]:
    """The tc filters of a hook that are proven Calico's, in the order they run."""
    return [
        one for one in interface.attachments if one.calico and (one.kind, one.hook) == ("tc", hook)
    ]


def mismatches(node: Node) -> Iterator[Finding]:
    """Workloads whose filters felix up to 3.30 refuses to take for a pair.

    felix goes by the filter with the highest preference of each hook.
    """
    if not defect("TC_MISMATCH").affected.overlaps(node.release.releases):
        return
    for interface in _workloads(node):
        kept = {
            hook: max(filters(interface, hook), key=lambda one: one.preference or 0, default=None)
            for hook in HOOKS
        }
        places = {
            hook: (one.preference, one.handle) for hook, one in kept.items() if one is not None
        }
        if len(places) == len(HOOKS) and len(set(places.values())) > 1:
            evidence = tuple(
                f"{hook} has preference {preference} and handle {handle:#x}."
                for hook, (preference, handle) in places.items()
            )
            yield Finding("TC_MISMATCH", interface.name, evidence)


def duplicates(node: Node) -> Iterator[Finding]:
    """Hooks with a filter that felix does not know of."""
    for interface in node.interfaces:
        for hook in HOOKS:
            found = filters(interface, hook)
            if len(found) > 1:
                evidence = tuple(
                    f"preference {one.preference}, handle {one.handle:#x}, program {one.prog_id}"
                    for one in found
                )
                yield Finding("TC_DUPLICATE", f"{interface.name} {hook}", evidence)


def missing(node: Node) -> Iterator[Finding]:
    """Workloads without a program where it, or the others, have one."""
    if not node.interfaces_known:
        return
    workloads = list(_workloads(node))
    whole = any(not _bare(one) for one in workloads)
    for one in workloads:
        bare = _bare(one)
        if not one.running or one.kind == _NETKIT or not bare:
            continue
        if whole or len(bare) < len(HOOKS):
            without = " and there is no clsact qdisc" if one.clsact is False else ""
            evidence = f"{' and '.join(bare)} have no program of Calico{without}."
            if len(bare) == 1:
                evidence = evidence.replace(" have ", " has ", 1)
            yield Finding("TC_MISSING", one.name, (evidence,))


def _bare(interface: Interface) -> list[str]:
    """The hooks that have nothing that is or may be Calico's."""
    covered = {
        one.hook for one in interface.attachments if one.owner.verdict is not Verdict.FOREIGN
    }
    return [hook for hook in HOOKS if hook not in covered]


def exhausted(node: Node) -> Iterator[Finding]:
    """Filters below which the kernel gives no preference any more."""
    for interface in node.interfaces:
        for one in interface.attachments:
            if one.calico and one.kind == "tc" and (one.preference or LAST_PREF + 1) <= LAST_PREF:
                evidence = f"{one.hook} has preference {one.preference}."
                yield Finding("TC_PREF_EXHAUSTED", f"{interface.name} {one.hook}", (evidence,))


def stale_log_filters(node: Node) -> Iterator[Finding]:
    """Interfaces whose programs call an empty slot for each packet."""
    for interface in node.interfaces:
        evidence = [
            f"{one.hook} calls slot {slot.slot} of {slot.map}, which is empty."
            for one, constants in _with_constants(interface)
            for slot in constants.log_filters
            if not slot.filled
        ]
        if evidence:
            yield Finding("LOG_FILTER_STALE", interface.name, tuple(evidence))


def empty_jumps(node: Node) -> Iterator[Finding]:
    """Interfaces whose programs find no main program to call, with logging or without."""
    for interface in node.interfaces:
        evidence = []
        for one, constants in _with_constants(interface):
            main = constants.main
            if main and not any(slot.filled for slot in main):
                slots = " and ".join(str(slot.slot) for slot in main)
                evidence.append(f"{one.hook} calls slot {slots} of {main[0].map}: empty.")
        if evidence:
            yield Finding("JUMPS_EMPTY", interface.name, tuple(evidence))


def lingering_jumps(node: Node) -> Iterator[Finding]:
    """Program arrays that felix keeps while an interface still needs them."""
    places: dict[str, list[str]] = {}
    mark = f"/{PurePosixPath(OLD_JUMPS).name}/"
    for one in node.pins:
        if mark in one.path and one.path.startswith(node.pin_dir.rstrip("/") + mark):
            place, _, name = one.path.rpartition("/")
            places.setdefault(place, []).append(name)
    for place, names in places.items():
        yield Finding("JUMPS_LINGERING", place, (f"It holds {', '.join(sorted(names))}.",))


def severed_links(node: Node) -> Iterator[Finding]:
    """Pins of TCX links that are attached to nothing."""
    for one in node.pins:
        if one.severed and PurePosixPath(one.path).parent.name == TCX_LINKS:
            yield Finding("TCX_SEVERED", one.path, (f"Link {one.object_id} has no interface.",))


def _workloads(node: Node) -> Iterator[Interface]:
    return (one for one in node.interfaces if one.workload)


def _with_constants(interface: Interface) -> Iterator[tuple[Attachment, Constants]]:
    """The programs that are proven Calico's and what they were loaded with."""
    for one in interface.attachments:
        if one.calico and one.program and one.program.constants:
            yield one, one.program.constants


ATTACH_RULES = (
    mismatches,
    duplicates,
    missing,
    exhausted,
    stale_log_filters,
    empty_jumps,
    lingering_jumps,
    severed_links,
)
