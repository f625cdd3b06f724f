# SPDX-License-Identifier: GPL-3.0-or-later
"""felix's sweeps as the lab plays them: expiry, automatic doubling; and the init container."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release import GLOBALS
from tests.lab.harness import agent, lab, until

pytestmark = pytest.mark.lab

NODE = "node1"
CT3, CT4 = f"{GLOBALS}cali_v4_ct3", f"{GLOBALS}cali_v4_ct4"
SIZE = "BPFMapSizeConntrack = {}"
FILE = "/var/lib/calico/bpf_ct_map_size"
SYN_ACK, FIN, RST = 0x03, 0x04, 0x08
SECOND = 1_000_000_000


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "1", "--size", "9000", "--release", "3.29.7")
    yield
    lab("down")


@pytest.fixture(autouse=True)
def _no_file() -> Iterator[None]:
    yield
    seen.in_node(NODE, "rm", "-f", FILE)


def _add(
    pin: str, port: int, protocol: int, age: float, legs: tuple[int, int], first: int
) -> bytes:
    """An entry by bpftool; ``first``: age of the first field in seconds, 0: the field is 0."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    key = struct.pack("<I8sHH", protocol, b"\xc6\x12\0\1\xc6\x12\0\2", port, 53)
    value = bytearray(88)
    began = now - first * SECOND if first else 0
    struct.pack_into("<QQ", value, 0, began, now - int(age * SECOND))
    value[40], value[64] = legs
    words = [f"{byte}" for byte in key], [f"{byte}" for byte in value]
    place = ["pinned", pin, "key", *words[0], "value", *words[1]]
    seen.in_node(NODE, "bpftool", "map", "update", *place)
    return key


# protocol, age, bits of both legs, age of the first field; then: gone on 3.29.7, on 3.31.7.
CASES = [
    (17, 61, (0, 0), 100, True, True),
    (17, 55, (0, 0), 100, False, False),
    # Created a moment ago: kept by the releases that store the time of creation.
    (17, 61, (0, 0), 1, False, True),
    (1, 6, (0, 0), 100, True, True),
    (132, 500, (0, 0), 1000, False, False),
    (132, 601, (0, 0), 1000, True, True),
    (6, 21, (1, 0), 100, True, True),
    (6, 3500, (SYN_ACK, SYN_ACK), 0, False, False),
    (6, 3601, (SYN_ACK, SYN_ACK), 0, True, True),
    # An RST that was forgotten by the legs, more than two minutes ago.
    (6, 121, (SYN_ACK, SYN_ACK), 200, False, True),
    (6, 41, (SYN_ACK | RST, SYN_ACK), 100, True, True),
    (6, 35, (SYN_ACK | RST, SYN_ACK), 100, False, False),
    (6, 125, (SYN_ACK | FIN, SYN_ACK | FIN), 0, True, True),
    (6, 125, (SYN_ACK | FIN, SYN_ACK), 0, False, False),
]


@pytest.mark.parametrize(("release", "pin"), [("3.29.7", CT3), ("3.31.7", CT4)])
def test_sweep_drops_what_the_release_calls_expired(release: str, pin: str) -> None:
    seen.fresh(NODE, release, SIZE.format(9000))
    wanted = {}
    for port, (protocol, age, legs, first, *gone) in enumerate(CASES, start=1000):
        key = _add(pin, port, protocol, age, legs, first)
        wanted[key] = gone[release == "3.31.7"]
    seen.configure(NODE, release, SIZE.format(9000), scan="60")
    seen.restart(NODE)
    until(lambda: agent(NODE).get("sweeps"), "the first sweep")
    left = set(seen.dump(NODE, "pinned", pin))
    assert {key: key not in left for key in wanted} == wanted
    assert agent(NODE)["expired"] == sum(wanted.values())


def test_without_scan_nothing_expires() -> None:
    seen.fresh(NODE, "3.29.7", SIZE.format(9000))
    key = _add(CT3, 1, 17, 5000, (0, 0), 5000)
    seen.restart(NODE)
    assert key in seen.dump(NODE, "pinned", CT3)
    assert "sweeps" not in agent(NODE)


def test_halves_of_a_services_flow_go_together() -> None:
    seen.fresh(NODE, "3.31.7", SIZE.format(9000))
    lab("fill", NODE, "20", "--service", "--age", "61")
    seen.configure(NODE, "3.31.7", SIZE.format(9000), scan="60")
    seen.restart(NODE)
    until(lambda: agent(NODE).get("sweeps"), "the first sweep")
    found = seen.dump(NODE, "pinned", CT4)
    # Three of ten flows are UDP; the TCP ones live for an hour.
    assert sorted(key[0] for key in found) == [6] * 14
    assert sum(value[16] == 1 for value in found.values()) == 7


@pytest.mark.parametrize(
    ("release", "pin", "entries", "size"),
    [
        ("3.30.7", CT3, 3840, 8000),
        ("3.30.7", CT3, 3760, 4000),
        ("3.31.7", CT4, 3760, 8000),
        ("3.29.7", CT3, 3840, 4000),
    ],
)
def test_a_full_map_doubles_itself(release: str, pin: str, entries: int, size: int) -> None:
    seen.fresh(NODE, release, SIZE.format(4000))
    lab("fill", NODE, str(entries))
    before = set(seen.dump(NODE, "pinned", pin))
    # LRU maps begin to evict a little before they are full.
    assert len(before) > 3650
    seen.configure(NODE, release, SIZE.format(4000), scan="1")
    seen.restart(NODE)
    until(lambda: (agent(NODE).get("sweeps") or 0) > 1, "the second sweep")
    shown = seen.pins(NODE)
    assert shown[pin]["max_entries"] == size
    assert f"{pin}_old" not in shown
    assert before <= set(seen.dump(NODE, "pinned", pin))
    text = seen.run(NODE, "cat", FILE).stdout
    assert text == (str(size) if size == 8000 else "")


def test_doubling_can_be_switched_off() -> None:
    felix = SIZE.format(1000) + "\nBPFMapSizeConntrackScaling = Disabled"
    seen.fresh(NODE, "3.30.7", felix)
    lab("fill", NODE, "980")
    seen.configure(NODE, "3.30.7", felix, scan="1")
    seen.restart(NODE)
    until(lambda: (agent(NODE).get("sweeps") or 0) > 1, "the second sweep")
    assert seen.pins(NODE)[CT3]["max_entries"] == 1000


def test_size_for_each_cpu() -> None:
    seen.fresh(NODE, "3.30.7", "BPFMapSizePerCPUConntrack = 1000")
    cpus = seen.in_node(NODE, "cat", "/sys/devices/system/cpu/possible").strip()
    count = int(cpus.rpartition("-")[2]) + 1
    assert seen.pins(NODE)[CT3]["max_entries"] == 1000 * count


def test_init_container_takes_the_default_sizes_for_a_moment() -> None:
    felix = SIZE.format(9000) + "\nBPFMapSizeIfState = 1500"
    iface = f"{GLOBALS}cali_iface4"
    seen.fresh(NODE, "3.31.7", felix)
    lab("fill", NODE, "100")
    entries = [seen.dump(NODE, "pinned", pin) for pin in (CT4, iface)]
    before = seen.pins(NODE)
    seen.configure(NODE, "3.31.7", felix, bootstrap="yes")
    # felix alone starts again: the init container does not run.
    seen.restart(NODE)
    assert seen.pins(NODE)[iface]["id"] == before[iface]["id"]
    seen.in_node(NODE, "lab-agent", "stop")
    assert seen.in_node(NODE, "lab-agent", "start") == ""
    shown = seen.pins(NODE)
    # felix throws away the init container's conntrack map and puts the old one back; other
    # maps shrink and grow again.
    assert (shown[CT4]["id"], shown[CT4]["max_entries"]) == (before[CT4]["id"], 9000)
    assert f"{CT4}_old" not in shown
    assert shown[iface]["id"] != before[iface]["id"]
    assert shown[iface]["max_entries"] == 1500
    assert entries[0].keys() <= seen.dump(NODE, "pinned", CT4).keys()
    assert seen.dump(NODE, "pinned", iface) == entries[1]


def test_init_container_shrinks_a_map_that_holds_more_than_the_default() -> None:
    felix = "BPFMapSizeIfState = 3000"
    seen.fresh(NODE, "3.31.7", felix)
    pin = f"{GLOBALS}cali_iface4"
    update = f"map update pinned {pin} key hex %02x %02x 00 10 value hex {'00 ' * 52}"
    script = f"for n in $(seq 1100); do printf '{update}\\n' $((n & 255)) $((n >> 8)); done"
    seen.in_node(NODE, "sh", "-c", f"{script} >/tmp/batch")
    seen.in_node(NODE, "bpftool", "batch", "file", "/tmp/batch")
    seen.configure(NODE, "3.31.7", felix, bootstrap="yes")
    seen.in_node(NODE, "lab-agent", "stop")
    done = seen.run(NODE, "lab-agent", "start")
    assert "init container: cali_iface4: new map cannot hold all the data" in done.stderr
    assert done.returncode == 0
    assert seen.pins(NODE)[pin]["max_entries"] == 3000
