# SPDX-License-Identifier: GPL-3.0-or-later
"""Rights, kube-proxy, the lease and the image: what the control decides beside felix's settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.control import control
from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from tests.unit.controller.kubernetes_objects import (
    Object,
    installation,
    pod,
    read,
)

V1: Object = {"crd.projectcalico.org/v1": {"FelixConfiguration": {}}}
V3: Object = {"projectcalico.org/v3": {"FelixConfiguration": {}}}
OPERATOR: Object = {"operator.tigera.io/v1": {"Installation": {}}}


@pytest.mark.parametrize(
    ("apis", "felix", "group", "operator"),
    [
        (V1, "crd.projectcalico.org/v1", "crd.projectcalico.org", False),
        ({**V1, **V3, **OPERATOR}, "projectcalico.org/v3", "projectcalico.org", True),
        (
            {
                **V1,
                "projectcalico.org/v3": {"IPPool": {}},
                "operator.tigera.io/v1": {"TigeraStatus": {}},
            },
            "crd.projectcalico.org/v1",
            "crd.projectcalico.org",
            False,
        ),
    ],
)
def test_the_api_of_felix(apis: Object, felix: str, group: str, operator: bool) -> None:
    assert steps.discover(apis) == {"felix": felix, "group": group, "operator": operator}


def test_a_cluster_without_calico_is_refused() -> None:
    with pytest.raises(RefusedError, match="no FelixConfiguration, neither in projectcalico"):
        steps.discover({"v1": {"Pod": {}}})


ASKED = {"group": "projectcalico.org", "operator": True}


def answers(*denied: str) -> list[Object]:
    """What an API says to the reviews that allows all but some resources."""
    asked = steps.rights(ASKED, ["configure", "drain", "lease"])["reviews"]
    found = [one["spec"]["resourceAttributes"] for one in asked]
    return [
        {"status": {"allowed": f"{one['verb']} {one['resource']}" not in denied}} for one in found
    ]


def test_rights_are_asked_once_each_and_name_verb_resource_and_place() -> None:
    asked = steps.rights(ASKED, ["drain", "drain", "lease"])["reviews"]
    found = [one["spec"]["resourceAttributes"] for one in asked]
    assert {"verb": "create", "resource": "pods", "subresource": "eviction"} in found
    assert {
        "verb": "patch",
        "group": "coordination.k8s.io",
        "resource": "leases",
        "namespace": "kube-system",
    } in found
    assert {
        "verb": "list",
        "group": "projectcalico.org",
        "resource": "felixconfigurations",
    } in found
    assert len({json.dumps(one) for one in found}) == len(found)
    verbs = {one["verb"] for one in found if one["resource"] == "felixconfigurations"}
    assert verbs == {"list"}


def test_who_switches_the_dataplane_may_ask_how_the_operator_does() -> None:
    asked = steps.rights(ASKED, ["dataplane"])["reviews"]
    found = [one["spec"]["resourceAttributes"] for one in asked]
    group = "operator.tigera.io"
    assert {"verb": "get", "group": group, "resource": "tigerastatuses"} in found
    assert {"verb": "patch", "group": group, "resource": "installations"} in found
    none = steps.rights({**ASKED, "operator": False}, ["dataplane"])["reviews"]
    assert not any(one["spec"]["resourceAttributes"].get("group") == group for one in none)


def test_missing_rights_are_named_together() -> None:
    asked = ["configure", "drain", "lease"]
    assert steps.permitted(ASKED, asked, answers()) == {}
    with pytest.raises(RefusedError) as caught:
        steps.permitted(ASKED, asked, answers("patch felixconfigurations", "delete leases"))
    assert (
        "this run needs: patch felixconfigurations.projectcalico.org; delete "
        "leases.coordination.k8s.io in namespace kube-system. A ClusterRole" in str(caught.value)
    )
    with pytest.raises(RefusedError, match="list nodes"):
        steps.permitted(ASKED, asked, [{} for _ in answers()])
    with pytest.raises(RefusedError, match="control_steps: fly is none of read, configure"):
        steps.rights(ASKED, ["fly"])


def proxy(selector: Object | None = None, **metadata: Any) -> Object:
    meta = {"name": "kube-proxy", "resourceVersion": "5", **metadata}
    spec = {"nodeSelector": selector} if selector is not None else {}
    return {"metadata": meta, "spec": {"template": {"spec": spec}}}


MANUAL = {"non-calico": "true"}
OF_OPERATOR = {"operator.tigera.io/disable-kube-proxy": "true"}
LINUX = {"kubernetes.io/os": "linux"}


@pytest.mark.parametrize(
    ("selector", "wanted", "change"),
    [
        (None, "started", None),
        (LINUX, "started", None),
        ({"non-calico": "false"}, "started", None),
        ({**LINUX, **MANUAL}, "stopped", None),
        (OF_OPERATOR, "stopped", None),
        (LINUX, "stopped", MANUAL),
        (None, "stopped", MANUAL),
        ({**LINUX, **MANUAL}, "started", {"non-calico": None}),
        (
            {**OF_OPERATOR, **MANUAL},
            "started",
            {"non-calico": None, "operator.tigera.io/disable-kube-proxy": None},
        ),
    ],
)
def test_kube_proxy_by_its_selector(
    selector: Object | None, wanted: str, change: Object | None
) -> None:
    plan = steps.proxy({"daemon_sets": [proxy(selector)], "installations": []}, wanted)
    assert plan["waits"] is True
    if change is None:
        assert plan["patch"] is None
    else:
        assert plan["patch"]["spec"]["template"]["spec"]["nodeSelector"] == change
        assert plan["patch"]["metadata"]["resourceVersion"] == "5"
        assert f"kube-proxy is {wanted} on every node of the cluster" in plan["says"]


def test_kube_proxy_that_is_not_ours() -> None:
    managed = installation(kubeProxyManagement="Enabled")
    both = {"daemon_sets": [proxy()], "installations": [managed]}
    assert steps.proxy(both, "stopped") == {
        "patch": None,
        "waits": False,
        "says": "The operator sees to kube-proxy (kubeProxyManagement).",
    }
    none: Object = {"daemon_sets": [], "installations": []}
    assert steps.proxy(none, "stopped") == {
        "patch": None,
        "waits": False,
        "says": "There is no DaemonSet kube-system/kube-proxy.",
    }
    with pytest.raises(RefusedError, match="no DaemonSet kube-system/kube-proxy that could be st"):
        steps.proxy(none, "started")


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        (
            {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
            "app.kubernetes.io/managed-by: Helm",
        ),
        ({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}, "mode: Reconcile"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "tracking-id: x"),
    ],
)
def test_kube_proxy_that_something_else_writes_is_refused(metadata: Object, key: str) -> None:
    found = {"daemon_sets": [proxy(**metadata)], "installations": []}
    with pytest.raises(RefusedError, match=key):
        steps.proxy(found, "stopped")
    assert steps.proxy(found, "started")["patch"] is None


def status(state: str, message: str = "") -> Object:
    return {"conditions": [{"type": "Ready", "status": state, "message": message}]}


@pytest.mark.parametrize(
    ("pods", "gone", "ready", "says"),
    [
        ([], [], False, "There is no new pod on node1."),
        ([("a", status("True"))], [], True, ""),
        ([("a", status("True"))], ["a"], False, "There is no new pod on node1."),
        ([("a", status("True")), ("b", status("False", "no"))], ["a"], False, "not ready: no."),
        ([("a", {})], [], False, "Pod calico-node-node1 on node1 is not ready."),
        ([("a", status("False")), ("b", status("True"))], [], True, ""),
    ],
)
def test_a_pod_is_ready(
    pods: list[tuple[str, Object]], gone: list[str], ready: bool, says: str
) -> None:
    found = []
    for uid, state in pods:
        one = {**pod("node1"), "status": state}
        one["metadata"] = {**one["metadata"], "uid": uid}
        found.append(one)
    answer = steps.ready(found, "node1", gone)
    assert answer["ready"] is ready
    assert answer["says"].endswith(says)
    for one in found:
        one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert steps.ready(found, "node1")["ready"] is False


def test_the_filter_says_refusals_and_strange_questions_in_a_sentence() -> None:
    with pytest.raises(AnsibleFilterError, match="control: 'tea' is none of concluded, configured"):
        control({}, "tea")
    assert control({}, "discover")["refusal"].startswith("This cluster has no FelixConfiguration")
    assert control(read(), "configured", node="node1", settings={})["write"] is None
