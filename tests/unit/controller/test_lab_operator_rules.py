# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's operator of each release wants, refuses and writes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.cluster import operator_rules as rules
from tests.lab.cluster.operator_rules import ANNOTATION, View

COUNTS = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")


def felix(annotation: str | None = None, **spec: Any) -> dict[str, Any]:
    annotations = {} if annotation is None else {ANNOTATION: annotation}
    return {"metadata": {"name": "default", "annotations": annotations}, "spec": spec}


def view(release: str = "3.29.7", dataplane: str = "BPF", default: Any = None, **more: Any) -> View:
    network = {"linuxDataplane": dataplane, **more.pop("network", {})}
    spec = {"calicoNetwork": network, **more.pop("spec", {})}
    daemon_set, endpoint = more.get("daemon_set"), more.get("endpoint")
    return View(release, spec, default or felix(), daemon_set, endpoint)


def rolled(generation: int = 1, environment: Any = (), **counts: int) -> dict[str, Any]:
    status = {**dict.fromkeys(COUNTS, 2), "observedGeneration": 1, **counts}
    containers = [{"name": "calico-node", "env": list(environment)}]
    spec = {"template": {"spec": {"containers": containers}}}
    return {"metadata": {"generation": generation}, "spec": spec, "status": status}


ENABLED = {"name": "FELIX_BPFENABLED", "value": "true"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (view(), ""),
        (view(spec={"nodeUpdateStrategy": {"type": "RollingUpdate"}}), ""),
        (view(spec={"nodeUpdateStrategy": {"type": "OnDelete"}}), "type OnDelete"),
        (view(network={"bpfNetworkBootstrap": "Enabled"}), ""),
        (view(network={"bpfNetworkBootstrap": "Enabled"}, endpoint={"data": {}}), "exists"),
        (view(dataplane="Iptables", network={"bpfNetworkBootstrap": "Enabled"}), "not BPF"),
        (view(default=felix("true", bpfEnabled=True)), ""),
        (view(default=felix("true", bpfEnabled=False)), "has been modified"),
        (view(default=felix(None, bpfEnabled=True)), "has been modified"),
        (view(default=felix("true")), "has been modified"),
        (view("3.27.3", default=felix(None, bpfEnabled=True)), ""),
    ],
)
def test_refusals(wanted: View, said: str) -> None:
    refusal = rules.refusal(wanted)
    assert said in refusal and bool(said) == bool(refusal)


def test_what_it_owns_of_default() -> None:
    fresh: dict[str, Any] = {"healthPort": 9099, "vxlanVNI": 4096, "vxlanPort": 4789}
    assert rules.before_rollout(view("3.28.5"))["spec"] == fresh
    wanted: dict[str, Any] = {**fresh, "nftablesMode": "Disabled"}
    assert rules.before_rollout(view("3.29.7"))["spec"] == wanted
    own = felix(healthPort=9199, vxlanVNI=1, vxlanPort=2, nftablesMode="Auto")
    assert rules.before_rollout(view("3.31.7", default=own)) == {
        "spec": {"nftablesMode": "Enabled"}
    }
    nftables = view("3.31.7", "Nftables", felix(**wanted))
    assert rules.before_rollout(nftables) == {"spec": {"nftablesMode": "Enabled"}}
    assert rules.before_rollout(view("3.31.7", "Iptables", felix(**wanted))) == {}


def test_the_variable_of_older_operators_becomes_a_field_before_the_pods_change() -> None:
    environment = rolled(environment=[ENABLED])
    change = rules.before_rollout(view("3.28.5", daemon_set=environment))
    assert change["spec"]["bpfEnabled"] is True
    assert change["metadata"]["annotations"] == {ANNOTATION: "true"}
    assert "bpfEnabled" not in rules.before_rollout(view("3.27.3", daemon_set=environment))["spec"]


@pytest.mark.parametrize(
    ("daemon_set", "flips"),
    [
        (None, False),
        (rolled(), True),
        (rolled(generation=2), False),
        (rolled(updatedNumberScheduled=1), False),
        (rolled(numberAvailable=1), False),
    ],
)
def test_nodes_flip_together_after_the_rollout(daemon_set: Any, flips: bool) -> None:
    change = rules.after_rollout(view(daemon_set=daemon_set))
    assert (change.get("spec") == {"bpfEnabled": True}) == flips


def test_switching_off_does_not_wait() -> None:
    enabled = felix("true", bpfEnabled=True)
    change = rules.after_rollout(view(dataplane="Iptables", default=enabled))
    assert change["spec"] == {"bpfEnabled": False}
    assert change["metadata"]["annotations"] == {ANNOTATION: "false"}
    assert rules.after_rollout(view("3.27.3", daemon_set=rolled())) == {}


def names(pod: dict[str, Any]) -> list[str]:
    return [one["name"] for one in pod["initContainers"]]


@pytest.mark.parametrize(
    ("release", "dataplane", "name", "variable"),
    [
        ("3.27.3", "BPF", "mount-bpffs", True),
        ("3.28.5", "BPF", "mount-bpffs", False),
        ("3.30.7", "Iptables", None, False),
        ("3.31.7", "Iptables", "ebpf-bootstrap", False),
    ],
)
def test_daemon_set(release: str, dataplane: str, name: str | None, variable: bool) -> None:
    made = rules.daemon_set(view(release, dataplane))
    pod = made["spec"]["template"]["spec"]
    assert names(pod)[2:] == [name] * bool(name)
    main = pod["containers"][0]
    assert ("bpffs" in [one["name"] for one in main["volumeMounts"]]) == bool(name)
    assert (ENABLED in main["env"]) == variable
    assert main["image"] == f"quay.io/calico/node:v{release}"


def test_daemon_set_takes_the_pace_and_the_endpoint() -> None:
    rolling = {"maxUnavailable": "20%"}
    strategy = {"nodeUpdateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    endpoint = {"data": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}}
    made = rules.daemon_set(view(spec=strategy, endpoint=endpoint))["spec"]
    assert made["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    environment = made["template"]["spec"]["containers"][0]["env"]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"} in environment
