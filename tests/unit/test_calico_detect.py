# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of the release from what a kernel shows."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import (
    Rodata,
    Sightings,
    detect,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_release
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

# type, key, value, max_entries, flags, as bpftool shows them
IFACE2 = MapSpec(1, 4, 20, 1000, 1, "cali_iface2")
IFACE3 = MapSpec(1, 4, 40, 1000, 1, "cali_iface3")
IFACE4 = MapSpec(1, 4, 52, 1000, 1, "cali_iface4")
CT3 = MapSpec(1, 16, 88, 512000, 1, "cali_v4_ct3")
CT4 = MapSpec(9, 16, 88, 512000, 0, "cali_v4_ct4")
JUMP_26 = MapSpec(3, 4, 4, 32, 0, "cali_jump3")
JUMP_28 = MapSpec(3, 4, 4, 240000, 0, "cali_jump3")
JUMP2 = MapSpec(3, 4, 4, 10000, 0, "cali_jump2")
JUMP_ING2 = MapSpec(3, 4, 4, 240000, 0, "cali_jump_ing2")
STATE_480 = MapSpec(6, 4, 480, 2, 0, "cali_state4")
STATE_488 = MapSpec(6, 4, 488, 2, 0, "cali_state4")
STATE6 = MapSpec(6, 4, 512, 2, 0, "cali_state6")
COUNTERS2 = MapSpec(5, 8, 112, 20000, 0, "cali_counters2")
COUNTERS3 = MapSpec(5, 8, 136, 20000, 0, "cali_counters3")
COUNTERS5 = MapSpec(5, 8, 200, 20000, 0, "cali_counters5")
CONNECT_29_7 = MapSpec(3, 4, 4, 1, 0, "cali_ctlb_conn")
CONNECT_28 = MapSpec(3, 4, 4, 3, 0, "cali_ctlb_progs")
PROG_FLAGS = MapSpec(2, 4, 1, 1, 0x480, ".rodata.prog_fl")
CILIUM = MapSpec(9, 14, 56, 1000, 0, "cilium_ct4")


def seen(
    rodata: int = 0, used: tuple[MapSpec, ...] = (), pinned: tuple[MapSpec, ...] = (), *pins: str
) -> Sightings:
    constants = (Rodata("tc", rodata, ("cali1 ingress",)),) if rodata else ()
    return Sightings(constants, used, pinned, pins)


@pytest.mark.parametrize(
    ("sightings", "shown"),
    [
        (seen(), "3.26 to 3.33"),
        (seen(56), "3.26"),
        (seen(220), "3.27"),
        (seen(256), "3.27"),
        (seen(512), "3.28 to 3.30"),
        (seen(528), "3.31"),
        (seen(536), "3.32"),
        (seen(552), "3.33"),
        (seen(512, (STATE_480,)), "3.28 to 3.29"),
        (seen(512, (STATE_488,)), "3.30"),
        (seen(512, (), (COUNTERS2,)), "3.28 to 3.29"),
        (seen(512, (), (COUNTERS2, COUNTERS3)), "3.30"),
        (seen(512, (), (STATE_480, CONNECT_29_7)), "3.29.7 or later of 3.29"),
        (seen(512, (), (STATE_480, CONNECT_28)), "3.28 to 3.29.6"),
        (seen(528, (JUMP_28,)), "3.31.0 to 3.31.2"),
        (seen(528, (JUMP_ING2,)), "3.31.3 or later of 3.31"),
        (seen(528, (JUMP_ING2, PROG_FLAGS)), "3.31.7 or later of 3.31"),
        (seen(0, (JUMP_26,)), "3.26"),
        (seen(0, (JUMP_28, STATE_488)), "3.30 to 3.31.2"),
        (seen(0, (), (CT4, COUNTERS5, JUMP_ING2, IFACE4)), "3.31.3 or later of 3.31"),
        (seen(0, (), (STATE6, CT4)), "3.32 to 3.33"),
        (seen(0, (), (CILIUM,)), "3.26 to 3.33"),
        (seen(0, (), (), "tcx/cali1_ingress"), "3.31 to 3.33"),
        (seen(0, (), (), "tc/cali1_igr/cali_jump3"), "3.26"),
        (
            seen(512, (), (), "ctlb/calico_connect_v4"),
            "3.28.5 or later of 3.28, 3.29.5 or later of 3.29, 3.30.1 or later of 3.30",
        ),
        (seen(512, (STATE_488,), (), "ctlb/calico_connect_v4"), "3.30.1 or later of 3.30"),
    ],
)
def test_the_narrowest_range(sightings: Sightings, shown: str) -> None:
    found = detect(sightings)
    assert str(found.shown) == shown
    assert found.contradictions == ()
    assert bool(found.evidence) == (shown != "3.26 to 3.33")


def test_evidence_is_a_sentence() -> None:
    found = detect(seen(528, (JUMP_ING2,)))
    assert found.evidence == (
        "The tc entry programs on cali1 ingress have constants of 528 B, as in 3.31",
        "Attached programs use cali_jump_ing2 (4 B, 240000 entries), as in 3.31.3 or later",
    )


def test_what_narrows_nothing_is_no_evidence() -> None:
    assert len(detect(seen(536, (CT4, STATE6), (IFACE4,))).evidence) == 1


def test_pins_left_by_older_releases_say_nothing() -> None:
    left = (IFACE2, IFACE3, CT3, JUMP_28, COUNTERS2, COUNTERS3, STATE_488, CONNECT_28)
    found = detect(seen(536, (JUMP_ING2,), left))
    assert str(found.shown) == "3.32"
    assert found.contradictions == ()
    assert str(detect(seen(0, (), (*left, STATE6))).shown) == "3.32 to 3.33"


@pytest.mark.parametrize(
    ("sightings", "contradiction", "shown"),
    [
        (
            seen(512, (), (CT4,)),
            "There is a pin of cali_v4_ct4 (88 B, 512000 entries), as in 3.31 or later, which "
            "does not fit 3.28 to 3.30",
            "3.28 to 3.30",
        ),
        (
            seen(512, (), (), "tcx/cali1_ingress"),
            "There is tcx/cali1_ingress, as in 3.31 or later, which does not fit 3.28 to 3.30",
            "3.28 to 3.30",
        ),
        (
            seen(528, (JUMP_28, JUMP_ING2)),
            "Attached programs use cali_jump3 (4 B, 240000 entries), as in 3.28 to 3.31.2, which "
            "does not fit 3.31.3 or later of 3.31",
            "3.31.3 or later of 3.31",
        ),
        (
            seen(600),
            "The tc entry programs on cali1 ingress have constants of 600 B, as in no known "
            "release",
            "3.26 to 3.33",
        ),
        (
            seen(0, (), (STATE6._replace(value_size=520),)),
            "cali_state6 is a percpu_array map of 2 entries, key 4 B, value 520 B, flags 0x0, as "
            "in no known release",
            "3.26 to 3.33",
        ),
    ],
)
def test_contradictions(sightings: Sightings, contradiction: str, shown: str) -> None:
    found = detect(sightings)
    assert found.contradictions == (contradiction,)
    assert str(found.shown) == shown


def test_interfaces_with_programs_of_two_releases() -> None:
    old, new = Rodata("tc", 220, ("cali1 ingress",)), Rodata("tc", 512, ("cali2 egress",))
    found = detect(Sightings((old, new)))
    assert str(found.shown) == "3.28 to 3.30"
    assert found.contradictions == (
        "The tc entry programs on cali1 ingress have constants of 220 B, as in 3.27, which does "
        "not fit 3.28 to 3.30",
    )


def test_xdp_constants_narrow_too() -> None:
    assert str(detect(Sightings((Rodata("xdp", 80),))).shown) == "3.27"
    assert str(detect(Sightings((Rodata("xdp", 160),))).shown) == "3.28 to 3.33"


@pytest.mark.parametrize(
    ("stated", "releases", "contradiction"),
    [
        ("3.29.4", "3.29.4", ()),
        ("3.30", "3.30", ()),
        (
            "3.31.7",
            "3.28 to 3.30",
            ("calico_version is 3.31.7, but the kernel shows 3.28 to 3.30",),
        ),
    ],
)
def test_a_stated_release(stated: str, releases: str, contradiction: tuple[str, ...]) -> None:
    found = detect(seen(512), parse_release(stated))
    assert str(found.shown) == "3.28 to 3.30"
    assert str(found.releases) == releases
    assert found.contradictions == contradiction


def test_a_stated_release_is_believed_where_nothing_is_seen() -> None:
    found = detect(Sightings(), parse_release("v3.30.2"))
    assert str(found.releases) == "3.30.2"
    assert found.evidence == ()
