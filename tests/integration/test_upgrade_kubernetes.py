# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook upgrade on a cluster, under traffic, as a manifest and as the operator installed it.

On the manifest's, first a node cannot have the image, and nothing is begun. On both, the first node
does not take the release and goes back, with the operator together with all others; then the
trouble is over, the same command finishes, and once more it changes nothing. The manifest's then
goes all the way back.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import Site, cluster, flows_go_on, wait
from tests.integration.resizing import traffic_is_alive
from tests.lab.harness import agent, lab
from tests.lab.shell import wait_for

pytestmark = [pytest.mark.lab, needs_kubectl]

NODES = ("node1", "node2")
OLD, NEW = "3.30.7", "3.31.7"
TRAFFIC = ("--tcp", "12", "--udp", "6", "--interval", "0.05")
TOGETHER: dict[str, Any] = {"upgrade_allow_operator_roll": True, "calico_serial": "100%"}
"""What an upgrade by the operator needs."""


@pytest.fixture(scope="module", params=["manifest", "operator"])
def install(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site(
    kube_programs: Path, install: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "3", "--size", "60000")
    with cluster(tmp_path_factory, install, OLD, *shape) as made:
        lab("traffic", "start", *TRAFFIC)
        yield made


def play(site: Site, *, fails: bool = False, **variables: Any) -> str:
    return site.play("upgrade", fails=fails, calico_version=f"v{NEW}", **variables)


def tables(node: str) -> set[str]:
    """Names of the conntrack maps that felix sees."""
    names = (path.removeprefix(seen.GLOBALS) for path in seen.pins(node))
    return {name for name in names if re.fullmatch(r"cali_v\d_ct\d", name)}


def releases() -> list[str]:
    return [str(agent(node)["release"]) for node in NODES]


def images(node: str, site: Site) -> set[str]:
    """Images of the release to come that a node lists."""
    listed = site.get("node", node)["status"]["images"]
    return {name for one in listed for name in one["names"] if name.endswith(f":v{NEW}")}


@pytest.mark.parametrize("install", ["manifest"], indirect=True)
def test_a_node_that_cannot_have_the_image_keeps_all_as_they_are(site: Site, install: str) -> None:
    assert install == "manifest"
    uids = [site.uid(node) for node in NODES]
    before = site.get("daemonset", "calico-node", "-n", "kube-system")["spec"]
    lab("cluster", "fault", "no-image", "node2")
    version = {"control_version": f"v{NEW}"}
    dry = site.control(("check", {"control_fields": []}), ("pull", version), check=True)
    assert "node2 does not list docker.io/calico/" in dry, dry
    assert "failed=0" in dry
    said = play(site, fails=True)
    assert "calico_version: node2 cannot pull docker.io/calico/" in said, said
    assert "the lab lets no image be pulled" in said
    lab("cluster", "fault", "no-image", "node2", "--end")
    assert [site.uid(node) for node in NODES] == uids
    assert site.get("daemonset", "calico-node", "-n", "kube-system")["spec"] == before
    assert "bpfops" not in site.kubectl("get", "leases", "-n", "kube-system", "-o", "name")
    assert "bpfops-pull" not in site.kubectl("get", "pods", "-A", "-o", "name")
    kinds = {f"docker.io/calico/{kind}:v{NEW}" for kind in ("cni", "node")}
    assert [images(node, site) for node in NODES] == [kinds, set()]


def heal(site: Site) -> None:
    """The node gets well as soon as the old release is back."""
    for wanted in (f"v{NEW}", f"v{OLD}"):
        is_there = functools.partial(lambda one: tag(site, "node1") == one, wanted)
        wait_for(is_there, 600, f"{wanted} on node1", 1)
    lab("cluster", "fault", "never-ready", "node1", "--end")


def tag(site: Site, node: str) -> str:
    """Of calico-node's image on a node; empty while there is no pod."""
    where = ("-n", site.namespace, "-l", "k8s-app=calico-node")
    found = site.get("pods", *where, f"--field-selector=spec.nodeName={node}")["items"]
    images = [one["spec"]["containers"][0]["image"] for one in found]
    return images[-1].rpartition(":")[2] if images else ""


@pytest.mark.parametrize("install", ["operator"], indirect=True)
def test_the_operator_needs_consent_and_all_nodes(site: Site, install: str) -> None:
    assert install == "operator"
    said = play(site, fails=True)
    assert "upgrade_allow_operator_roll: as soon as one node is begun" in said
    alone = {**TOGETHER, "calico_serial": 1}
    said = play(site, fails=True, **alone)
    assert "take all 2 nodes of the cluster into the run (it has 2), in one batch" in said
    said = play(site, fails=True, **TOGETHER, calico_hosts="node1")
    assert "take all 2 nodes of the cluster into the run (it has 1), in one batch" in said
    assert releases() == [OLD, OLD]


def test_a_node_that_does_not_become_ready_is_taken_back(site: Site, install: str) -> None:
    untouched = site.uid("node2")
    lab("cluster", "fault", "never-ready", "node1")
    healer = threading.Thread(target=heal, args=(site,))
    healer.start()
    soon = {"calico_operator_timeout": 10, "control_health_retries": 20}
    given = {**soon, **(TOGETHER if install == "operator" else {})}
    said = play(site, fails=True, upgrade_allow_unhealthy=True, **given)
    healer.join()
    assert f"so {OLD} runs again" in said
    wait(lambda: releases() == [OLD, OLD], "the old release")
    wait(lambda: all(agent(node)["ready"] for node in NODES), "felix")
    assert install == "operator" or site.uid("node2") == untouched
    lease = site.get("lease", "bpfops-calico", "-n", "kube-system")["spec"]
    assert "holderIdentity" not in lease
    assert [tables(node) for node in NODES] == [{"cali_v4_ct3"}, {"cali_v4_ct3"}]
    flows_go_on(30)


def test_the_same_command_finishes(site: Site, install: str) -> None:
    play(site, upgrade_allow_unhealthy=True, **(TOGETHER if install == "operator" else {}))
    assert releases() == [NEW, NEW]
    assert [tables(node) for node in NODES] == [{"cali_v4_ct4"}, {"cali_v4_ct4"}]
    shown = site.get("daemonset", "calico-node", "-n", site.namespace)["spec"]
    images = [one["image"] for one in shown["template"]["spec"]["containers"]]
    assert [image.rpartition(":")[2] for image in images] == [f"v{NEW}"]
    assert shown["updateStrategy"]["type"] == "RollingUpdate"
    traffic_is_alive(30)
    newest = sorted((site.hosts.parent / "report").glob("upgrade-2*.json"))[-1]
    for node in json.loads(newest.read_text())["nodes"]:
        (table,) = node["details"]["connections"]
        assert table["kept"] > 0


def test_a_second_run_changes_nothing(site: Site, install: str) -> None:
    given = TOGETHER if install == "operator" else {}
    site.again(NODES, "upgrade", calico_version=f"v{NEW}", **given)


@pytest.mark.long
@pytest.mark.parametrize("install", ["manifest"], indirect=True)
def test_the_way_back(site: Site, install: str) -> None:
    assert install == "manifest"
    lab("traffic", "start", *TRAFFIC)
    said = site.play("upgrade", fails=True, calico_version=f"v{OLD}")
    assert "set upgrade_allow_downgrade to true to agree" in said
    assert releases() == [NEW, NEW]
    agreed: dict[str, Any] = {"calico_version": f"v{OLD}", "upgrade_allow_downgrade": True}
    site.play("upgrade", **agreed)
    assert releases() == [OLD, OLD]
    assert [tables(node) for node in NODES] == [{"cali_v4_ct3"}, {"cali_v4_ct3"}]
    site.again(NODES, "upgrade", **agreed)
    traffic_is_alive()
