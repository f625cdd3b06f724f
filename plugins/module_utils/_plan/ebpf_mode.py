# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether eBPF mode works on a node, told from its kernel alone."""

from __future__ import annotations

from .._calico.evidence import Verdict
from .._calico.maps import rows_named
from .findings_input import Interface, Node, PinnedMap
from .findings_release import own_maps, pin_name

_CORE = frozenset({"conntrack", "ifstate"})
"""Roles of maps without which felix does not run in eBPF mode."""


def pinned_maps(node: Node) -> tuple[PinnedMap, ...]:
    """The pinned maps that are proven Calico's, wherever they are pinned."""
    return tuple(one for one in node.maps if one.owner.verdict is Verdict.CALICO)


def attached_to(node: Node) -> tuple[Interface, ...]:
    """The interfaces with programs that are proven Calico's."""
    return tuple(
        one for one in node.interfaces if any(attached.calico for attached in one.attachments)
    )


def mode_is_on(node: Node) -> bool:
    """Whether programs are attached and their maps are pinned."""
    return bool(attached_to(node)) and bool(pinned_maps(node))


def programs_alone(node: Node) -> bool:
    """Whether programs are attached although nothing of Calico's is pinned any more."""
    return node.bpffs_there and bool(attached_to(node)) and not pinned_maps(node)


def mode_is_off(node: Node) -> bool:
    """Whether no program handles traffic, and felix cannot be just about to attach them.

    felix always pins its maps, so without them this is certain; with them, and with nothing that
    needs a program, nothing is said.
    """
    if not node.interfaces_known or any(_may_be_calicos(one) for one in node.interfaces):
        return False
    bare = any(one.workload and one.running for one in node.interfaces)
    return bare or not _core_pinned(node)


def is_left_behind(node: Node) -> bool:
    """Whether what is there of eBPF mode is what it left when it went off."""
    return mode_is_off(node) or programs_alone(node)


def _may_be_calicos(one: Interface) -> bool:
    return any(attached.owner.verdict is not Verdict.FOREIGN for attached in one.attachments)


def _core_pinned(node: Node) -> bool:
    own = (one for one in own_maps(node) if one.owner.verdict is Verdict.CALICO)
    return any(row.role in _CORE for one in own for row in rows_named(pin_name(one)))
