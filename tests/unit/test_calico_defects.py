# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of findings against the fix matrix, which was copied by hand from the fact sheets."""

from __future__ import annotations

import re

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import defects, releases
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.defect_row import Defect
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    parse_range,
    parse_release,
)

# First release without it, for 3.26 to 3.32: "-" not affected, "x" never.
MATRIX = {
    "CT_SIZE": "- x 3.28.2 - - - -",
    "CT_DELTA_V4": "- - x x x - -",
    "CT_SUPERSEDED": "- - - - - x x",
    "CT_NOT_CARRIED": "- - - - - x x",
    "CT_SPLIT": "x x 3.28.2 - - x x",
    "CT_OLD_PIN": "x x x x x x x",
    "CT_AUTOSCALE_FILE": "- - - - x x x",
    "CT_CREATED_AS_RST": "- - - - x - -",
    "CT_NAT_DROPPED": "x x x 3.29.6 3.30.3 - -",
    "CT_DUMP_SIZE": "x x x x - - -",
    "UDP_STALE": "x x x x - - -",
    "LOG_FILTER_STALE": "- x 3.28.3 - - - -",
    "LOG_FILTERS_IGNORED": "- - 3.28.1 - - - -",
    "TC_MISMATCH": "- x x x x - -",
    "TC_DRIFT": "x x 3.28.5 3.29.5 3.30.1 - -",
    "TC_PREF_EXHAUSTED": "x 3.27.5 3.28.2 - - - -",
    "JUMPS_LINGERING": "- x x x x x x",
    "CTLB_LEFTOVER": "x x 3.28.5 3.29.5 3.30.1 - -",
    "CTLB_LEGACY_KEPT": "- - - - 3.30.2 - -",
    "CTLB_SEVERED": "- - x x x x x",
    "CTLB_FOREIGN_DETACHED": "- - x x x x x",
    "PIN_LEFTOVER": "x 3.27.4 - - - - -",
    "DEVICE_LEFTOVER": "x 3.27.4 3.28.1 - - - -",
    "MOUNT_DROPPED": "- x x x x - -",
    "READY_BLIND": "x x - - - - -",
    "UPGRADE_VXLAN": "- - - - 3.30.7 - -",
    "VXLAN_VNI": "- - - - - 3.31.4 -",
    "RESTART_NODEPORT": "- - - - - 3.31.6 3.32.1",
}
# Releases on the edges of affected ranges that start within a line.
EDGES = [
    ("CTLB_SEVERED", "3.28.4", False),
    ("CTLB_SEVERED", "3.28.5", True),
    ("CTLB_SEVERED", "3.29.4", False),
    ("CTLB_SEVERED", "3.30.0", False),
    ("CTLB_SEVERED", "3.30.1", True),
    ("CTLB_SEVERED", "3.32.1", True),
    ("CTLB_LEGACY_KEPT", "3.30.0", False),
    ("CTLB_LEGACY_KEPT", "3.30.1", True),
    ("TC_DUPLICATE", "3.28.4", False),
    ("TC_DUPLICATE", "3.29.5", True),
    ("DEVICE_LEFTOVER", "3.28.0", True),
    ("RESTART_NODEPORT", "3.32.0", True),
]
UPSTREAM = {
    "CT_SIZE": ["#9651", "#9117", "#9118"],
    "LOG_FILTER_STALE": ["#9760", "#9137", "#9148"],
    "CTLB_LEFTOVER": ["#9620", "#10425"],
    "TC_MISMATCH": ["#10143", "#10376", "#10477"],
    "TC_PREF_EXHAUSTED": ["#8897", "#9074"],
    "UDP_STALE": ["#9967", "#10049", "#10098"],
    "CT_NAT_DROPPED": ["#10670", "#10721"],
    "CT_DUMP_SIZE": ["#9651", "#9704"],
    "JUMPS_EMPTY": ["#6739", "#8646"],
    "KERNEL_PAIR": ["#11302"],
    "IFSTATE_FULL": ["#6935"],
}
REMEDIES = {
    "bpf_map", "conntrack_map", "conntrack_entry", "conntrack_info", "conntrack_snapshot",
    "connect_time_lb", "log_filter", "tc_attachment", "dataplane", "node_info",
    "preflight", "audit", "conntrack_resize", "dataplane_switch", "log_level", "tc_repair",
    "udp_repair", "upgrade",
}  # fmt: skip
# The codes that the design names.
DESIGNED = (
    "CT_SIZE CT_OLD_PIN CT_SUPERSEDED CTLB_LEFTOVER LOG_FILTER_STALE TC_MISMATCH TC_DUPLICATE "
    "UDP_STALE JUMPS_LINGERING"
)


@pytest.mark.parametrize(("code", "row"), MATRIX.items())
def test_fix_matrix(code: str, row: str) -> None:
    lines = ("3.26", "3.27", "3.28", "3.29", "3.30", "3.31", "3.32")
    words = {"-": "not affected", "x": "never"}
    wanted = {line: words.get(cell, cell) for line, cell in zip(lines, row.split())}
    assert defects.fixed_in(defects.defect(code)) == wanted


@pytest.mark.parametrize(("code", "release", "affected"), EDGES)
def test_edges_of_affected_ranges(code: str, release: str, affected: bool) -> None:
    codes = {row.code for row in defects.defects_of(parse_release(release))}
    assert (code in codes) is affected


@pytest.mark.parametrize(("code", "numbers"), UPSTREAM.items())
def test_upstream_numbers(code: str, numbers: list[str]) -> None:
    assert set(numbers) <= set(defects.defect(code).upstream)


def test_the_codes_of_the_design_are_there() -> None:
    assert set(DESIGNED.split()) <= {row.code for row in defects.DEFECTS}


def test_codes_are_unique() -> None:
    codes = [row.code for row in defects.DEFECTS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("row", defects.DEFECTS.rows, ids=lambda row: row.code)
def test_every_row_is_sound(row: Defect) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", row.code)
    assert row.severity in ("critical", "warning", "info")
    assert row.seen in ("node", "operation")
    assert row.source
    assert row.remedy
    assert set(row.remedy) <= REMEDIES
    assert not [number for number in row.upstream if not re.fullmatch(r"[\w/-]*#\d+", number)]
    for sentence in (row.title, row.harm, row.advice):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence.startswith(
            ("felix", "calico-node", "bpf", "kube-proxy")
        )
        assert "  " not in sentence
    assert row.affected.overlaps(releases.known_releases())


def test_a_range_that_may_or_may_not_be_affected() -> None:
    row = defects.defect("LOG_FILTER_STALE")
    line = parse_release("3.28")
    assert row in defects.defects_of(line)
    assert not row.affected.covers(line)
    assert row.affected.covers(parse_release("3.28.2"))


def test_a_new_release_inherits_what_nobody_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    line = releases.LINES[-1]._replace(releases=parse_range("3.40"), released=True)
    monkeypatch.setattr(releases, "LINES", (*releases.LINES, line))
    codes = {row.code for row in defects.defects_of(parse_release("3.40.1"))}
    assert "CT_SUPERSEDED" in codes
    assert "CTLB_SEVERED" not in codes
    assert defects.fixed_in(defects.defect("CT_SUPERSEDED"))["3.40"] == "never"
    new = defects.defect("CT_FULL")._replace(code="NEW", affected=parse_range("3.40.0"))
    monkeypatch.setattr(defects, "DEFECTS", defects.DEFECTS.plus(new))
    assert defects.fixed_in(new)["3.40"] == "3.40.1"
    assert defects.defect("NEW") in defects.defects_of(parse_release("3.40.0"))
