# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a run: ``default`` gets what nodes have, and no value of any node changes by that."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.cluster import (
    cluster,
)
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.effective import (
    own_default,
    setting,
)
from tests.unit.controller.kubernetes_objects import (
    Object,
    after,
    by_operator,
    daemon_set,
    felix,
    installation,
    merged,
    pod,
    read,
)

SIZE = "bpfMapSizeConntrack"
NODES = ("node1", "node2")


def roll(whole: Object, settings: Object, nodes: tuple[str, ...] = NODES) -> Object:
    """The cluster after the settings went to some nodes."""
    for node in nodes:
        whole = after(whole, steps.configured(whole, node, settings)["write"])
    return whole


def end(whole: Object, settings: Object) -> tuple[Object, Object]:
    """What conclude says, and the cluster after it; a second time there is nothing to do."""
    plan = steps.concluded(whole)
    done = after(whole, plan["default"])
    if plan["installation"]:
        network = merged(done["installations"][0], plan["installation"])
        done = {**done, "installations": [network]}
        done = after(done, as_the_operator(done))
    for write in plan["nodes"]:
        done = after(done, write)
    again = steps.concluded(done)
    assert (again["installation"], again["default"], again["nodes"]) == (None, None, [])
    assert values_of(done, settings) == values_of(whole, settings)
    return plan, done


def as_the_operator(whole: Object) -> Object:
    dataplane = whole["installations"][0]["spec"]["calicoNetwork"]["linuxDataplane"]
    spec = {"bpfEnabled": dataplane == "BPF"}
    return {"state": "present", "definition": {"metadata": {"name": "default"}, "spec": spec}}


def values_of(whole: Object, settings: Object) -> list[str | None]:
    values = cluster(whole)
    nodes = [node for node in values.nodes.values() if node.pod]
    return [
        setting(values, node, field).value or own_default(node, field)
        for node, field in itertools.product(nodes, settings)
    ]


def objects(whole: Object) -> Object:
    return {one["metadata"]["name"]: one["spec"] for one in whole["configurations"]}


@pytest.mark.parametrize(
    ("configurations", "settings", "expected"),
    [
        ([], {SIZE: 600000}, {"default": {SIZE: 600000}}),
        (
            [felix("default", {SIZE: 5, "nftablesMode": "Auto"})],
            {SIZE: 600000, "bpfLogLevel": "Debug"},
            {"default": {SIZE: 600000, "bpfLogLevel": "Debug", "nftablesMode": "Auto"}},
        ),
        ([felix("default", {SIZE: 5})], {SIZE: 5}, {"default": {SIZE: 5}}),
        # An operator's own object of a node keeps what he wrote, where that is what felix has then.
        (
            [felix("node.node2", {SIZE: 600000, "nftablesMode": "Auto"})],
            {SIZE: 600000},
            {"default": {SIZE: 600000}, "node.node2": {SIZE: 600000, "nftablesMode": "Auto"}},
        ),
        # What he wrote there would come back, so ours stays.
        (
            [felix("node.node2", {SIZE: 7})],
            {SIZE: 600000},
            {"default": {SIZE: 600000}, "node.node2": {SIZE: 600000}},
        ),
        # To take filters out of default would restart felix everywhere at once.
        (
            [felix("default", {"bpfLogLevel": "Debug", "bpfLogFilters": {"all": "udp"}})],
            {"bpfLogLevel": "Off", "bpfLogFilters": None},
            {"default": {"bpfLogLevel": "Off", "bpfLogFilters": {"all": "udp"}}},
        ),
        ([felix("default", {SIZE: 512000})], {SIZE: 512000}, {"default": {SIZE: 512000}}),
    ],
)
def test_default_takes_over(
    configurations: list[Object], settings: Object, expected: Object
) -> None:
    whole = roll(read(configurations=configurations), settings)
    assert objects(end(whole, settings)[1]) == expected


def test_filters_of_logs_go_node_by_node_as_they_came() -> None:
    debug = {"bpfLogLevel": "Debug", "bpfLogFilters": {"all": "udp"}}
    whole = read(configurations=[felix("default", {SIZE: 5})])
    on = end(roll(whole, {**debug, SIZE: 6}), debug)[1]
    own = {f"node.{node}": debug for node in NODES}
    assert objects(on) == {"default": {SIZE: 6}, **own}
    half = roll(on, {"bpfLogLevel": "Off", "bpfLogFilters": None}, ("node1",))
    assert objects(half) == {"default": {SIZE: 6}, "node.node2": debug}
    off = end(roll(half, {"bpfLogLevel": "Off", "bpfLogFilters": None}), debug)[1]
    assert objects(off) == {"default": {SIZE: 6}}


def test_values_of_before_are_forgotten_where_default_agrees_with_them() -> None:
    there = roll(read(configurations=[felix("node.node1", {SIZE: 600000})]), {SIZE: 7})
    back = roll(there, {SIZE: 600000})
    assert objects(end(back, {SIZE: 600000})[1]) == {
        "default": {SIZE: 600000},
        "node.node1": {SIZE: 600000},
    }


def test_default_stays_until_every_node_has_it() -> None:
    whole = roll(read(), {SIZE: 6}, ("node1",))
    plan, done = end(whole, {SIZE: 6})
    assert done == whole
    assert plan["notes"] == [
        f"FelixConfiguration default keeps its {SIZE}, as nodes differ yet: node1 has 6, "
        "node2 512000."
    ]
    done = end(roll(done, {SIZE: 6}), {SIZE: 6})[1]
    assert objects(done) == {"default": {SIZE: 6}}
    five = roll(read(configurations=[felix("default", {SIZE: 5})]), {SIZE: 6}, ("node1",))
    assert end(five, {SIZE: 6})[1] == five


def test_a_node_that_calico_does_not_run_on_is_not_waited_for() -> None:
    whole = roll(read(pods=[pod("node1")]), {SIZE: 6}, ("node1",))
    assert objects(end(whole, {SIZE: 6})[1]) == {"default": {SIZE: 6}}


def test_a_node_that_is_gone_keeps_its_object() -> None:
    whole = roll(read(), {SIZE: 6})
    whole["nodes"], whole["pods"] = whole["nodes"][:1], whole["pods"][:1]
    plan = steps.concluded(whole)
    assert [one["definition"]["metadata"]["name"] for one in plan["nodes"]] == ["node.node1"]
    assert plan["notes"] == [
        "FelixConfiguration node.node2 is left, as there is no such node.",
    ]


def test_nothing_of_ours_is_nothing_to_do() -> None:
    whole = read(configurations=[felix("node.node1", {SIZE: 6}), felix("node.node2", {SIZE: 6})])
    plan, done = end(whole, {SIZE: 6})
    assert done == whole
    assert plan["notes"] == []


@pytest.mark.parametrize(
    ("network", "wanted", "patch"),
    [
        ({}, "true", {"linuxDataplane": "BPF"}),
        ({"linuxDataplane": "Nftables"}, "true", {"linuxDataplane": "BPF"}),
        ({"linuxDataplane": "BPF"}, "false", {"linuxDataplane": "Iptables"}),
        (
            {"linuxDataplane": "BPF", "bpfNetworkBootstrap": "Enabled"},
            "false",
            {"linuxDataplane": "Iptables", "bpfNetworkBootstrap": "Disabled"},
        ),
        ({"linuxDataplane": "BPF", "bpfNetworkBootstrap": "Enabled"}, "true", None),
    ],
)
def test_the_operator_is_asked_for_the_dataplane(
    network: Object, wanted: str, patch: Object | None
) -> None:
    was = "false" if wanted == "true" else "true"
    whole = by_operator(network=network, configurations=[felix("default", {"bpfEnabled": was})])
    whole = roll(whole, {"bpfEnabled": wanted, SIZE: 6})
    plan = steps.concluded(whole)
    assert plan["notes"] == []
    assert (plan["installation"] or {}).get("spec") == (patch and {"calicoNetwork": patch})
    # The operator refuses to go on when somebody else writes this one.
    assert "bpfEnabled" not in plan["default"]["definition"]["spec"]
    assert plan["default"]["definition"]["spec"] == {SIZE: 6}
    # What comes after it waits until the operator has written default, whoever has told it to.
    assert plan["dataplane"] == ("BPF" if wanted == "true" else "Iptables")
    assert [one["state"] for one in plan["nodes"]] == ["absent", "absent"]


@pytest.mark.parametrize(
    ("network", "default", "awaited"),
    [
        ({"linuxDataplane": "BPF"}, True, None),
        # Somebody else has written default, or it was not written yet.
        ({"linuxDataplane": "Iptables"}, True, "BPF"),
        ({"linuxDataplane": "BPF"}, False, "BPF"),
    ],
)
def test_the_operator_is_waited_for(network: Object, default: bool, awaited: str | None) -> None:
    own = felix("node.node1", {"bpfEnabled": False}), felix("node.node2", {"bpfEnabled": False})
    configurations = [felix("default", {"bpfEnabled": default}), *own]
    whole = by_operator(network=network, configurations=configurations)
    plan = steps.concluded(roll(whole, {"bpfEnabled": "true"}))
    assert plan["dataplane"] == awaited
    assert bool(plan["installation"]) == (network["linuxDataplane"] != "BPF")


def test_an_installation_that_nobody_runs_is_left() -> None:
    """A cluster that was installed by manifest may have one from an earlier life."""
    default = felix("default", {"bpfEnabled": False})
    whole = read(configurations=[default], installations=[installation()])
    plan = steps.concluded(roll(whole, {"bpfEnabled": "true"}))
    assert (plan["dataplane"], plan["installation"]) == (None, None)
    assert plan["default"]["definition"]["spec"] == {"bpfEnabled": True}


def test_the_operator_follows_and_the_objects_go() -> None:
    whole = by_operator(configurations=[felix("default", {"bpfEnabled": False})])
    done = end(roll(whole, {"bpfEnabled": "true"}), {"bpfEnabled": "true"})[1]
    assert objects(done) == {"default": {"bpfEnabled": True}}
    assert done["installations"][0]["spec"]["calicoNetwork"] == {"linuxDataplane": "BPF"}
    assert steps.concluded(done)["dataplane"] is None


def test_what_the_operator_writes_always_is_left_to_it() -> None:
    whole = roll(by_operator(), {"nftablesMode": "Enabled"})
    plan, done = end(whole, {"nftablesMode": "Enabled"})
    assert done == whole
    assert plan["notes"] == [
        "The operator writes nftablesMode of FelixConfiguration default itself."
    ]


def test_kubesprays_variables_are_named() -> None:
    sets = [daemon_set(environment={"CLUSTER_TYPE": "kubespray"})]
    whole = roll(read(daemon_sets=sets), {"bpfLogLevel": "Debug", SIZE: 6})
    assert end(whole, {"bpfLogLevel": "Debug", SIZE: 6})[0]["notes"] == [
        "kubespray writes bpfLogLevel of FelixConfiguration default on each of its runs; set its "
        "calico_bpf_log_level as well."
    ]
