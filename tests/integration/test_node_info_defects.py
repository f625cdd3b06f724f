# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info names what releases do to a node: the agent plays their defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as agent
from tests.integration.node_info import ask
from tests.lab.harness import lab

pytestmark = pytest.mark.lab

SIZE = "BPFMapSizeConntrack = 600000"
STARTED = ("3.27.3", "3.29.7", "3.30.7")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Findings by node: sizes changed on two, an upgrade on the third."""
    lab("up", "--nodes", "3", "--pods", "2", "--release", ",".join(STARTED))
    agent.configure("node1", "3.27.3", SIZE)
    agent.restart("node1")
    agent.fresh("node2", "3.29.7", ipv6="yes")
    agent.configure("node2", "3.29.7", SIZE, ipv6="yes")
    agent.restart("node2")
    agent.configure("node3", "3.31.7")
    agent.restart("node3")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield {node: answer["findings"] for node, answer in ask(path).items()}
    lab("down")


def named(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Names of the objects by code."""
    codes: dict[str, list[str]] = {}
    for one in found:
        codes.setdefault(one["code"], []).append(Path(one["object"]).name)
    return codes


def test_a_size_that_3_27_cannot_load(findings: dict[str, Any]) -> None:
    found = named(findings["node1"])
    # The interfaces stay unprogrammed, so the agent keeps the program arrays before, as felix does.
    assert found.pop("JUMPS_LINGERING")
    # They also stay on the map before, while felix looks after the new one.
    assert found == {"CT_SIZE": ["cali_v4_ct3"], "CT_SPLIT": ["cali_v4_ct3"]}
    (size,) = (one for one in findings["node1"] if one["code"] == "CT_SIZE")
    assert size["severity"] == "critical"
    assert "#9651" in size["upstream"]


def test_a_resize_with_ipv6_that_leaves_an_old_pin(findings: dict[str, Any]) -> None:
    assert named(findings["node2"]) == {"CT_OLD_PIN": ["cali_v4_ct3_old"]}


def test_an_upgrade_that_leaves_maps_behind(findings: dict[str, Any]) -> None:
    assert named(findings["node3"]) == {
        "CT_SUPERSEDED": ["cali_v4_ct3"],
        "MAP_SUPERSEDED": ["cali_counters3", "cali_jump3", "cali_progs3"],
    }
