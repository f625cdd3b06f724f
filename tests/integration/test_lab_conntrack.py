# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling, dumping and comparing conntrack maps, against what bpftool says."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lab_release import GLOBALS, dump
from tests.lab.compare import TOLERANCE
from tests.lab.harness import PIN, call, entries, in_node, lab

pytestmark = pytest.mark.lab

COUNT = 3000
SECOND = 1_000_000_000
ESTABLISHED = 0x03
_BPFTOOL = ("bpftool", "map")


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


# Pins as bpftool makes them: type, bytes of key and value, flags.
MAPS = {
    "cali_v4_ct2": ("hash", 16, 64, 1),
    "cali_v4_ct4": ("lru_hash", 16, 88, 0),
    "cali_v6_ct3": ("hash", 40, 128, 1),
    "cali_v6_ct4": ("lru_hash", 40, 128, 0),
}


@pytest.fixture
def _other_maps() -> Iterator[None]:
    for name, (kind, key, value, flags) in MAPS.items():
        shape = ["type", kind, "key", str(key), "value", str(value), "flags", str(flags)]
        path = f"{GLOBALS}{name}"
        in_node("node1", *_BPFTOOL, "create", path, *shape, "entries", "4000", "name", name)
    yield
    in_node("node1", "rm", *(f"{GLOBALS}{name}" for name in MAPS))


@pytest.mark.parametrize("name", MAPS)
def test_every_version_and_family_is_filled_and_dumped(
    name: str, _other_maps: None, tmp_path: Path
) -> None:
    lab("fill", "node1", "400", "--map", name, "--first", "7", "--age", "30")
    lab("fill", "node1", "20", "--map", f"{GLOBALS}{name}", "--first", "9000", "--service")
    _, key, value, _ = MAPS[name]
    shown = dump("node1", "pinned", f"{GLOBALS}{name}")
    assert int(lab("count", "node1", "--map", name)) == len(shown) == 420
    number = json.loads(in_node("node1", "bpftool", "-j", "map", "show", "pinned", GLOBALS + name))[
        "id"
    ]
    for place in (name, f"id:{number}"):
        lab("dump", "node1", str(tmp_path / "dump"), "--map", place)
        data = (tmp_path / "dump").read_bytes()
        step = key + value
        found = {data[i : i + key]: data[i + key : i + step] for i in range(0, len(data), step)}
        assert found == shown
    about = json.loads((tmp_path / "dump.json").read_text())
    assert (about["map_id"], about["key_size"], about["value_size"]) == (number, key, value)
    for one, entry in shown.items():
        _check_made_up(one, entry, shown)


def _check_made_up(key: bytes, value: bytes, everything: dict[bytes, bytes]) -> None:
    """Sides in Calico's order, one opener at side A or B, a service's halves joined."""
    width = (len(key) - 8) // 2
    words = [
        [int.from_bytes(key[at : at + 4], "little") for at in range(start, start + width, 4)]
        for start in (4, 4 + width)
    ]
    assert words[0] < words[1]
    if value[16] == 1:
        assert everything[value[24 : 24 + len(key)]][16] == 2
        return
    leg, bits = (12, 4) if len(value) == 64 else (24, 16)
    opener = [bool(value[24 + side * leg + bits] & 0x20) for side in (0, 1)]
    assert opener == ([False, True] if value[23] else [True, False])
    # Where orig_ip is: the destination, which is the side that did not open.
    at = {64: 48, 88: 76, 128: 88}[len(value)]
    if value[16] == 0:
        side = key[4 : 4 + width] if value[23] else key[4 + width : 4 + 2 * width]
        assert value[at : at + width] == side


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
    assert report == {
        "equal": COUNT - 5,
        "only_in_a": 1,
        "only_in_b": 1,
        "last_seen_forward": 1,
        "recreated": 1,
        "last_seen_backward": 1,
        "last_seen_same": 1,
        "explained": {"packet": 1},
        "unexplained": 5,
        "differences": report["differences"],
    }
    assert {
        "kind": "only_in_a",
        "why": None,
        "key": gone[0].hex(),
        "flow": _described(gone[0]),
    } in report["differences"]
    every = json.loads(lab("compare", str(a), str(b), "--all"))["differences"]
    assert len(every) == 6
    assert {"packet"} == {one["why"] for one in every if one["kind"] == "last_seen_forward"}


def test_compare_explains_expired_deleted_and_new_entries(tmp_path: Path) -> None:
    a, b, log = tmp_path / "a", tmp_path / "b", tmp_path / "deleted"
    pin = f"{GLOBALS}aged"
    shape = ["type", "hash", "key", "16", "value", "88", "entries", "100", "flags", "1"]
    in_node("node1", *_BPFTOOL, "create", pin, *shape, "name", "aged")
    # Of ten flows, three are UDP: expired after a minute; TCP lives for an hour.
    lab("fill", "node1", "10", "--map", pin, "--age", "61")
    lab("dump", "node1", str(a), "--map", pin)
    tcp = [key for key in dump("node1", "pinned", pin) if key[0] == 6]
    log.write_bytes(struct.pack("<Q16s", time.clock_gettime_ns(time.CLOCK_MONOTONIC), tcp[0]))
    in_node("node1", "rm", pin)
    in_node("node1", *_BPFTOOL, "create", pin, *shape, "name", "aged")
    lab("fill", "node1", "3", "--map", pin, "--age", "0", "--first", "50")
    lab("dump", "node1", str(b), "--map", pin)
    in_node("node1", "rm", pin)
    report = json.loads(lab("compare", str(a), str(b), "--deleted", str(log)))
    assert report["explained"] == {"expired": 3, "deleted": 1, "new": 3}
    assert (report["only_in_a"], report["only_in_b"], report["unexplained"]) == (10, 3, 6)
    assert {one["key"] for one in report["differences"]} == {key.hex() for key in tcp[1:]}


def test_compare_explains_what_was_deleted_while_programs_moved(tmp_path: Path) -> None:
    a, b, log = tmp_path / "a", tmp_path / "b", tmp_path / "deleted"
    lab("dump", "node1", str(a))
    loaded = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    lab("fill", "node1", "3", "--age", "0", "--first", "90000")
    lab("dump", "node1", str(b))
    seen = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    keys = [bytes.fromhex(one["key"]) for one in _all(a, b) if one["kind"] == "only_in_b"]
    times = (seen + 1, seen + 3, seen + 5)
    records = (struct.pack("<Q16s", *one) for one in zip(times, keys, strict=True))
    log.write_bytes(b"".join(records))
    begun = seen + TOLERANCE
    for first, late in ((loaded, 2), (begun + 2, 1), (begun + 4, 0), (0, 0)):
        moved = {"loaded_ns": first, "switched_ns": seen + 2, "ended_ns": seen + 4}
        log.with_name("deleted.json").write_text(json.dumps(moved))
        report = json.loads(lab("compare", str(a), str(b), "--deleted", str(log)))
        assert (report["explained"].get("late", 0), report["unexplained"]) == (late, 3 - late)


def _all(a: Path, b: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lab("compare", str(a), str(b), "--all"))["differences"]
    return found


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
    assert "has keys of 4 and values of 8 bytes; conntrack maps have 16 and 64" in done.stderr


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
