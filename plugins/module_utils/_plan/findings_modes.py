# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about the node as a whole: its release, and what is left when eBPF mode is off."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico.evidence import Verdict
from .._calico.places import CONNECT_LINKS
from .findings_input import Finding, Node
from .findings_maps import is_newer, layouts
from .findings_release import pin_name, superseded


def contradictions(node: Node) -> Iterator[Finding]:
    """What fits no release, or not the stated one; maps with a finding of their own are passed."""
    told = {PurePosixPath(one.object).name for one in layouts(node)}
    told |= {pin_name(one) for one in superseded(node) if is_newer(node, one)}
    left = [
        sentence
        for sentence in node.release.contradictions
        if not any(_is_about(sentence, name) for name in told)
    ]
    if left:
        yield Finding("RELEASE_CONTRADICTION", "node", tuple(left))


def _is_about(sentence: str, name: str) -> bool:
    return sentence.startswith((f"{name} ", f"There is a pin of {name} "))


def mode_is_off(node: Node) -> bool:
    """Whether nothing of eBPF mode works any more: no map of it is pinned, no program attached.

    With felix in eBPF mode the maps are always pinned, so this is certain.
    """
    pinned = any(one.owner.verdict is Verdict.CALICO for one in node.maps)
    attached = any(one.calico for interface in node.interfaces for one in interface.attachments)
    return node.interfaces_known and not pinned and not attached


def connect_leftover(node: Node) -> Iterator[Finding]:
    """Connect-time programs of an eBPF mode that is off."""
    if not mode_is_off(node):
        return
    for root in node.cgroups:
        evidence = tuple(
            f"{one.section} has program {one.program.id}, {one.program.evidence.name}."
            for one in node.connect_time
            if one.cgroup == root and one.owner.verdict is Verdict.CALICO
        )
        if evidence:
            yield Finding("CTLB_LEFTOVER", root, evidence)


def device_leftover(node: Node) -> Iterator[Finding]:
    """Devices of an eBPF mode that is off."""
    if node.devices and mode_is_off(node):
        evidence = "No map of eBPF mode is pinned and no program of it is attached."
        yield Finding("DEVICE_LEFTOVER", ", ".join(node.devices), (evidence,))


def no_bpffs(node: Node) -> Iterator[Finding]:
    """Programs whose maps are pinned where the host cannot see them."""
    attached = [
        interface.name
        for interface in node.interfaces
        if any(one.calico for one in interface.attachments)
    ]
    if attached and not node.bpffs_there:
        evidence = f"{len(attached)} interfaces have programs of Calico, {attached[0]} is one."
        yield Finding("BPFFS_MISSING", node.pin_dir, (evidence,))


def severed_connect_links(node: Node) -> Iterator[Finding]:
    """Pins that stop the next felix start."""
    for one in node.pins:
        if one.severed and PurePosixPath(one.path).parent.name == CONNECT_LINKS:
            yield Finding("CTLB_SEVERED", one.path, (f"Link {one.object_id} has no cgroup.",))


MODE_RULES = (contradictions, no_bpffs, connect_leftover, device_leftover, severed_connect_links)
