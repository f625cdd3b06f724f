# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a pinned map of another size, release by release, defects included."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.integration import lab_release as seen
from tests.lab import pods
from tests.lab.harness import agent, filters, lab

pytestmark = pytest.mark.lab

NODE = "node1"
CT3, CT4 = seen.GLOBALS + "cali_v4_ct3", seen.GLOBALS + "cali_v4_ct4"
SIZE = "BPFMapSizeConntrack = {}"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "2", "--release", "3.29.7")
    yield
    lab("down")


def _add(pin: str, count: int) -> set[bytes]:
    """Put ``count`` made-up UDP flows of IPv4 into a conntrack map; their keys."""
    keys = {
        struct.pack("<I8sHH", 17, b"\xc6\x12\0\1\xc6\x12\0\2", 1000 + n, 53) for n in range(count)
    }
    for key in keys:
        words = [f"{byte}" for byte in key], ["7", *["0"] * 87]
        seen.in_node(
            NODE, "bpftool", "map", "update", "pinned", pin, "key", *words[0], "value", *words[1]
        )
    return keys


def _entries(pin: str) -> dict[bytes, bytes]:
    return seen.dump(NODE, "pinned", pin)


def _ping() -> None:
    seen.in_node(NODE, *["ip", "netns", "exec", "pod1", "ping", "-c", "1", "-W", "2", "10.65.1.3"])


@pytest.mark.parametrize("release", ["3.26.4", "3.28.2", "3.31.7"])
def test_resize_copies_everything(release: str) -> None:
    pin = CT4 if release == "3.31.7" else CT3
    seen.fresh(NODE, release)
    keys = _add(pin, 3)
    before = seen.pins(NODE)[pin]
    seen.configure(NODE, release, SIZE.format(2000))
    assert seen.restart(NODE).stderr == ""
    after = seen.pins(NODE)[pin]
    assert after["id"] != before["id"]
    assert (after["max_entries"], after["type"]) == (2000, before["type"])
    assert keys <= set(_entries(pin))
    assert f"{pin}_old" not in seen.pins(NODE)
    assert agent(NODE)["dirty"] == []
    _ping()


@pytest.mark.parametrize("release", ["3.27.3", "3.28.1"])
def test_other_size_breaks_the_attachment(release: str) -> None:
    seen.fresh(NODE, release)
    keys = _add(CT3, 2)
    before = filters(NODE)
    seen.configure(NODE, release, SIZE.format(1000))
    done = seen.restart(NODE)
    assert f"couldn't reuse pinned map at '{CT3}': parameter mismatch" in done.stderr
    assert filters(NODE) == before
    names = sorted({interface for interface, _ in before})
    assert (agent(NODE)["dirty"], agent(NODE)["running"]) == (names, True)
    # From 3.28 on the readiness probe tells.
    blind = release == "3.27.3"
    done = seen.run(NODE, "lab-agent", "ready")
    assert (done.returncode == 0, agent(NODE)["ready"]) == (blind, blind)
    assert blind or all(name in done.stderr for name in names)
    # The map has moved, `_old` is gone, and the jump maps of the old programs are kept.
    shown = seen.pins(NODE)
    assert shown[CT3]["max_entries"] == 1000
    assert f"{CT3}_old" not in shown
    assert keys <= set(_entries(CT3))
    assert any("/old_jumps/" in path for path in shown)
    _ping()
    seen.configure(NODE, release)
    assert seen.restart(NODE).stderr == ""
    assert agent(NODE)["dirty"] == []
    assert seen.run(NODE, "lab-agent", "ready").returncode == 0
    assert not any("/old_jumps/" in path for path in seen.pins(NODE))
    _ping()


@pytest.mark.parametrize(("release", "kept"), [("3.30.7", True), ("3.31.7", False)])
def test_dual_stack_forgets_the_old_map_of_ipv4(release: str, kept: bool) -> None:
    pin = CT4 if release == "3.31.7" else CT3
    seen.fresh(NODE, release, ipv6="yes")
    seen.configure(NODE, release, SIZE.format(3000), ipv6="yes")
    seen.restart(NODE)
    shown = seen.pins(NODE)
    assert (f"{pin}_old" in shown) is kept
    assert f"{pin.replace('v4', 'v6')}_old" not in shown
    new = _add(pin, 2)
    seen.restart(NODE)
    # The map from before the resize has come back, without what was added since.
    assert (new <= set(_entries(pin))) is not kept
    assert seen.pins(NODE)[pin]["max_entries"] == 3000


def test_upgrade_to_31_starts_empty_and_leaves_ct3() -> None:
    seen.fresh(NODE, "3.30.7")
    keys = _add(CT3, 2)
    seen.configure(NODE, "3.31.7")
    assert seen.restart(NODE).returncode == 0
    assert keys <= set(_entries(CT3))
    assert not keys & set(_entries(CT4))


def test_too_small_a_map_fails_and_unpins_those_before() -> None:
    seen.fresh(NODE, "3.29.7")
    keys = _add(CT3, 5)
    seen.configure(NODE, "3.29.7", SIZE.format(3))
    done = seen.restart(NODE)
    assert done.returncode == 1
    assert "cali_v4_ct3: new map cannot hold all the data from the old map." in done.stderr
    shown = seen.pins(NODE)
    assert shown[CT3]["max_entries"] == 3
    assert keys <= set(_entries(f"{CT3}_old"))
    assert seen.GLOBALS + "cali_state4" not in shown
    seen.configure(NODE, "3.29.7")
    assert seen.restart(NODE).returncode == 0
    assert keys <= set(_entries(CT3))


def test_downgrade_fails_once() -> None:
    seen.fresh(NODE, "3.31.7")
    seen.configure(NODE, "3.30.7")
    done = seen.restart(NODE)
    assert (done.returncode, done.stderr) == (
        1,
        "lab-agent: cali_v4_ct3: downgrade not supported 4 3.\n",
    )
    assert seen.restart(NODE).returncode == 0


@pytest.mark.parametrize(
    ("release", "scaled", "size"), [("3.30.7", "700000", 700000), ("3.29.7", "700000", 512000)]
)
def test_size_file_counts_from_30_on(release: str, scaled: str, size: int) -> None:
    seen.in_node(NODE, "sh", "-c", f"echo {scaled} >/var/lib/calico/bpf_ct_map_size")
    try:
        seen.fresh(NODE, release)
    finally:
        seen.in_node(NODE, "rm", "/var/lib/calico/bpf_ct_map_size")
    assert seen.pins(NODE)[CT3]["max_entries"] == size


def test_other_maps_keep_their_entries_and_no_old() -> None:
    seen.fresh(NODE, "3.29.7")
    seen.configure(NODE, "3.29.7", "BPFMapSizeIfState = 1500")
    before = seen.dump(NODE, "pinned", seen.GLOBALS + "cali_iface4")
    assert len(before) == len([pods.interface(1, pod) for pod in (1, 2)])
    seen.restart(NODE)
    shown = seen.pins(NODE)
    assert shown[seen.GLOBALS + "cali_iface4"]["max_entries"] == 1500
    assert seen.GLOBALS + "cali_iface4_old" not in shown
    assert seen.dump(NODE, "pinned", seen.GLOBALS + "cali_iface4") == before
