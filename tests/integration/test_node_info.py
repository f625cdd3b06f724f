# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info over ssh on nodes whose agent plays a release of each line: all are healthy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.node_info import ask
from tests.lab.harness import in_node, lab

pytestmark = pytest.mark.lab

RELEASES = ("3.26.4", "3.27.3", "3.28.5", "3.29.7", "3.30.7", "3.31.7", "3.32.1")
NODES = {release: f"node{number}" for number, release in enumerate(RELEASES, 1)}
# 3.28 and 3.29 are alike in most of what the kernel shows.
LINES = {**{one: {one[:4]} for one in RELEASES}, "3.28.5": {"3.28", "3.29"}}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the module says of each node, and the pins before and after."""
    lab("up", "--nodes", str(len(RELEASES)), "--pods", "2", "--release", ",".join(RELEASES))
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    before = {node: state(node) for node in NODES.values()}
    told = ask(path)
    yield {**told, "before": before, "after": {node: state(node) for node in NODES.values()}}
    lab("down")


def state(node: str) -> str:
    """Every pin with its inode and time, and every filter."""
    pins = "find /sys/fs/bpf -printf '%p %i %T@\\n' | sort"
    filters = "for i in /sys/class/net/cali*; do tc filter show dev ${i##*/} ingress; done"
    return in_node(node, "sh", "-c", f"{pins}; {filters}")


@pytest.mark.parametrize("release", RELEASES)
def test_a_healthy_node_has_no_finding(answers: dict[str, Any], release: str) -> None:
    answer = answers[NODES[release]]
    assert answer["findings"] == []
    shown = set(re.findall(r"3\.\d+", answer["release"]))
    assert release[:4] in shown, answer["release_evidence"]
    assert shown <= LINES[release], answer["release_evidence"]
    assert answer["release_contradictions"] == []
    assert not answer["changed"]


@pytest.mark.parametrize("release", RELEASES)
def test_all_of_it_is_calicos(answers: dict[str, Any], release: str) -> None:
    answer = answers[NODES[release]]
    assert {one["owner"] for one in answer["maps"]} == {"calico"}
    workloads = [one for one in answer["interfaces"] if one["workload"]]
    assert len(workloads) == 2
    for interface in workloads:
        hooks = {one["hook"]: one["owner"] for one in interface["programs"]}
        assert hooks == {"ingress": "calico", "egress": "calico"}


def test_looking_changed_nothing(answers: dict[str, Any]) -> None:
    assert answers["before"] == answers["after"]
