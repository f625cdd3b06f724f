# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control tells the roles about a node before they change anything."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from tests.unit.controller.kubernetes_objects import daemon_set, felix, pod, read

SIZE = "bpfMapSizeConntrack"


def test_the_facts_for_the_roles() -> None:
    whole = read(
        configurations=[
            felix("default", {SIZE: 600000, "bpfLogFilters": {"all": "udp"}, "healthPort": 9199}),
        ],
        pods=[pod("node1", {"FELIX_BPFENABLED": None, "FELIX_PROMETHEUSMETRICSPORT": "9092"})],
    )
    fields = [SIZE, "bpfLogFilters", "bpfEnabled", "bpfAttachType"]
    assert steps.facts(whole, "node1", fields, {SIZE: 6}) == {
        "install_kind": "manifest",
        "namespace": "kube-system",
        "release": "3.29.7",
        "operator_release": "",
        "nodes": 1,
        "pod": "calico-node-node1",
        # Without Debug filters are as if they were not set; what a Secret says is not known.
        "found": {SIZE: "600000", "bpfLogFilters": None, "bpfEnabled": None, "bpfAttachType": None},
        "sources": {
            SIZE: "FelixConfiguration default",
            "bpfLogFilters": "FelixConfiguration default",
            "bpfEnabled": "FELIX_BPFENABLED=a value from elsewhere in the environment of DaemonSet "
            "kube-system/calico-node",
            "bpfAttachType": "felix's own default",
        },
        "actions": [f"Set {SIZE} of FelixConfiguration node.node1 to 6"],
        "health_port": 9199,
        "metrics_port": 9092,
    }
    plain = steps.facts(read(), "node1", [], {})
    assert (plain["health_port"], plain["metrics_port"]) == (9099, 9091)
    with pytest.raises(RefusedError, match="outranks it"):
        steps.facts(whole, "node1", [], {"bpfEnabled": "true"})


def test_a_node_without_calicos_pod_is_refused() -> None:
    whole = read(pods=[pod("node2")], daemon_sets=[daemon_set()])
    with pytest.raises(RefusedError, match="no pod of DaemonSet kube-system/calico-node on node1"):
        steps.facts(whole, "node1", [], {})


def test_what_the_api_kept_is_compared() -> None:
    expected = {SIZE: "6", "bpfLogFilters": "a=b", "bpfLogLevel": None}
    assert steps.verified({SIZE: 6, "bpfLogFilters": {"a": "b"}}, "node1", expected) == {}
    with pytest.raises(
        RefusedError, match=rf"node\.node1 has {SIZE} 7 right after it was set to 6"
    ):
        steps.verified({SIZE: 7, "bpfLogFilters": {"a": "b"}}, "node1", expected)
    with pytest.raises(RefusedError, match="bpfLogFilters None right after it was set to a=b"):
        steps.verified({SIZE: 6}, "node1", expected)
