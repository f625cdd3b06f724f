# SPDX-License-Identifier: GPL-3.0-or-later
"""Where filters go when the agent restarts, connect-time programs, and defects on request."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.lab import pods
from tests.lab.harness import filters, lab, until

pytestmark = pytest.mark.lab

NODE = "node1"
NONE = 0xFFFFFFFF
ATTACH_TYPES = {
    "cgroup_inet4_connect": "connect4",
    "cgroup_inet6_connect": "connect6",
    "cgroup_udp4_sendmsg": "sendmsg4",
    "cgroup_udp6_sendmsg": "sendmsg6",
    "cgroup_udp4_recvmsg": "recvmsg4",
    "cgroup_udp6_recvmsg": "recvmsg6",
}


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "2", "--release", "3.29.7")
    yield
    lab("down")


def _places() -> set[tuple[int, str]]:
    """Preference and handle of every filter; one for each interface and hook."""
    found = filters(NODE)
    assert all(len(one) == 1 for one in found.values())
    return {(one[0][0], one[0][1]) for one in found.values()}


def _cgroup() -> dict[str, Any]:
    text = seen.in_node(NODE, "bpftool", "-j", "cgroup", "show", "/run/calico/cgroup")
    shown = json.loads(text.strip() or "[]")
    return {one["attach_type"]: one for one in shown}


def _log_filter(hook: str = "ingress") -> int:
    (only,) = filters(NODE)[pods.interface(1, 1), hook]
    data = seen.rodata(NODE, only[2])[1]
    at = 56 if len(data) == 220 else 92
    return int(struct.unpack_from("<I", data, at)[0])


def _ping() -> None:
    seen.in_node(NODE, *["ip", "netns", "exec", "pod1", "ping", "-c", "1", "-W", "2", "10.65.1.3"])


@pytest.mark.parametrize(
    ("release", "after_one", "after_two"),
    [
        ("3.27.3", (49151, "0x1"), (49150, "0x1")),
        ("3.27.5", (49152, "0x2"), (49152, "0x1")),
        ("3.28.4", (49152, "0x2"), (49152, "0x1")),
        ("3.28.5", (49152, "0x1"), (49152, "0x1")),
    ],
)
def test_place_of_the_filter_after_restarts(
    release: str, after_one: tuple[int, str], after_two: tuple[int, str]
) -> None:
    seen.fresh(NODE, release)
    assert _places() == {(49152, "0x1")}
    before = filters(NODE)
    for place in (after_one, after_two):
        assert seen.restart(NODE).returncode == 0
        assert _places() == {place}
    programs = [{one[0][2] for one in found.values()} for found in (before, filters(NODE))]
    assert not programs[0] & programs[1]


def test_26_attaches_again_only_without_its_record() -> None:
    seen.fresh(NODE, "3.26.4")
    before = filters(NODE)
    seen.restart(NODE)
    assert filters(NODE) == before
    seen.in_node(NODE, "rm", "-r", "/run/calico/bpf/prog")
    seen.restart(NODE)
    assert _places() == {(49151, "0x1")}


def test_31_uses_filters_when_told() -> None:
    seen.fresh(NODE, "3.31.7", "BPFAttachType = TC")
    assert _places() == {(49152, "0x1")}
    _ping()
    # Going to TCX takes the qdisc away, and everybody's filters with it.
    seen.configure(NODE, "3.31.7")
    seen.restart(NODE)
    assert "clsact" not in seen.in_node(NODE, "tc", "qdisc", "show")
    _ping()


@pytest.mark.parametrize(
    ("release", "felix", "hooks", "after_stop"),
    [
        ("3.26.4", "", 6, 0),
        ("3.28.4", "", 2, 0),
        ("3.29.7", "", 2, 2),
        ("3.31.7", "BPFConnectTimeLoadBalancing = Enabled", 6, 6),
        ("3.32.1", "BPFConnectTimeLoadBalancing = Disabled", 0, 0),
    ],
)
def test_connect_time_links(release: str, felix: str, hooks: int, after_stop: int) -> None:
    seen.fresh(NODE, release, felix)
    _wait_for_hooks(hooks)
    shown = _cgroup()
    assert all(one["attach_flags"] == "multi" for one in shown.values())
    for one in shown.values():
        globals_map, data = seen.rodata(NODE, one["id"])
        assert (globals_map["name"], len(data), data[4]) == ("connect_.rodata", 8, 1)
    if hooks and after_stop:
        pin = "/sys/fs/bpf/ctlb/calico_connect_v4"
        link = ["bpftool", "-j", "link", "show", "pinned", pin]
        before = json.loads(seen.in_node(NODE, *link))
        seen.restart(NODE)
        after = json.loads(seen.in_node(NODE, *link))
        assert (after["id"], after["prog_id"] == before["prog_id"]) == (before["id"], False)
    seen.in_node(NODE, "lab-agent", "stop")
    _wait_for_hooks(after_stop)


def _wait_for_hooks(number: int) -> None:
    """The kernel frees a link after its last descriptor is gone, on a busy machine late."""
    until(lambda: len(_cgroup()) == number, f"{number} programs on the cgroup", 60)


def test_legacy_connect_time_stays_and_is_contagious() -> None:
    seen.fresh(NODE, "3.26.4", defects="legacy_connect_time")
    try:
        seen.in_node(NODE, "lab-agent", "stop")
        left = _cgroup()
        assert len(left) == 6
        assert {one["attach_flags"] for one in left.values()} == {""}
        # A link is refused beside it, so that the next start is legacy again.
        seen.configure(NODE, "3.29.7")
        seen.restart(NODE)
        after = _cgroup()
        assert {one["attach_flags"] for one in after.values()} == {""}
        changed = {kind for kind, one in after.items() if one["id"] != left[kind]["id"]}
        assert changed == {"cgroup_inet4_connect", "cgroup_inet6_connect"}
    finally:
        for kind, one in _cgroup().items():
            place = ["/run/calico/cgroup", ATTACH_TYPES[kind], "id", str(one["id"])]
            seen.in_node(NODE, "bpftool", "cgroup", "detach", *place)


@pytest.mark.parametrize(("release", "stays"), [("3.27.3", True), ("3.28.5", False)])
def test_stale_log_filter(release: str, stays: bool) -> None:
    seen.fresh(NODE, release, defects="stale_log_filter")
    index = _log_filter()
    assert index != NONE
    assert index != _log_filter("egress")
    jump = seen.GLOBALS + ("cali_jump2" if release == "3.27.3" else "cali_jump3")
    assert index not in [int.from_bytes(key, "little") for key in seen.dump(NODE, "pinned", jump)]
    _ping()
    # The level has been off for long; only releases with the repair forget the index.
    seen.configure(NODE, release)
    seen.restart(NODE)
    assert _log_filter() == (index if stays else NONE)
    _ping()


def test_drifted_preference_and_its_persistence() -> None:
    seen.fresh(NODE, "3.29.7", defects="drifted_preference")
    for _ in range(2):
        found = [one for one in filters(NODE).values() if one[0][:2] != (49152, "0x1")]
        assert [[one[0] for one in shown] for shown in found] == [[49150]]
        _ping()
        seen.configure(NODE, "3.29.7")
        seen.restart(NODE)


def test_duplicate_filter_drops_after_the_next_restart() -> None:
    seen.fresh(NODE, "3.29.7", defects="duplicate_filter")
    twice = [one for one in filters(NODE).values() if len(one) == 2]
    assert [[one[0] for one in shown] for shown in twice] == [[49151, 49152]]
    _ping()
    # The one in front stays, and its jump maps have gone with old_jumps.
    seen.configure(NODE, "3.29.7")
    seen.restart(NODE)
    assert [len(one) for one in filters(NODE).values()].count(2) == 1
    done = seen.in_node(NODE, "sh", "-c", "ip netns exec pod1 ping -c1 -W1 10.65.1.3; echo $?")
    assert done.rstrip().endswith("1")


def test_lingering_pins() -> None:
    seen.fresh(NODE, "3.29.7", defects="lingering_old_jumps, old_pin")
    shown = seen.pins(NODE)
    old = {path.rpartition("/")[2] for path in shown if "/old_jumps/" in path}
    assert old == {"cali_jump3", "cali_progs3", "xdp_cali_jump3", "xdp_cali_progs3"}
    pin = seen.GLOBALS + "cali_v4_ct3_old"
    assert (shown[pin]["max_entries"], shown[pin]["bytes_value"]) == (256000, 88)
    assert len(seen.dump(NODE, "pinned", pin)) == 5


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("3.26.4", {"cali_v4_ct2"}),
        (
            "3.28.5",
            {"cali_iface3", "cali_jump2", "cali_progs2", "xdp_cali_jump2", "xdp_cali_progs2"},
        ),
        ("3.30.7", {"cali_counters2"}),
        ("3.31.7", {"cali_counters3", "cali_jump3", "cali_progs3", "cali_v4_ct3"}),
    ],
)
def test_superseded_maps(release: str, names: set[str]) -> None:
    seen.fresh(NODE, release)
    before = set(seen.pins(NODE))
    seen.configure(NODE, release, defects="superseded_map")
    seen.restart(NODE)
    assert set(seen.pins(NODE)) - before == {seen.GLOBALS + name for name in names}


@pytest.mark.parametrize(
    ("release", "defect"),
    [("3.31.7", "duplicate_filter"), ("3.26.4", "stale_log_filter"), ("3.29.7", "haunted")],
)
def test_defect_that_the_release_cannot_show(release: str, defect: str) -> None:
    seen.configure(NODE, release, defects=defect)
    done = seen.restart(NODE)
    assert done.returncode == 1
    wanted = (
        f"lab-agent: defects in /etc/calico/lab-agent.cfg has '{defect}'; release {release} can"
    )
    assert done.stderr.startswith(wanted)
