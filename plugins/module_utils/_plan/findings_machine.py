# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about what the machine offers eBPF mode: its kernel, its cgroups, and the release."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico.evidence import Verdict
from .._calico.kernels import bad_pairs, distribution_named, known_kernel, oldest_kernel
from .._calico.tables.kernel_rows import CONNECT_TIME, WORKLOADS, KernelPair
from .ebpf_mode import mode_is_on
from .findings_attach import missing
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


def old_kernel(node: Node) -> Iterator[Finding]:
    """A kernel below what every release in question needs."""
    kernel = known_kernel(node.kernel)
    if kernel is None or not mode_is_on(node):
        return
    seen = node.distribution
    where = distribution_named(seen.id, seen.like) if seen else ""
    needed = oldest_kernel(node.release.releases, where)
    if needed is not None and kernel < needed:
        on = f" on {where}" if where else ""
        evidence = (
            f"The kernel is {node.kernel}; Calico {node.release.releases} needs {needed}{on}."
        )
        yield Finding("KERNEL_TOO_OLD", node.kernel, (evidence,))


def bad_pair(node: Node) -> Iterator[Finding]:
    """A kernel that breaks every release in question, where the damage is there to see."""
    kernel = known_kernel(node.kernel)
    if kernel is None or not mode_is_on(node):
        return
    for row in bad_pairs(node.release.releases, kernel):
        damage = _damage(node, row)
        if damage and row.releases.covers(node.release.releases):
            pair = f"Kernel {node.kernel} with Calico {node.release.releases}: {row.title}"
            numbers = f"Upstream: {', '.join(row.upstream)}."
            yield Finding("KERNEL_PAIR", node.kernel, (f"{pair}.", damage, numbers))


def _damage(node: Node, row: KernelPair) -> str:
    """What this node shows of a pair's damage; empty: nothing."""
    if row.shows == CONNECT_TIME and _lacks_connect_time(node):
        return "No connect-time program is attached."
    if row.shows == WORKLOADS and any(missing(node)):
        return "Interfaces of workloads lack their programs."
    return ""


def _lacks_connect_time(node: Node) -> bool:
    """Whether none is attached although there is a place for them, and a setting for them."""
    attached = any(one.owner.verdict is not Verdict.FOREIGN for one in node.connect_time)
    return bool(node.cgroups) and node.connect_setting != "Disabled" and not attached


def no_cgroup(node: Node) -> Iterator[Finding]:
    """Nothing to attach connect-time programs to."""
    if mode_is_on(node) and not node.cgroup_mounted:
        yield Finding("CGROUP_MISSING", "node", ("No cgroup2 file system is mounted.",))


MACHINE_RULES = (contradictions, old_kernel, bad_pair, no_cgroup)
