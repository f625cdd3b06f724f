# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays behind when BPF is switched off, release by release."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration import lab_release as seen
from tests.lab.harness import agent, filters, lab

pytestmark = pytest.mark.lab

NODE = "node1"
OFF = "BPFEnabled = false"
RELEASES = ["3.26.4", "3.27.3", "3.27.5", "3.28.1", "3.28.5", "3.29.4", "3.30.7", "3.31.7"]
FIXED = {"3.28.5", "3.30.7", "3.31.7"}


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "2", "--size", "9000", "--release", "3.29.7")
    yield
    lab("down")


def _connect_time() -> list[dict[str, object]]:
    """Programs at the node's cgroup; bpftool prints nothing when there is none."""
    shown = seen.in_node(NODE, "bpftool", "-j", "cgroup", "show", "/run/calico/cgroup")
    return [
        one
        for one in json.loads(shown.strip() or "[]")
        if one.get("name", "").startswith("calico_")
    ]


def _pins() -> set[str]:
    return {
        path
        for path in seen.in_node(NODE, "find", "/sys/fs/bpf", "-type", "f").split()
        if path.rpartition("/")[2].startswith(("cali_", "calico_", "xdp_cali_"))
    }


@pytest.mark.parametrize("release", RELEASES)
def test_filters_and_pins_go(release: str) -> None:
    seen.fresh(NODE, release)
    assert _pins()
    seen.configure(NODE, release, OFF)
    done = seen.restart(NODE)
    assert (done.returncode, done.stderr) == (0, "")
    state = agent(NODE)
    assert (state["running"], state["interfaces"], state["conntrack_map_id"]) == (True, [], None)
    assert not any(filters(NODE).values())
    assert "clsact" not in seen.in_node(NODE, "tc", "qdisc", "show")
    assert seen.run(NODE, "ls", "/sys/fs/bpf/tcx").returncode == 2
    left = {path.rpartition("/")[2] for path in _pins()}
    # Release 3.27 before .4 does not know the names of its own XDP maps.
    assert left == ({"xdp_cali_progs2", "xdp_cali_jump2"} if release == "3.27.3" else set())
    seen.in_node(NODE, *["ip", "netns", "exec", "pod1", "ping", "-c", "1", "-W", "2", "10.65.1.3"])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("release", RELEASES)
def test_connect_time_programs_stay_in_some_releases(release: str, legacy: bool) -> None:
    options = {"defects": "legacy_connect_time"} if legacy else {}
    seen.fresh(NODE, release, **options)
    try:
        assert _connect_time()
        seen.configure(NODE, release, OFF)
        assert seen.restart(NODE).returncode == 0
        # Links that are not pinned end with felix; what is attached the old way does not.
        assert bool(_connect_time()) is (legacy and release not in FIXED)
    finally:
        for one in _connect_time():
            place = ["/run/calico/cgroup", str(one["attach_type"]), "id", str(one["id"])]
            seen.in_node(NODE, "bpftool", "cgroup", "detach", *place)


def test_switched_on_again() -> None:
    seen.fresh(NODE, "3.31.7")
    seen.configure(NODE, "3.31.7", OFF)
    seen.restart(NODE)
    seen.configure(NODE, "3.31.7")
    assert seen.restart(NODE).stderr == ""
    assert len(agent(NODE)["interfaces"]) == 2
