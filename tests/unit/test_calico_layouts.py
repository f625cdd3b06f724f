# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts of rodata and ifstate, and jump indices, against numbers copied from the fact sheets."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    ifstate,
    preamble,
    releases,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.globals_layouts import (
    GlobalsLayout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    parse_range,
    parse_release,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError

# release, program: for each layout (value size, struct size, halves)
SIZES = [
    ("3.26.4", "tc", [(56, 56, (0,))]),
    ("3.27.5", "tc", [(220, 220, (0,)), (256, 256, (0,))]),
    ("3.28.0", "tc", [(512, 256, (0, 256))]),
    ("3.29.7", "tc", [(512, 256, (0, 256))]),
    ("3.30.7", "tc", [(512, 256, (0, 256))]),
    ("3.31.0", "tc", [(528, 264, (0, 264))]),
    ("3.31.7", "tc", [(528, 264, (0, 264))]),
    ("3.32.1", "tc", [(536, 268, (0, 268))]),
    ("3.33.0", "tc", [(552, 276, (0, 276))]),
    ("3.26.4", "xdp", []),
    ("3.27.3", "xdp", [(80, 80, (0,))]),
    ("3.28.0", "xdp", [(160, 80, (0, 80))]),
    ("3.32.1", "xdp", [(160, 80, (0, 80))]),
    ("3.26.0", "connect", [(8, 8, (0,))]),
    ("3.32.0", "connect", [(8, 8, (0,))]),
]


@pytest.mark.parametrize(("release", "program", "wanted"), SIZES)
def test_sizes_of_the_globals(
    release: str, program: str, wanted: list[tuple[int, int, tuple[int, ...]]]
) -> None:
    rows = preamble.globals_layouts_of(parse_release(release), program)
    assert [(row.value_size, row.struct_size, row.halves) for row in rows] == wanted


# value size: field, offsets, size
OFFSETS = [
    (56, "iface_name", (40,), 16),
    (56, "natout_idx", (36,), 4),
    (220, "host_tunnel_ip", (20,), 4),
    (220, "iface_name", (40,), 16),
    (220, "log_filter_jmp", (56,), 4),
    (220, "jumps", (60,), 160),
    (256, "intf_ip", (20,), 16),
    (256, "iface_name", (76,), 16),
    (256, "log_filter_jmp", (92,), 4),
    (256, "jumps", (96,), 160),
    (512, "flags", (60, 316), 4),
    (512, "iface_name", (76, 332), 16),
    (512, "log_filter_jmp", (92, 348), 4),
    (512, "jumps", (96, 352), 160),
    (528, "overlay_tunnel_id", (76, 340), 4),
    (528, "iface_name", (80, 344), 16),
    (528, "log_filter_jmp", (96, 360), 4),
    (528, "jumps", (100, 364), 160),
    (528, "dscp", (260, 524), 1),
    (536, "iface_name", (80, 348), 16),
    (536, "log_filter_jmp", (96, 364), 4),
    (536, "jumps", (100, 368), 160),
    (536, "maglev_lut_size", (264, 532), 4),
    (552, "iface_name", (80, 356), 16),
    (552, "log_filter_jmp", (96, 372), 4),
    (552, "jumps", (100, 376), 160),
    (552, "host_ifindex", (272, 548), 4),
]


@pytest.mark.parametrize(("value_size", "field", "offsets", "size"), OFFSETS)
def test_where_fields_stand(
    value_size: int, field: str, offsets: tuple[int, ...], size: int
) -> None:
    layouts = preamble.layouts_of_size("tc", value_size)
    assert layouts
    assert {preamble.placed(layout, field) for layout in layouts} == {(offsets, size)}


def test_fields_that_a_release_lacks() -> None:
    (first,) = preamble.layouts_of_size("tc", 56)
    assert preamble.placed(first, "log_filter_jmp") is None
    assert preamble.placed(first, "jumps") is None
    old, new = preamble.layouts_of_size("tc", 512)
    assert preamble.placed(old, "profiling") is None
    assert preamble.placed(new, "profiling") == ((66, 322), 2)
    assert preamble.layouts_of_size("tc", 513) == ()
    assert preamble.layouts_of_size("xdp", 512) == ()


def test_names_of_the_rodata_maps() -> None:
    assert [preamble.layouts_of_size("tc", size)[0].map_name for size in (56, 220, 536)] == [
        "",
        "tc_pream.rodata",
        "tc_pream.rodata",
    ]
    assert preamble.layouts_of_size("xdp", 80)[0].map_name == "xdp_prea.rodata"
    assert preamble.layouts_of_size("connect", 8)[0].map_name == "connect_.rodata"


@pytest.mark.parametrize(
    "row", preamble.LAYOUTS.rows, ids=lambda row: f"{row.program} {row.releases}"
)
def test_every_globals_row_is_sound(row: GlobalsLayout) -> None:
    end = 0
    for name, offset, size in row.fields:
        assert offset >= end, name
        end = offset + size
    assert end <= row.struct_size
    assert [half for half in row.halves if half + row.struct_size > row.value_size] == []
    assert row.value_size == len(row.halves) * row.struct_size
    assert len(row.map_name) <= 15
    assert row.source


def test_a_new_globals_layout_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    line = releases.LINES[-1]._replace(releases=parse_range("3.40"))
    monkeypatch.setattr(releases, "LINES", (*releases.LINES, line))
    row = preamble.layouts_of_size("tc", 552)[0]
    row = row._replace(
        releases=parse_range(">=3.40"), value_size=560, struct_size=280, halves=(0, 280)
    )
    monkeypatch.setattr(preamble, "LAYOUTS", preamble.LAYOUTS.plus(row))
    assert preamble.globals_layouts_of(parse_release("3.40")) == (row,)
    assert preamble.placed(row, "jumps") == ((100, 380), 160)
    assert preamble.globals_layouts_of(parse_release("3.33"))[0].value_size == 552


@pytest.mark.parametrize(
    ("release", "kind", "named", "debug"),
    [
        ("3.26", "map", {2: "policy", 3: "allowed", 6: "host_ct_conflict", 11: "drop_v6"}, None),
        ("3.27.0", "jumps", {0: "main", 1: "policy", 4: "drop", 7: "new_flow"}, 8),
        ("3.30.7", "jumps", {2: "allowed", 5: "host_ct_conflict", 6: "icmp_inner_nat"}, 8),
        ("3.31.0", "jumps", {7: "new_flow", 8: "ip_frag"}, 9),
        ("3.32.0", "jumps", {3: "icmp", 8: "ip_frag", 9: "maglev", 10: "tcp_rst"}, 11),
    ],
)
def test_jump_indices(release: str, kind: str, named: dict[int, str], debug: int | None) -> None:
    row = preamble.jump_indices_of(parse_release(release))
    assert (row.kind, row.debug) == (kind, debug)
    assert {index: row.names[index] for index in named} == named
    if debug is not None:
        assert len(row.names) == debug


def test_jump_indices_of_releases_that_differ() -> None:
    with pytest.raises(RefusedError, match="name the release exactly"):
        preamble.jump_indices_of(parse_range(">=3.30,<3.32"))


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("3.27", {"ingress": ("cali_progs2", "cali_jump2", 10000, 0)}),
        ("3.28.0", {"egress": ("cali_progs3", "cali_jump3", 10000, 10000)}),
        ("3.31.2", {"ingress": ("cali_progs3", "cali_jump3", 10000, 10000)}),
        (
            "3.31.3",
            {
                "ingress": ("cali_progs_ing2", "cali_jump_ing2", 10000, 10000),
                "egress": ("cali_progs_egr2", "cali_jump_egr2", 10000, 10000),
                "xdp": ("xdp_cali_progs3", "xdp_cali_jump3", 100, 100),
            },
        ),
        ("3.26", {"xdp": ("", "cali_jump3", 32, 0)}),
    ],
)
def test_jump_maps(release: str, wanted: dict[str, tuple[str, str, int, int]]) -> None:
    rows = {
        row.hook: (row.progs, row.jump, row.entries, row.stride)
        for row in preamble.jump_maps_of(parse_release(release))
    }
    assert len(rows) == 3
    assert {hook: rows[hook] for hook in wanted} == wanted


IFSTATE = [
    ("3.26", "cali_iface2", 20, {"name": 4}, (2,), "none"),
    (
        "3.27",
        "cali_iface3",
        40,
        {"xdp_policy": 20, "egress_policy": 28, "tc_filter_ingress": 32, "tc_filter_egress": 36},
        (2,),
        "policy",
    ),
    (
        "3.31.2",
        "cali_iface4",
        52,
        {"ingress_policy_v4": 24, "xdp_policy_v6": 32, "egress_policy_v6": 40},
        (2, 4),
        "policy",
    ),
    (
        "3.31.3",
        "cali_iface4",
        52,
        {"flags": 0, "tc_filter_ingress": 44, "tc_filter_egress": 48},
        (2, 4),
        "hook",
    ),
]


@pytest.mark.parametrize(("release", "name", "size", "offsets", "ready", "meaning"), IFSTATE)
def test_ifstate(
    release: str,
    name: str,
    size: int,
    offsets: dict[str, int],
    ready: tuple[int, ...],
    meaning: str,
) -> None:
    layout = ifstate.layout_of(parse_release(release))
    assert (layout.map_name, layout.value_size, layout.ready) == (name, size, ready)
    found = {field: offset for field, offset, _ in layout.fields}
    assert {field: found[field] for field in offsets} == offsets
    assert ifstate.direction_of(parse_release(release)) == meaning
    assert ifstate.layout_of_map(name, size) == layout
    assert ifstate.layout_of_map(name, size + 4) is None
    ends = [offset + length for _, offset, length in layout.fields]
    assert ends == sorted(ends)
    assert ends[-1] == layout.value_size


def test_what_ingress_means_changed_within_a_line() -> None:
    with pytest.raises(RefusedError):
        ifstate.direction_of(parse_release("3.31"))


@pytest.mark.parametrize(
    ("meaning", "hook", "workload", "field"),
    [
        ("policy", "ingress", True, "tc_filter_egress"),
        ("policy", "egress", True, "tc_filter_ingress"),
        ("policy", "ingress", False, "tc_filter_ingress"),
        ("hook", "ingress", True, "tc_filter_ingress"),
        ("hook", "egress", False, "tc_filter_egress"),
    ],
)
def test_the_field_of_a_hooks_log_filter(
    meaning: str, hook: str, workload: bool, field: str
) -> None:
    assert ifstate.filter_field(meaning, hook, workload) == field
