# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade that nobody prepared: what connections lost is put right afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration import lab_release as seen
from tests.integration import resizing
from tests.integration.lab_release import GLOBALS
from tests.integration.resizing import NODE, Load, module
from tests.lab.harness import agent, until

pytestmark = pytest.mark.lab

SIZE = 60_000


def test_the_table_is_merged_after_the_new_release_began_empty(tmp_path: Path) -> None:
    with resizing.node_of("3.30.7", "46", SIZE) as hosts:
        load = Load("46", tmp_path, rate=0)
        _upgrade("3.31.7", "46")
        until(lambda: agent(NODE)["dropped_no_entry"] > 0, "connections to miss their entries")
        resizing.run(module(hosts, "settled", calico_version="v3.31.7"))
        resizing.check_traffic(60, cut=True)
        resizing.check_explained(load.end())
        _check_pins("46", "ct4")


def test_the_maps_that_the_init_container_of_the_new_release_makes(tmp_path: Path) -> None:
    """It makes a table of the default size; felix then leaves programs on one without a pin."""
    with resizing.node_of("3.30.7", "4", SIZE) as hosts:
        load = Load("4", tmp_path, rate=0)
        _upgrade("3.31.7", "4", bootstrap="yes")
        assert agent(NODE)["conntrack_map_id"] != seen.pins(NODE)[f"{GLOBALS}cali_v4_ct4"]["id"]
        settle_first = "-e", json.dumps({"conntrack_resize_settle_first": True})
        resizing.play(hosts, "3.31.7", SIZE, *settle_first)
        resizing.check_traffic(60, cut=True)
        resizing.check_explained(load.end())
        _check_pins("4", "ct4")


def _upgrade(release: str, families: str, **options: str) -> None:
    seen.in_node(NODE, "lab-agent", "stop")
    ipv6 = "yes" if "6" in families else "no"
    seen.configure(NODE, release, f"BPFMapSizeConntrack = {SIZE}", ipv6=ipv6, **options)
    seen.in_node(NODE, "lab-agent", "start")


def _check_pins(families: str, name: str) -> None:
    """One conntrack map of each family is left, which felix and the programs use."""
    pins = seen.pins(NODE)
    tables = {path for path in pins if re.search(r"/cali_v\d_ct\d", path)}
    assert tables == {f"{GLOBALS}cali_v{family}_{name}" for family in families}
    assert resizing.no_pins_of_ours()
    assert agent(NODE)["conntrack_map_id"] == pins[f"{GLOBALS}cali_v4_{name}"]["id"]
