# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a lab's cluster up and down."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass

from tests.lab import cgroup2, node
from tests.lab.cluster import control_plane, crds, layout, manifests
from tests.lab.cluster.control_plane import ControlPlane
from tests.lab.cluster.node_agent import NodeAgent
from tests.lab.errors import LabError
from tests.lab.settings import Settings
from tests.lab.shell import wait_for


@dataclass(frozen=True)
class Wish:
    """What `cluster up` is asked for."""

    install: str = "manifest"
    release: str = "3.29.7"
    native: bool = False
    nodes: bool = True


def up(settings: Settings, wish: Wish) -> ControlPlane:
    """Start a cluster around the nodes of the lab; one that is there is replaced."""
    if wish.nodes:
        _check_nodes(settings)
    programs = control_plane.programs()
    down(settings)
    server, etcd, peer = control_plane.free_ports(3)
    api = "projectcalico.org/v3" if wish.native else "crd.projectcalico.org/v1"
    state = layout.State(wish.install, wish.release, api, server, etcd, peer, str(programs))
    plane = ControlPlane(settings, state)
    try:
        plane.start()
        state.write(settings)
        crds.install(plane.api(), wish.release, wish.install, native=wish.native)
        manifests.install(plane.api(), state)
        if wish.install == "operator":
            plane.spawn_python("operator", "tests.lab.cluster.operator")
        if wish.nodes:
            _start_nodes(settings, plane)
    except BaseException:
        # What the programs said is kept for whoever looks for the reason.
        cgroup2.destroy(control_plane.cgroup(settings))
        raise
    return plane


def down(settings: Settings) -> None:
    """End the cluster and remove its files; fine when there is none. Nodes stay."""
    top = cgroup2.tree(settings)
    if top is not None:
        cgroup2.destroy(top / "cluster")
        with contextlib.suppress(OSError):
            top.rmdir()
    layout.kubeconfig(settings).unlink(missing_ok=True)
    shutil.rmtree(layout.directory(settings), ignore_errors=True)


def _check_nodes(settings: Settings) -> None:
    nodes = node.existing(settings)
    if not nodes or not all(NodeAgent(one).release() for one in nodes):
        raise LabError(
            f"Lab {settings.name!r} has no nodes that play a release; start it by"
            " `up --release R`, or the API alone by `cluster up --no-nodes`."
        )


def _start_nodes(settings: Settings, plane: ControlPlane) -> None:
    """Start the kubelets and wait until calico-node runs the eBPF dataplane on each node."""
    plane.spawn_python("kubelet", "tests.lab.cluster.kubelet")
    place = f"apis/apps/v1/namespaces/{plane.state.namespace}/daemonsets/calico-node"
    nodes = node.existing(settings)

    def ready() -> bool:
        found = plane.api().find(place)
        enabled = ["BPFEnabled = true" in NodeAgent(one).config() for one in nodes]
        return bool(found and found["status"].get("numberReady") == len(nodes) and all(enabled))

    wait_for(ready, 300, f"{len(nodes)} pods calico-node (see {plane.log('kubelet')})", 0.2)


def running(settings: Settings) -> ControlPlane:
    """The cluster that `up` started; LabError when there is none."""
    return ControlPlane(settings, layout.read(settings))
