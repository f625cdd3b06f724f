# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling, dumping and comparing conntrack maps, against what bpftool says."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tests.lab.harness import PIN, call, entries, in_node, lab

pytestmark = pytest.mark.lab

COUNT = 3000
SECOND = 1_000_000_000
ESTABLISHED = 0x03


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "0", "--size", "5000")
    lab("fill", "node1", str(COUNT))
    yield
    lab("down")


def test_fill_makes_valid_fresh_entries() -> None:
    found = entries("node1")
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    protocols = []
    assert len(found) == COUNT
    for key, value in found.items():
        protocol, a, b, port_a, port_b = struct.unpack("<I4s4sHH", key)
        created, last_seen = struct.unpack_from("<QQ", value)
        protocols.append(protocol)
        assert int.from_bytes(a, "little") < int.from_bytes(b, "little")
        for side in (a, b):
            assert IPv4Address(side) in IPv4Network("198.18.0.0/15")
        assert port_a and port_b and value[16] == 0
        assert created <= last_seen <= now
        assert now - last_seen < (330 if protocol == 6 else 40) * SECOND
        legs = value[40], value[64]
        assert all(leg & ESTABLISHED == (ESTABLISHED if protocol == 6 else 0) for leg in legs)
    assert {6: protocols.count(6), 17: protocols.count(17)} == {6: 2100, 17: 900}


def test_count_and_dump_agree_with_bpftool(tmp_path: Path) -> None:
    assert int(lab("count", "node1")) == COUNT
    file = tmp_path / "dump"
    lab("dump", "node1", str(file))
    data = file.read_bytes()
    assert len(data) == COUNT * 104
    records = {data[i : i + 16]: data[i + 16 : i + 104] for i in range(0, len(data), 104)}
    assert records == entries("node1")


def test_compare_reports_every_kind_of_change(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    lab("dump", "node1", str(a))
    gone, forward, anew, backward, other, *_ = entries("node1").items()
    _bpftool("delete", gone[0])
    _update(forward, last_seen=1)
    _update(anew, last_seen=1, created=1)
    _update(backward, last_seen=-1)
    _update(other, leg_bits=0x0C)
    new = struct.pack("<I4s4sHH", 6, bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2]), 1, 2)
    _bpftool("update", new, bytes(88))
    lab("dump", "node1", str(b))
    report = json.loads(lab("compare", str(a), str(b)))
    assert report.pop("examples")["only_in_a"] == [_described(gone[0])]
    assert report == {
        "equal": COUNT - 5,
        "only_in_a": 1,
        "only_in_b": 1,
        "differ": 4,
        "last_seen_forward": 1,
        "recreated": 1,
        "last_seen_backward": 1,
        "last_seen_same": 1,
    }


def test_fill_says_that_the_map_is_full() -> None:
    done = call("fill", "node1", "6000")
    assert done.returncode == 1
    assert "the map is full" in done.stderr


def test_map_of_another_shape_is_refused() -> None:
    in_node("node1", "lab-agent", "stop")
    in_node("node1", "rm", PIN)
    parameters = ["type", "hash", "key", "4", "value", "8", "entries", "1", "name", "odd"]
    in_node("node1", "bpftool", "map", "create", PIN, *parameters)
    done = call("count", "node1")
    assert done.returncode == 1
    assert "has keys of 4 and values of 8 bytes, not 16 and 88" in done.stderr


def _update(
    entry: tuple[bytes, bytes], created: int = 0, last_seen: int = 0, leg_bits: int = 0
) -> None:
    key, value = entry
    times = struct.unpack_from("<QQ", value)
    changed = bytearray(value)
    struct.pack_into("<QQ", changed, 0, times[0] + created, times[1] + last_seen)
    changed[40] |= leg_bits
    _bpftool("update", key, bytes(changed))


def _bpftool(action: str, key: bytes, value: bytes = b"") -> None:
    arguments = ["key", *(f"{byte:#04x}" for byte in key)]
    if value:
        arguments += ["value", *(f"{byte:#04x}" for byte in value)]
    in_node("node1", "bpftool", "map", action, "pinned", PIN, *arguments)


def _described(key: bytes) -> str:
    protocol, a, b, port_a, port_b = struct.unpack("<I4s4sHH", key)
    return f"protocol {protocol} {IPv4Address(a)}:{port_a} {IPv4Address(b)}:{port_b}"
