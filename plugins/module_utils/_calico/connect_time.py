# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time load balancing: programs on the cgroup root, by release and setting."""

from __future__ import annotations

from .._uapi.bpf import AttachType
from .rows import Table
from .tables import connect_programs
from .tables.connect_programs import AttachKind, ConnectHook, ConnectSetting, ConnectVariant
from .versions import VersionSet

HOOKS: tuple[ConnectHook, ...] = connect_programs.HOOKS
VARIANTS = Table(connect_programs.VARIANTS, lambda row: (row.family, row.cluster))
SETTINGS = Table(connect_programs.SETTINGS, lambda row: (row.load_balancing, row.host_nat))
ATTACH_KINDS = Table(connect_programs.ATTACH_KINDS, lambda row: "kind")


def hook_of(attach_type: int) -> ConnectHook | None:
    """The hook with an attach type; None when connect-time programs do not use it."""
    for hook in HOOKS:
        if hook.attach_type == attach_type:
            return hook
    return None


def variants_of(release: VersionSet) -> tuple[ConnectVariant, ...]:
    """The builds of the programs that some of ``release`` attaches."""
    return VARIANTS.of(release)


def settings_of(release: VersionSet) -> tuple[ConnectSetting, ...]:
    """What each setting attaches."""
    return SETTINGS.of(release)


def wanted_hooks(
    release: VersionSet, load_balancing: str = "", host_nat: str = ""
) -> frozenset[AttachType] | None:
    """The hooks that felix attaches to.

    ``load_balancing`` and ``host_nat`` are the values of bpfConnectTimeLoadBalancing and
    bpfHostNetworkedNATWithoutCTLB, empty for the default. None when the releases differ or the
    values are not in the table.
    """
    found = {
        row.hooks
        for row in settings_of(release)
        if (row.default if not load_balancing else row.load_balancing == load_balancing)
        and (not host_nat or row.host_nat in ("", host_nat))
    }
    return found.pop() if len(found) == 1 else None


def attach_kinds_of(release: VersionSet) -> tuple[AttachKind, ...]:
    """How some of ``release`` attaches, and whether it keeps links pinned."""
    return ATTACH_KINDS.of(release)
