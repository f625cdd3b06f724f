# SPDX-License-Identifier: GPL-3.0-or-later
"""What felix of each release does, one row for each point release the agent can play."""

from __future__ import annotations

from typing import NamedTuple

from . import map_rows as rows
from .map_rows import MapRow

DECREMENT, TOGGLE, REPLACE = "decrement", "toggle", "replace"
# Program that tracks connections: behind the preamble, or behind 3.26's entry program.
MAIN, MAIN_26 = "calico_tc_main", "calico_tc_skb_accepted_entrypoint"


class Preamble(NamedTuple):
    """Layout of the frozen globals: bytes in all, start of the IPv6 half, offsets in a half.

    ``debug`` is the index in jumps of the program that logs. ``objects``, ``entries``: names of
    the file and of its program for tc ingress and egress of a workload.
    """

    size: int
    half: int
    iface: int
    log_filter: int
    jumps: int
    debug: int
    text: str = "tc_preamble"
    objects: tuple[str, str] = ("tc_preamble", "tc_preamble")
    entries: tuple[str, str] = ("cali_tc_preamble", "cali_tc_preamble")

    def object_path(self, hook: int) -> str:
        """Place of the object that has this layout, for hook 0 (ingress) or 1."""
        return f"{self.size}/{self.objects[hook]}.o"


class IfState(NamedTuple):
    """Layout of an interface's entry: size and the offsets of s32 fields, in bytes."""

    name: str
    size: int
    policies: tuple[int, ...]
    filters: tuple[int, ...]
    flags: int


PREAMBLE_27 = Preamble(220, 0, 40, 56, 60, 8, "tc_preamble v4")
PREAMBLE_27_V6 = Preamble(256, 0, 76, 92, 96, 8, "IPv6 tc_preamble v6")
PREAMBLE_28 = Preamble(512, 256, 76, 92, 96, 8)
PREAMBLE_31 = Preamble(528, 264, 80, 96, 100, 9)
PREAMBLE_32 = Preamble(536, 268, 80, 96, 100, 11)
# No preamble: the entry program has the globals, and no log filter or jumps in them.
ENTRY_26 = Preamble(
    *(56, 0, 40, 0, 0, 0, ""),
    ("from_wep_no_log", "to_wep_no_log"),
    ("calico_from_workload_ep", "calico_to_workload_ep"),
)
ENTRY_26_HOST = ENTRY_26._replace(
    objects=("from_hep_no_log", "to_hep_no_log"),
    entries=("calico_from_host_ep", "calico_to_host_ep"),
)
LAYOUTS = (
    *(PREAMBLE_27, PREAMBLE_27_V6, PREAMBLE_28, PREAMBLE_31, PREAMBLE_32),
    *(ENTRY_26, ENTRY_26_HOST),
)

# Policies: ingress, egress of IPv4, then of IPv6 where the entry has them.
IFSTATE_26 = IfState("cali_iface2", 20, (), (), 0x3)
IFSTATE_27 = IfState("cali_iface3", 40, (24, 28), (32, 36), 0x3)
IFSTATE_28 = IfState("cali_iface4", 52, (24, 28, 36, 40), (44, 48), 0x3)


class Release(NamedTuple):
    """Everything in which releases differ, for the agent."""

    version: str
    common: tuple[MapRow, ...]
    family: tuple[MapRow, ...]
    # Families with IPv6 enabled; none: the release knows no IPv6.
    with_ipv6: tuple[str, ...]
    preamble: Preamble
    ifstate: IfState
    attach: str
    # Names of program and policy map for tc ingress, then for tc egress.
    jump_maps: tuple[tuple[str, str], tuple[str, str]]
    # What moves to old_jumps when felix starts.
    repinned: tuple[MapRow, ...] = ()
    tcx: bool = False
    # ifstate and jump maps name the tc hook, no longer the policy's direction.
    by_hook: bool = False
    # The first loader of each interface's program is told the configured map sizes.
    sizes_in_preamble: bool = True
    # A pin of other key or value size is replaced without a copy.
    checks_sizes: bool = True
    # An index that debug logging left in ifstate is used again after a restart, and with level
    # Debug all interfaces have one, also those that no filter names.
    keeps_log_filter: bool = False
    # A workload whose two filters differ in preference or handle is never taken for ready.
    compares_filters: bool = True
    # Families whose conntrack map gets the delta copy when IPv6 is enabled.
    delta_with_ipv6: tuple[str, ...] = ("v6",)
    # Reads bpf_ct_map_size and the size for each CPU.
    scales_conntrack: bool = False
    # Bytes 0 to 7 of a conntrack value: time of the last RST, no longer of creation.
    rst_seen: bool = False
    # The same releases detach connect-time programs when BPF is switched off.
    ctlb_pinned: bool = False
    ctlb_all_hooks: bool = False
    # Switched off, felix removes its pins everywhere below /sys/fs/bpf, not in tc/ only.
    cleans_all_pins: bool = True
    # The veth pair through which the host reaches services, and its removal with BPF.
    special_devices: bool = True
    removes_devices: bool = True
    # The init container makes all maps with default sizes before felix starts.
    bootstraps: bool = False

    @property
    def line(self) -> str:
        """Major and minor number."""
        return self.version.rpartition(".")[0]


def _same(progs: str, jump: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (progs, jump), (progs, jump)


_26 = Release(
    "3.26.4",
    (),
    rows.MAPS_26,
    (),
    ENTRY_26,
    IFSTATE_26,
    DECREMENT,
    _same("cali_jump3", "cali_jump3"),
    checks_sizes=False,
    compares_filters=False,
    ctlb_all_hooks=True,
    cleans_all_pins=False,
    special_devices=False,
    removes_devices=False,
)
_27 = Release(
    "3.27.3",
    (),
    rows.MAPS_27,
    ("v6",),
    PREAMBLE_27,
    IFSTATE_27,
    DECREMENT,
    _same("cali_progs2", "cali_jump2"),
    rows.JUMPS_27,
    checks_sizes=False,
    sizes_in_preamble=False,
    keeps_log_filter=True,
    cleans_all_pins=False,
    removes_devices=False,
)
_27_5 = _27._replace(version="3.27.5", attach=TOGGLE, cleans_all_pins=True, removes_devices=True)
_28 = _27_5._replace(
    version="3.28.1",
    attach=DECREMENT,
    common=(*rows.COMMON_28, *rows.CTLB_ONE),
    family=rows.FAMILY_28,
    with_ipv6=("v4", "v6"),
    preamble=PREAMBLE_28,
    ifstate=IFSTATE_28,
    jump_maps=_same("cali_progs3", "cali_jump3"),
    repinned=rows.JUMPS_28,
    checks_sizes=True,
)
_28_2 = _28._replace(version="3.28.2", attach=TOGGLE, sizes_in_preamble=True)
_28_4 = _28_2._replace(version="3.28.4", keeps_log_filter=False)
_28_5 = _28_4._replace(version="3.28.5", attach=REPLACE, ctlb_pinned=True)
_29_4 = _28_4._replace(version="3.29.4")
_29_7 = _28_5._replace(version="3.29.7", common=(*rows.COMMON_28, *rows.CTLB_SPLIT))
_30_0 = _29_4._replace(
    version="3.30.0",
    common=(*rows.COMMON_30, *rows.CTLB_ONE),
    scales_conntrack=True,
    rst_seen=True,
)
_30_7 = _30_0._replace(
    version="3.30.7",
    common=(*rows.COMMON_30, *rows.CTLB_SPLIT),
    attach=REPLACE,
    ctlb_pinned=True,
)
_31_2 = _30_7._replace(
    version="3.31.2",
    common=rows.COMMON_31_2,
    family=rows.FAMILY_31_2,
    preamble=PREAMBLE_31,
    compares_filters=False,
    tcx=True,
    delta_with_ipv6=("v4", "v6"),
    bootstraps=True,
)
_31_7 = _31_2._replace(
    version="3.31.7",
    common=rows.COMMON_31_7,
    family=rows.FAMILY_31_7,
    jump_maps=(("cali_progs_ing2", "cali_jump_ing2"), ("cali_progs_egr2", "cali_jump_egr2")),
    repinned=(*rows.SPLIT_PROGS, *rows.SPLIT_JUMPS, *rows.XDP_JUMPS),
    by_hook=True,
)
_32 = _31_7._replace(
    version="3.32.1", common=rows.COMMON_32, family=rows.FAMILY_32, preamble=PREAMBLE_32
)

RELEASES = {
    release.version: release
    for release in (
        *(_26, _27, _27_5),
        *(_28, _28_2, _28_4, _28_5, _29_4, _29_7, _30_0, _30_7, _31_2, _31_7, _32),
    )
}


class XdpEntry(NamedTuple):
    """The XDP program of a host interface: name, and bytes of its globals."""

    name: str
    size: int

    def object_path(self) -> str:
        """Place of the object that has it."""
        return f"xdp-{self.size}/xdp_preamble.o"


XDP_ENTRIES = (
    XdpEntry("xdp_calico_entrypoint", 0),
    XdpEntry("cali_xdp_preamble", 80),
    XdpEntry("cali_xdp_preamble", 160),
)


def xdp_entry(release: Release) -> XdpEntry:
    """What the release attaches."""
    return XDP_ENTRIES[{"3.26": 0, "3.27": 1}.get(release.line, 2)]


class MainProgram(NamedTuple):
    """One form of the tracking program: tc hook 0 or 1, entry layout, family and name."""

    hook: int
    rst_seen: bool
    family: str
    name: str
    services: bool = False

    def path(self) -> str:
        """Place of its object below the directory of objects."""
        kind = f"{('ingress', 'egress')[self.hook]}-{self.family}{'-rst' if self.rst_seen else ''}"
        return f"{kind}{'-services' if self.services else ''}/{self.name}.o"


def main_programs(*, services: bool = False) -> tuple[MainProgram, ...]:
    """Every tracking program that a release may need."""
    return tuple(
        MainProgram(hook, *form, services)
        for hook in (0, 1)
        for form in (
            *((rst_seen, family, MAIN) for rst_seen in (False, True) for family in ("v4", "v6")),
            (False, "v4", MAIN_26),
        )
    )
