# SPDX-License-Identifier: GPL-3.0-or-later
"""After two runs nothing of eBPF mode is there, and all that is not Calico's is as it was."""

from __future__ import annotations

from collections import Counter

from testinfra.host import Host

from tests.observe import switched

SHARED = {"tc", "tc/globals", "tc/eth0_igr", "calico", "calico/sockmap", "calico/xdp"}
OWN = {"neighbours", "lab_agent"}


def test_nothing_of_calico_is_left(host: Host) -> None:
    found = switched.now(host)
    assert switched.calicos(found) == []
    assert {one[len("/sys/fs/bpf/") :] for one in found["directories"]} == SHARED | OWN
    assert found["records"] == []


def test_what_is_foreign_is_as_it_was(host: Host) -> None:
    found = switched.now(host)
    for kind, lines in switched.foreign(host).items():
        mine = [one for one in found[kind] if "/lab_agent/" not in one]
        assert Counter(mine) == lines, kind


def test_qdiscs_stay_where_others_have_filters(host: Host) -> None:
    found = switched.now(host)
    assert set(found["qdiscs"]) == {line.split()[0] for line in found["filters"]} != set()


def test_neighbours_and_pods_go_on(host: Host) -> None:
    before = switched.counters(host)
    number = int(switched.name(host)[len("node") :])
    for pod, other in ((1, number % 7 + 1), (2, (number + 1) % 7 + 1)):
        reach = f"ip netns exec pod{pod} ping -c 1 -W 5 10.65.{other}.2"
        assert host.run(reach).succeeded
        # The connection is refused, but the programs at the cgroup have seen it.
        host.run(f"bash -c 'echo >/dev/udp/10.65.{other}.2/9; echo >/dev/tcp/10.65.{other}.2/9'")
    after = switched.counters(host)
    found = switched.now(host)
    slots = {0, 1, 3, 4, 5}
    slots |= {2} if found["tcx"] else set()
    slots |= {6} if any("cil_sock4_conn" in one for one in found["cgroup"]) else set()
    assert {slot for slot in after if after[slot] > before[slot]} >= slots


def test_check_mode_said_what_the_run_did(host: Host) -> None:
    predicted, done, again = (switched.removed(host, run) for run in range(3))
    assert predicted == done != ""
    assert again == ""
    assert switched.reported(host, 1)["result"] == "changed"
    assert switched.reported(host, 2)["result"] == "ok"
