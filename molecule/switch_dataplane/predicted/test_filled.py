# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the first run all kinds of leftovers are there, and check mode has changed nothing."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import switched


def test_every_kind_is_there(host: Host) -> None:
    before = switched.kept(host, "before")
    for kind in ("xdp", "cgroup", "pins", "records", "devices"):
        assert switched.calicos({kind: before[kind]}), kind
    assert switched.calicos({"both": before["filters"] + before["tcx"]})


def test_neighbours_are_there(host: Host) -> None:
    added = switched.foreign(host)
    # tc shows a u32 filter and its table.
    for name, number in (("cil_from_netdev", 3), ("handle_ingress", 3), ("u32", 4)):
        assert sum(name in line for line in added["filters"]) == number
    assert sum("xdp_drop_bad" in line for line in added["xdp"]) == 1
    assert sum("sd_fw" in line for line in added["cgroup"]) == 2
    assert sum(bool(switched.LOOKALIKES.search(line)) for line in added["pins"]) == 7


def test_check_mode_has_changed_nothing(host: Host) -> None:
    assert switched.now(host) == switched.kept(host, "before")
