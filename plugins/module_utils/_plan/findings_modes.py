# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about what is left of eBPF mode when it is off."""

from __future__ import annotations

from typing import Iterator

from .._calico.evidence import Verdict
from .ebpf_mode import attached_to, is_left_behind, mode_is_off, pinned_maps, programs_alone
from .findings_input import Finding, Node
from .wording import several


def connect_leftover(node: Node) -> Iterator[Finding]:
    """Connect-time programs of an eBPF mode that is off."""
    if not is_left_behind(node):
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
    own = [one.name for one in node.devices if one.owner.verdict is Verdict.CALICO]
    if own and is_left_behind(node):
        yield Finding("DEVICE_LEFTOVER", ", ".join(own), (_off_sentence(node),))


def _off_sentence(node: Node) -> str:
    if programs_alone(node):
        return "Programs are attached, but no map of eBPF mode is pinned."
    pinned = "Maps of eBPF mode are pinned" if pinned_maps(node) else "No map of it is pinned"
    return f"No program of eBPF mode is attached. {pinned}."


def pin_leftover(node: Node) -> Iterator[Finding]:
    """Pinned maps that no program on an interface works with."""
    pinned = pinned_maps(node)
    if pinned and mode_is_off(node):
        paths = several((one.path for one in pinned), 3)
        evidence = (
            f"{len(pinned)} maps of Calico are pinned: {paths}.",
            "No program of Calico is on any interface.",
        )
        yield Finding("PIN_LEFTOVER", node.pin_dir, evidence)


def program_leftover(node: Node) -> Iterator[Finding]:
    """Programs on interfaces without any pinned map."""
    if programs_alone(node):
        names = [one.name for one in attached_to(node)]
        evidence = (
            f"Programs of Calico are on {several(names)}.",
            f"No map of Calico is pinned below {node.pin_dir}.",
        )
        yield Finding("PROGRAM_LEFTOVER", several(names, 3), evidence)


def settings_leftover(node: Node) -> Iterator[Finding]:
    """Kernel settings of an eBPF mode that is off."""
    if node.settings and mode_is_off(node):
        yield Finding("SETTINGS_LEFTOVER", "node", node.settings)


def no_bpffs(node: Node) -> Iterator[Finding]:
    """Programs whose maps are pinned where the host cannot see them."""
    attached = [one.name for one in attached_to(node)]
    if attached and not node.bpffs_there:
        evidence = f"{len(attached)} interfaces have programs of Calico, {attached[0]} is one."
        yield Finding("BPFFS_MISSING", node.pin_dir, (evidence,))


MODE_RULES = (
    no_bpffs,
    connect_leftover,
    device_leftover,
    pin_leftover,
    program_leftover,
    settings_leftover,
)
