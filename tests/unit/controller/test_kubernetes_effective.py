# SPDX-License-Identifier: GPL-3.0-or-later
"""What felix on a node takes its settings for, by what the API says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.cluster import (
    cluster,
    node_of,
)
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.effective import setting
from tests.unit.controller.kubernetes_objects import daemon_set, felix, pod, read

SIZE = "bpfMapSizeConntrack"
OPTION = "config.projectcalico.org/BPFMapSizeConntrack"
DEFAULT = felix("default", {SIZE: 1})
CHOSEN = felix("zone-a", {"nodeSelector": "zone == 'a'", SIZE: 2}, created="2026-02-01T00:00:00Z")
OLDER = felix("older", {"nodeSelector": "has(zone)", SIZE: 3}, created="2026-01-01T00:00:00Z")
OWN = felix("node.node1", {SIZE: 4})


@pytest.mark.parametrize(
    ("configurations", "environment", "value", "source"),
    [
        ([], {}, None, "felix's own default"),
        ([DEFAULT], {}, "1", "FelixConfiguration default"),
        ([DEFAULT, CHOSEN], {}, "2", "FelixConfiguration zone-a"),
        ([CHOSEN, OLDER, DEFAULT], {}, "3", "FelixConfiguration older"),
        ([CHOSEN, OLDER, OWN], {}, "4", "FelixConfiguration node.node1"),
        ([DEFAULT, felix("node.node2", {SIZE: 9})], {}, "1", "FelixConfiguration default"),
        ([DEFAULT, felix("other", {SIZE: 9})], {}, "1", "FelixConfiguration default"),
        ([DEFAULT, felix("node.node1", {SIZE: None})], {}, "1", "FelixConfiguration default"),
        (
            [OWN],
            {"FELIX_BPFMAPSIZECONNTRACK": "5"},
            "5",
            "FELIX_BPFMAPSIZECONNTRACK=5 in the environment of DaemonSet kube-system/calico-node",
        ),
        (
            [OWN],
            {"felix_bpfMapSizeConntrack": None},
            "a value from elsewhere",
            "felix_bpfMapSizeConntrack=a value from elsewhere in the environment of DaemonSet "
            "kube-system/calico-node",
        ),
        ([OWN], {"FELIX_BPFMAPSIZECONNTRACK": ""}, "4", "FelixConfiguration node.node1"),
        (
            [felix("node.node1", {SIZE: 4}, {OPTION: "6"})],
            {},
            "6",
            f"annotation {OPTION} of FelixConfiguration node.node1",
        ),
        (
            [felix("default", {}, {OPTION.lower(): "6"}), felix("node.node1", {}, {OPTION: ""})],
            {},
            "6",
            f"annotation {OPTION.lower()} of FelixConfiguration default",
        ),
    ],
)
def test_the_strongest_source_wins(
    configurations: list[Any], environment: dict[str, Any], value: str | None, source: str
) -> None:
    values = cluster(read(configurations=configurations, pods=[pod("node1", environment)]))
    assert setting(values, node_of(values, "node1"), SIZE) == (value, source)


@pytest.mark.parametrize(
    ("field", "given", "text"),
    [
        ("bpfEnabled", False, "false"),
        ("bpfLogLevel", "", None),
        ("bpfLogFilters", {"b": "udp", "a": "tcp port 80"}, "a=tcp port 80,b=udp"),
        ("bpfLogFilters", {}, None),
        ("bpfExcludeCIDRsFromNAT", ["10.0.0.0/8", "::/0"], "10.0.0.0/8,::/0"),
    ],
)
def test_values_are_as_felix_gets_them(field: str, given: Any, text: str | None) -> None:
    values = cluster(read(configurations=[felix("default", {field: given})]))
    assert setting(values, node_of(values, "node2"), field).value == text


def test_a_node_that_no_selector_chooses_has_none() -> None:
    values = cluster(read(configurations=[CHOSEN, OLDER]))
    assert setting(values, node_of(values, "node2"), SIZE).value is None


def test_a_selector_that_is_not_understood_is_named() -> None:
    strange = felix("strange", {"nodeSelector": "zone starts with 'a'", SIZE: 2})
    values = cluster(read(configurations=[strange]))
    with pytest.raises(
        RefusedError, match="FelixConfiguration strange, nodeSelector: The selector"
    ):
        setting(values, node_of(values, "node1"), SIZE)


def test_the_pod_counts_and_not_the_daemon_set_that_it_does_not_follow_yet() -> None:
    sets = [daemon_set(environment={"FELIX_BPFMAPSIZECONNTRACK": "5"})]
    leaving = pod("node2", {"FELIX_BPFMAPSIZECONNTRACK": "6"})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    values = cluster(read(daemon_sets=sets, pods=[pod("node1"), leaving]))
    assert setting(values, node_of(values, "node1"), SIZE).value is None
    assert setting(values, node_of(values, "node2"), SIZE).value == "5"
