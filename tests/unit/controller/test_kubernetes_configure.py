# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written to one node's FelixConfiguration, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from tests.unit.controller.kubernetes_objects import (
    Object,
    after,
    by_operator,
    felix,
    pod,
    read,
)

SIZE = "bpfMapSizeConntrack"
BEFORE = "bpfops.calico/before"


def spec(whole: Object, name: str = "node.node1") -> Object | None:
    found = [one for one in whole["configurations"] if one["metadata"]["name"] == name]
    return found[0]["spec"] if found else None


def run(whole: Object, settings: Object) -> Object:
    """The cluster after the settings were written to node1; a second time changes nothing."""
    done = after(whole, steps.configured(whole, "node1", settings)["write"])
    assert steps.configured(done, "node1", settings)["write"] is None
    return done


@pytest.mark.parametrize(
    ("configurations", "settings", "expected", "actions"),
    [
        (
            [],
            {SIZE: 600000},
            {SIZE: 600000},
            [f"Set {SIZE} of FelixConfiguration node.node1 to 600000"],
        ),
        (
            [],
            {SIZE: "600000"},
            {SIZE: 600000},
            [f"Set {SIZE} of FelixConfiguration node.node1 to 600000"],
        ),
        # Nothing is set, and felix's own default is this.
        ([], {SIZE: 512000, "bpfLogLevel": "Off"}, None, []),
        ([felix("default", {SIZE: 600000})], {SIZE: 600000}, None, []),
        (
            [felix("default", {SIZE: 600000})],
            {SIZE: 512000},
            {SIZE: 512000},
            [f"Set {SIZE} of FelixConfiguration node.node1 to 512000"],
        ),
        (
            [felix("node.node1", {SIZE: 5, "nftablesMode": "Auto"})],
            {SIZE: 6},
            {SIZE: 6, "nftablesMode": "Auto"},
            [f"Set {SIZE} of FelixConfiguration node.node1 to 6"],
        ),
        (
            [felix("node.node1", {SIZE: 5})],
            {SIZE: None},
            {},
            [f"Take {SIZE} out of FelixConfiguration node.node1"],
        ),
        (
            [],
            {"bpfEnabled": "false", "bpfLogLevel": "Debug", "bpfLogFilters": "all=udp,eth0=tcp"},
            {"bpfLogLevel": "Debug", "bpfLogFilters": {"all": "udp", "eth0": "tcp"}},
            [
                "Set bpfLogFilters of FelixConfiguration node.node1 to all=udp,eth0=tcp",
                "Set bpfLogLevel of FelixConfiguration node.node1 to Debug",
            ],
        ),
        (
            [],
            {"bpfConnectTimeLoadBalancing": "disabled"},
            {"bpfConnectTimeLoadBalancing": "Disabled"},
            None,
        ),
        (
            [],
            {"bpfExcludeCIDRsFromNAT": "10.0.0.0/8, ::/0"},
            {"bpfExcludeCIDRsFromNAT": ["10.0.0.0/8", "::/0"]},
            None,
        ),
        # Filters are not read without Debug: they may stay where one node cannot take them out.
        (
            [felix("default", {"bpfLogLevel": "Debug", "bpfLogFilters": {"all": "udp"}})],
            {"bpfLogLevel": "Off", "bpfLogFilters": None},
            {"bpfLogLevel": "Off"},
            None,
        ),
    ],
)
def test_settings_are_written(
    configurations: list[Object],
    settings: Object,
    expected: Object | None,
    actions: list[str] | None,
) -> None:
    whole = read(configurations=configurations)
    plan = steps.configured(whole, "node1", settings)
    assert spec(run(whole, settings)) == expected
    if actions is not None:
        assert (plan["write"] or {"actions": []})["actions"] == actions


def test_what_was_there_before_is_remembered_and_comes_back() -> None:
    whole = read(configurations=[felix("node.node1", {SIZE: 5}, {"mine": "yes"})])
    once = run(whole, {SIZE: 6})
    twice = run(run(once, {SIZE: 7}), {"bpfLogLevel": "Debug"})
    note = twice["configurations"][0]["metadata"]["annotations"]
    assert json.loads(note[BEFORE]) == {"created": False, "spec": {SIZE: 5, "bpfLogLevel": None}}
    back = run(run(twice, {SIZE: 5}), {"bpfLogLevel": None})
    assert back == whole


def test_an_object_that_was_made_for_it_goes_again() -> None:
    whole = read()
    there = run(run(whole, {SIZE: 6}), {"bpfLogLevel": "Debug"})
    assert spec(there) == {SIZE: 6, "bpfLogLevel": "Debug"}
    half = run(there, {SIZE: None})
    assert spec(half) == {"bpfLogLevel": "Debug"}
    plan = steps.configured(half, "node1", {"bpfLogLevel": "Off"})
    assert plan["write"]["state"] == "absent"
    assert plan["write"]["preconditions"] == {"uid": "uid-node.node1", "resourceVersion": "7"}
    assert run(half, {"bpfLogLevel": "Off"}) == whole


def test_a_value_that_somebody_has_put_back_is_forgotten() -> None:
    there = run(read(configurations=[felix("node.node1", {SIZE: 5})]), {SIZE: 6})
    there["configurations"][0]["spec"][SIZE] = 5
    plan = steps.configured(there, "node1", {SIZE: 5})["write"]
    assert plan["actions"] == ["Forget what FelixConfiguration node.node1 had before"]
    assert after(there, plan)["configurations"][0]["metadata"]["annotations"] == {}


def test_an_object_that_somebody_else_uses_too_stays() -> None:
    there = run(read(), {SIZE: 6})
    there["configurations"][0]["spec"]["nftablesMode"] = "Auto"
    assert spec(run(there, {SIZE: None})) == {"nftablesMode": "Auto"}


def test_a_write_names_the_version_that_it_read() -> None:
    plan = steps.configured(read(configurations=[felix("node.node1", {})]), "node1", {SIZE: 6})
    assert plan["write"]["definition"]["metadata"]["resourceVersion"] == "7"
    new = steps.configured(read(), "node1", {SIZE: 6})["write"]["definition"]
    assert new["metadata"].keys() == {"name", "annotations"}
    assert (new["apiVersion"], new["kind"]) == ("crd.projectcalico.org/v1", "FelixConfiguration")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"created": 1}', '{"created":1,"spec":3}']
)
def test_odd_annotations_are_as_none(text: str) -> None:
    whole = read(configurations=[felix("node.node1", {SIZE: 5}, {BEFORE: text})])
    assert spec(run(whole, {SIZE: 6})) == {SIZE: 6}


@pytest.mark.parametrize(
    ("parts", "settings", "restarts"),
    [
        ({}, {SIZE: 600000}, True),
        ({}, {SIZE: 512000}, False),
        ({}, {"bpfLogLevel": "off"}, False),
        ({}, {"bpfLogLevel": "debug"}, True),
        ({"pods": [pod("node1", image="calico/node")]}, {"bpfLogLevel": "Off"}, True),
        ({"configurations": [felix("node.node1", {SIZE: 5})]}, {SIZE: None}, True),
        ({"configurations": [felix("node.node1", {SIZE: 512000})]}, {SIZE: None}, False),
        ({"configurations": [felix("default", {SIZE: 5})]}, {SIZE: 5}, False),
    ],
)
def test_felix_restarts_when_its_value_changes(
    parts: Object, settings: Object, restarts: bool
) -> None:
    assert steps.configured(read(**parts), "node1", settings)["restarts"] is restarts


ENVIRONMENT = {"FELIX_BPFENABLED": "true"}


@pytest.mark.parametrize(
    ("parts", "settings", "message"),
    [
        (
            {"pods": [pod("node1", ENVIRONMENT)]},
            {"bpfEnabled": "false"},
            r"bpfEnabled: false in FelixConfiguration node\.node1 would have no effect on node1, "
            r"as FELIX_BPFENABLED=true in the environment of DaemonSet kube-system/calico-node "
            r"outranks it with true; take it out there first\.$",
        ),
        (
            {"pods": [pod("node1", {"FELIX_BPFENABLED": None})]},
            {"bpfEnabled": "true"},
            "FELIX_BPFENABLED=a value from elsewhere in the environment",
        ),
        (
            {
                "configurations": [
                    felix("node.node1", {}, {f"config.projectcalico.org/{SIZE}": "7"})
                ]
            },
            {SIZE: 6},
            f"annotation config.projectcalico.org/{SIZE} of FelixConfiguration node.node1 outranks",
        ),
        (
            {"configurations": [felix("default", {SIZE: 600000})]},
            {SIZE: None},
            r"FelixConfiguration default sets 600000, and felix skips what is empty in node\.node1",
        ),
        (
            {"configurations": [felix("default", {"bpfLogFilters": {"all": "udp"}})]},
            {"bpfLogLevel": "Debug", "bpfLogFilters": None},
            "bpfLogFilters: FelixConfiguration default sets all=udp, and felix skips what is empty",
        ),
        (
            {},
            {"bpfMapSizeConntrackScaling": "Disabled"},
            r"CustomResourceDefinition felixconfigurations\.crd\.projectcalico\.org of this "
            "cluster does not know this field and would drop it",
        ),
        ({}, {SIZE: "many"}, f"{SIZE}: 'many' is not a whole number"),
        ({}, {"bpfEnabled": "maybe"}, "bpfEnabled: 'maybe' is not true or false"),
        (
            {},
            {"bpfLogFilters": "udp"},
            "bpfLogFilters: 'udp' is not a map, or written as key=value",
        ),
        (
            {},
            {"bpfConnectTimeLoadBalancing": "UDP"},
            "bpfConnectTimeLoadBalancing: 'UDP' is not one of TCP, Enabled, Disabled",
        ),
    ],
)
def test_what_felix_would_not_get_is_refused(parts: Object, settings: Object, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        steps.configured(read(**parts), "node1", settings)


def test_a_variable_with_the_wanted_value_does_no_harm() -> None:
    whole = read(pods=[pod("node1", ENVIRONMENT)])
    assert steps.configured(whole, "node1", {"bpfEnabled": True})["write"] is None
    whole["configurations"] = [felix("default", {"bpfEnabled": False})]
    assert steps.configured(whole, "node1", {"bpfEnabled": "true"})["write"] is None


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (read, "add the mount to DaemonSet kube-system/calico-node first"),
        (by_operator, "linuxDataplane of Installation default to BPF first"),
    ],
)
def test_ebpf_mode_without_the_hosts_bpffs_is_refused(make: Any, advice: str) -> None:
    bare = pod("node1")
    bare["spec"]["containers"][0]["volumeMounts"] = []
    with pytest.raises(RefusedError, match=f"does not mount /sys/fs/bpf.*{advice}"):
        steps.configured(make(pods=[bare]), "node1", {"bpfEnabled": "true"})
    assert steps.configured(make(pods=[bare]), "node1", {SIZE: 6})["write"]
