# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_info against tables that raw bpf(2) has filled by the facts' offsets."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.modules import conntrack_info
from tests.kernel.flows import SYN_ACK, key4, value
from tests.kernel.support import HASH, LRU_HASH, NO_PREALLOC, make, shown
from tests.observe import rawbpf


def report(pins: Path, **params: Any) -> Any:
    """The module's work with the defaults of its options."""
    defaults = {name: spec.get("default") for name, spec in conntrack_info.ARGUMENT_SPEC.items()}
    return conntrack_info.work({**defaults, "pin_dir": str(pins), **params}, False)


@pytest.fixture
def table(pins: Path) -> Path:
    """Ten TCP and five UDP flows, and one Service flow of two entries."""
    fd = make(pins / "cali_v4_ct3", HASH, 1000, key=16, value=88, flags=NO_PREALLOC)
    for port in range(10):
        key = key4(6, "10.0.0.1", 1000 + port, "10.0.0.2", 80)
        rawbpf.put(fd, key, value(idle=5, bits=(SYN_ACK, SYN_ACK)))
    for port in range(5):
        key = key4(17, "10.0.0.3", 53, "10.0.0.9", 2000 + port)
        rawbpf.put(fd, key, value(idle=100, from_b=True))
    reverse = key4(6, "10.0.0.4", 3000, "10.0.0.5", 8080)
    rawbpf.put(fd, reverse, value(idle=5, kind=2, bits=(SYN_ACK, SYN_ACK)))
    forward = bytearray(value(idle=5, kind=1))
    forward[24:40] = reverse
    rawbpf.put(fd, key4(6, "10.0.0.4", 3000, "10.96.0.1", 443), bytes(forward))
    os.close(fd)
    return pins


def test_totals(table: Path) -> None:
    result = report(table, calico_version="3.29.7")
    assert result.facts["release"] == "3.29.7"
    (found,) = result.facts["tables"]
    assert (found["family"], found["entries"], found["max_entries"]) == ("ipv4", 17, 1000)
    assert found["by_protocol"] == {"tcp": 12, "udp": 5}
    assert found["by_type"] == {"NAT_FWD": 1, "NAT_REV": 1, "NORMAL": 15}
    assert found["by_tcp_state"] == {"ESTABLISHED": 11}
    assert {b["below_seconds"]: b["entries"] for b in found["idle"] if b["entries"]} == {
        10: 12,
        300: 5,
    }
    # UDP entries idle for more than 60 s are expired; TCP has most of an hour left.
    left = {b["below_seconds"]: b["entries"] for b in found["remaining_life"] if b["entries"]}
    assert left == {1: 5, 3600: 11}
    # The UDP flows were begun by side B, and a NAT_FWD entry begins no flow of its own.
    assert found["top_sources"] == [
        {"address": "10.0.0.1", "flows": 10},
        {"address": "10.0.0.9", "flows": 5},
        {"address": "10.0.0.4", "flows": 1},
    ]
    assert found["top_sources_exact"]


@pytest.mark.parametrize(
    ("query", "matched"),
    [
        ({}, 17),
        ({"protocol": "udp"}, 5),
        ({"protocol": "17"}, 5),
        ({"address": "10.0.0.1"}, 10),
        ({"address": "10.0.0.1", "port": "80"}, 0),
        ({"address": "10.0.0.2", "port": "80"}, 10),
        ({"port": "3000"}, 2),
        ({"port": "3000", "types": ["NAT_FWD"]}, 1),
        ({"types": ["NAT_REV", "NAT_FWD"]}, 2),
        ({"address": "2001:db8::1"}, 0),
    ],
)
def test_selection(table: Path, query: dict[str, Any], matched: int) -> None:
    (found,) = report(table, calico_version="3.29", limit=3, **query).facts["tables"]
    assert found["matched"] == matched
    assert len(found["selected"]) == min(3, matched)


def test_a_service_flow_decoded(table: Path) -> None:
    params = {"calico_version": "3.29", "limit": 5, "port": "443"}
    (found,) = report(table, **params).facts["tables"]
    (entry,) = found["selected"]
    assert (entry["type"], entry["protocol"]) == ("NAT_FWD", "tcp")
    assert entry["source"] == "10.0.0.4:3000"
    assert entry["service"] == "10.96.0.1:443"
    assert entry["destination"] == "10.0.0.5:8080"
    assert 5 <= entry["idle_seconds"] < 60


def test_ipv6_and_families(pins: Path) -> None:
    make(pins / "cali_v4_ct4", LRU_HASH, 100, key=16, value=88)
    fd = make(pins / "cali_v6_ct4", LRU_HASH, 100, key=40, value=128)
    ends = (socket.inet_pton(socket.AF_INET6, text) for text in ("2001:db8::1", "2001:db8::2"))
    rawbpf.put(fd, struct.pack("<I16s16sHH", 17, *ends, 1, 2), value(idle=1).ljust(128, b"\0"))
    both = report(pins, calico_version="3.31.7", limit=1).facts["tables"]
    assert [(one["family"], one["entries"]) for one in both] == [("ipv4", 0), ("ipv6", 1)]
    assert both[1]["selected"][0]["source"] == "[2001:db8::1]:1"
    (only,) = report(pins, calico_version="3.31.7", families=["ipv6"]).facts["tables"]
    assert only["family"] == "ipv6"


def test_timeouts_that_felix_was_given(table: Path) -> None:
    params = {"calico_version": "3.29", "timeouts": {"udp": 1000, "icmp": None}}
    (found,) = report(table, **params).facts["tables"]
    left = {b["below_seconds"]: b["entries"] for b in found["remaining_life"] if b["entries"]}
    assert left == {1800: 5, 3600: 11}


def test_a_survey_changes_nothing(table: Path) -> None:
    before = (shown(table / "cali_v4_ct3"), (table / "cali_v4_ct3").stat().st_mtime_ns)
    report(table, calico_version="3.29", limit=5)
    assert (shown(table / "cali_v4_ct3"), (table / "cali_v4_ct3").stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"calico_version": "three"}, "calico_version: 'three' is not a Calico version"),
        ({"calico_version": "2.1"}, "calico_version: '2.1' is not among the releases"),
        ({"protocol": "tcpp"}, "protocol: 'tcpp' is neither a number"),
        ({"address": "10.0.0.300"}, "address: '10.0.0.300' is no IPv4 or IPv6 address or"),
        ({"port": "0"}, "port: '0' is no port from 1 to 65535, nor a range"),
        (
            {"protocol": "icmp", "port": "5"},
            "port: '5' goes with tcp and udp, and icmp has no ports",
        ),
        ({"limit": -1}, "limit: -1 is not"),
        ({"timeouts": {"udp": -1}}, "timeouts.udp: -1 is not"),
        ({"pin_dir": "relative"}, "pin_dir: 'relative' is relative"),
        ({"pin_dir": "/proc"}, "pin_dir: '/proc' is not on a bpffs"),
    ],
)
def test_bad_input(table: Path, params: dict[str, Any], expected: str) -> None:
    with pytest.raises(errors.BpfopsError) as caught:
        report(table, **{"calico_version": "3.29", **params})
    assert expected in str(caught.value)


def test_a_map_of_another_layout_is_refused(pins: Path) -> None:
    make(pins / "cali_v4_ct3", HASH, 10, key=16, value=64)
    assert report(pins, calico_version="3.29").facts["tables"][0]["entries"] == 0
    make(pins / "cali_v6_ct3", HASH, 10, key=40, value=96)
    with pytest.raises(errors.RefusedError, match="40 and values of 96 bytes has no known layout"):
        report(pins, calico_version="3.29")


def test_what_an_earlier_release_left_behind_misleads_nobody(table: Path) -> None:
    make(table / "cali_v4_ct4", LRU_HASH, 512000, key=16, value=88)
    result = report(table)
    assert result.facts["release"].startswith("3.31 to ")
    assert result.warnings == ()
    assert [Path(one["path"]).name for one in result.facts["tables"]] == [
        "cali_v4_ct3",
        "cali_v4_ct4",
    ]


def test_a_stated_release_that_the_pins_contradict(table: Path) -> None:
    result = report(table, calico_version="3.31.7")
    assert result.facts["release"] == "3.31.7"
    assert "calico_version is 3.31.7, but the kernel shows 3.26 to 3.30" in result.warnings


def test_a_map_of_an_unknown_version_is_refused(pins: Path) -> None:
    make(pins / "cali_v4_ct5", LRU_HASH, 10, key=16, value=88)
    with pytest.raises(errors.RefusedError, match="cali_v4_ct5 is a conntrack map of a version"):
        report(pins, calico_version="3.32")


def test_a_node_without_tables(pins: Path) -> None:
    assert report(pins, calico_version="3.29").facts["tables"] == []


@pytest.mark.parametrize(
    ("others", "release"),
    [
        ([], "3.26 to 3.30"),
        ([("cali_counters2", 5, 8, 112, 20000, 0)], "3.26 to 3.29"),
        (
            [("cali_counters2", 5, 8, 112, 20000, 0), ("cali_iface4", 1, 4, 52, 1000, 1)],
            "3.28 to 3.29",
        ),
        ([("cali_counters3", 5, 8, 136, 20000, 0)], "3.30"),
        ([("cali_iface3", 1, 4, 40, 1000, 1)], "3.27"),
    ],
)
def test_release_is_told_from_the_pins(
    table: Path, others: list[tuple[str, int, int, int, int, int]], release: str
) -> None:
    for name, kind, key, size, entries, flags in others:
        make(table / name, kind, entries, key=key, value=size, flags=flags)
    result = report(table)
    assert result.facts["release"] == release
    assert any("cali_v4_ct3" in sentence for sentence in result.facts["release_evidence"]) or others
    sure = release not in ("3.26 to 3.30", "3.26 to 3.29")
    assert bool(result.facts["tables"][0]["remaining_life"]) == sure
    assert bool(result.warnings) != sure
