# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts that stand in two tables, for two uses, say the same in both."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    connect_time,
    defects,
    felix_config,
    ifstate,
    maps,
    places,
    preamble,
    tc_attach,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_timeouts as timeouts,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    ifstate as ifstate_codec,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    preamble_layout as codec,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.conntrack_liveness import (
    Timeouts,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.ifstate import IfstateLayout
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.globals_layouts import (
    GlobalsLayout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.jump_indices import (
    JumpMaps,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.map_row import CalicoMap
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    VersionSet,
    parse_range,
    union,
)

KNOWN = parse_range(">=3.26,<3.34")
TC_LAYOUTS = [row for row in preamble.LAYOUTS if row.program == "tc"]


def releases_of(name: str) -> VersionSet:
    """The known releases that have a map of this name."""
    spans = [span for row in maps.rows_named(name) for span in row.releases.spans]
    return union(spans).intersection(KNOWN)


@pytest.mark.parametrize("row", preamble.JUMP_MAPS.rows, ids=lambda row: f"{row.hook} {row.jump}")
def test_jump_maps_are_maps(row: JumpMaps) -> None:
    held = row.releases.intersection(KNOWN)
    for name in filter(None, (row.jump, row.progs)):
        assert releases_of(name).covers(held), name
    (jump,) = [one for one in maps.rows_named(row.jump) if one.releases.overlaps(row.releases)]
    multiple = 1 + 23 * bool(row.stride)
    assert jump.max_entries == row.entries * multiple


@pytest.mark.parametrize("row", ifstate.LAYOUTS.rows, ids=lambda row: row.map_name)
def test_ifstate_layouts_are_of_their_maps(row: IfstateLayout) -> None:
    (found,) = maps.rows_named(row.map_name)
    assert (found.value_size, found.releases) == (row.value_size, row.releases)
    names = ifstate_codec.INDEXES[row.value_size]
    offsets = [offset for name, offset, _ in row.fields if name not in ("flags", "name")]
    assert offsets == [20 + 4 * number for number in range(len(names))]
    filters = [name for name, _, _ in row.fields if name.startswith("tc_filter")]
    assert [f"tc_{name}" for name in names if name.startswith("filter")] == filters


def codec_offsets(size: int) -> dict[str, int]:
    """The offsets that the codec gives the fields of one part."""
    layout, offsets, at = codec.preamble_layout(size), {}, 0
    for name, field_format in layout.part:
        offsets[name.replace("raw_", "")] = at
        at += struct.calcsize("<" + field_format)
    return offsets


@pytest.mark.parametrize("row", TC_LAYOUTS, ids=lambda row: f"{row.value_size} {row.releases}")
def test_the_codec_and_the_table_place_globals_alike(row: GlobalsLayout) -> None:
    decoded = codec.preamble_layout(row.value_size)
    assert decoded.part_size == row.struct_size
    assert len(decoded.families) == len(row.halves)
    offsets = codec_offsets(row.value_size)
    assert {name: offset for name, offset, _ in row.fields} == {
        name: offsets[name] for name, _, _ in row.fields
    }
    if preamble.placed(row, "jumps"):
        (indices,) = {one.debug for one in preamble.INDICES if one.releases.overlaps(row.releases)}
        assert decoded.programs == indices


def test_the_codec_knows_no_further_sizes() -> None:
    assert set(codec.LAYOUTS) == {row.value_size for row in TC_LAYOUTS}


@pytest.mark.parametrize(
    "row", [row for row in maps.MAPS if row.size_fields], ids=lambda row: f"{row.name}"
)
def test_the_field_that_sizes_a_map_exists_when_the_map_does(row: CalicoMap) -> None:
    held = row.releases.intersection(KNOWN)
    rows = [one for one in felix_config.FIELDS if one.name == row.size_fields[0]]
    assert union(span for one in rows for span in one.releases.spans).covers(held)
    if len(row.size_fields) == 1 and row.name != "cali_rb_evnt":
        assert {one.default for one in rows} == {row.max_entries}


def test_links_are_pinned_where_they_are_kept() -> None:
    kept = union(
        span for row in connect_time.ATTACH_KINDS if row.pinned for span in row.releases.spans
    )
    (directory,) = [row for row in places.PIN_DIRECTORIES if row.path == "ctlb"]
    assert directory.releases == kept
    assert defects.defect("CTLB_SEVERED").affected == kept.before(
        parse_range(">=3.33").spans[0].low
    )


def behaviour(**wanted: object) -> VersionSet:
    """The releases whose tc behaviour has these values."""
    return union(
        span
        for row in tc_attach.BEHAVIOUR
        if all(getattr(row, name) == value for name, value in wanted.items())
        for span in row.releases.spans
    )


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("TC_MISMATCH", {"compares_hooks": True}),
        ("TC_DRIFT", {"replaces": "beside"}),
        ("TC_PREF_EXHAUSTED", {"preference": "falls"}),
        ("TC_DUPLICATE", {"removes_duplicates": False}),
    ],
)
def test_defects_follow_the_tc_behaviour(code: str, wanted: dict[str, object]) -> None:
    affected = defects.defect(code).affected.intersection(KNOWN)
    assert affected == behaviour(**wanted).intersection(KNOWN)


def test_tcx_has_its_directory_and_its_setting() -> None:
    tcx = behaviour(tcx=True)
    (directory,) = [row for row in places.PIN_DIRECTORIES if row.path == "tcx"]
    assert directory.releases == tcx
    assert union(span for row in tc_attach.MODES for span in row.releases.spans) == tcx


def test_leftover_conntrack_maps_follow_the_map_table() -> None:
    assert defects.defect("CT_SUPERSEDED").affected.intersection(KNOWN) == releases_of(
        "cali_v4_ct4"
    )


def test_timers_are_those_that_the_expiry_needs() -> None:
    assert {row.name for row in timeouts.TIMERS} == {*Timeouts._fields, "rst_idle"}


def test_what_only_the_development_branch_has_is_marked() -> None:
    branch = parse_range(">=3.33")
    tables = (
        [(row.releases, row.certain) for row in maps.MAPS],
        [(row.releases, row.certain) for row in preamble.LAYOUTS],
        [(row.releases, row.certain) for row in preamble.JUMP_MAPS],
        [(row.releases, row.certain) for row in felix_config.FIELDS],
        [(row.releases, row.certain) for row in places.PIN_DIRECTORIES],
        [(row.releases, row.certain) for row in connect_time.ATTACH_KINDS],
        [(row.releases, row.certain) for row in tc_attach.MODES],
    )
    only = [certain for rows in tables for held, certain in rows if branch.covers(held)]
    assert len(only) > 10
    assert not any(only)
