# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook resize_conntrack on nodes where Calico has left something behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration import lab_release as seen
from tests.integration import resizing
from tests.integration.lab_release import GLOBALS
from tests.integration.resizing import NODE, Load, pin, play
from tests.lab.harness import agent

pytestmark = pytest.mark.lab

AUTOSCALE = "/var/lib/calico/bpf_ct_map_size"
OLD = f"{GLOBALS}cali_v4_ct3_old"


def _felix(size: int) -> None:
    """Have felix itself change the size, as somebody who edits its configuration does."""
    seen.write(NODE, "/etc/calico/felix.cfg", f"[global]\nBPFMapSizeConntrack = {size}\n")
    seen.restart(NODE)


def _option(name: str, value: object) -> tuple[str, str]:
    return "-e", json.dumps({name: value})


def _check(load: Load, size: int, families: str) -> None:
    """Flows and entries are there, in one map of each family."""
    resizing.check_traffic()
    resizing.check_explained(load.end())
    pins = seen.pins(NODE)
    assert {pins[pin(family)]["max_entries"] for family in families} == {size}
    assert not [path for path in pins if path.endswith("_old")]
    assert resizing.no_pins_of_ours()
    assert agent(NODE)["conntrack_map_id"] == pins[pin("4")]["id"]


def test_the_old_pin_that_felix_leaves_in_dual_stack(tmp_path: Path) -> None:
    with resizing.node_of("3.30.7", "46", 100_000) as hosts:
        load = Load("46", tmp_path, rate=0)
        _felix(120_000)
        assert len(seen.dump(NODE, "pinned", OLD)) > resizing.FILLED
        assert "CT_OLD_PIN" in play(hosts, "3.30.7", 150_000, fails=True)
        play(hosts, "3.30.7", 150_000, *_option("conntrack_resize_settle_first", True))
        _check(load, 150_000, "46")
        assert seen.restart(NODE).returncode == 0
        assert seen.pins(NODE)[pin("4")]["max_entries"] == 150_000


def test_several_maps_in_use(tmp_path: Path) -> None:
    """3.31 with a map of 3.30 still pinned: felix's own resize leaves three."""
    with resizing.node_of("3.31.7", "4", 100_000) as hosts:
        seen.configure(NODE, "3.31.7", "BPFMapSizeConntrack = 100000", defects="superseded_map")
        seen.restart(NODE)
        load = Load("4", tmp_path, rate=0)
        seen.configure(NODE, "3.31.7", "BPFMapSizeConntrack = 90000")
        seen.restart(NODE)
        used = agent(NODE)["conntrack_map_id"]
        assert used != seen.pins(NODE)[f"{GLOBALS}cali_v4_ct4"]["id"]
        play(hosts, "3.31.7", 110_000, *_option("conntrack_resize_settle_first", True))
        _check(load, 110_000, "4")


@pytest.mark.parametrize(("release", "says_so"), [("3.27.5", False), ("3.28.1", True)])
def test_a_node_that_is_stuck_goes_back_to_the_compiled_size(
    release: str, says_so: bool, tmp_path: Path
) -> None:
    """Before 3.28 felix reports itself ready all the same."""
    with resizing.node_of(release, "4", 512_000) as hosts:
        load = Load("4", tmp_path, rate=0)
        _felix(100_000)
        assert agent(NODE)["dirty"]
        assert agent(NODE)["ready"] is not says_so
        if says_so:
            assert "healthy" in play(hosts, release, 512_000, fails=True)
        play(hosts, release, 512_000, *_option("conntrack_resize_allow_unhealthy", says_so))
        assert agent(NODE)["dirty"] == []
        _check(load, 512_000, "4")


def test_an_auto_scale_file_of_before_is_lowered(tmp_path: Path) -> None:
    with resizing.node_of("3.30.7", "4", 100_000) as hosts:
        seen.in_node(NODE, "mkdir", "-p", "/var/lib/calico")
        seen.write(NODE, AUTOSCALE, "200000")
        seen.restart(NODE)
        load = Load("4", tmp_path, rate=0)
        assert seen.pins(NODE)[pin("4")]["max_entries"] == 200_000
        assert "CT_AUTOSCALE_FILE" in play(hosts, "3.30.7", 100_000, fails=True)
        play(hosts, "3.30.7", 100_000, *_option("conntrack_resize_autoscale_file", "lower"))
        assert seen.in_node(NODE, "cat", AUTOSCALE).strip() == "100000"
        _check(load, 100_000, "4")
