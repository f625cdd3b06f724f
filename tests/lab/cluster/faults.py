# SPDX-License-Identifier: GPL-3.0-or-later
"""Trouble that a test can make in the cluster, each until it is ended."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.lab import node
from tests.lab.cluster import layout
from tests.lab.cluster.api import Api, ApiError
from tests.lab.cluster.control_plane import ControlPlane
from tests.lab.errors import LabError
from tests.lab.settings import from_environment

PAUSE = 0.2  # seconds between two writes of the conflicting writer
GUARDED = {"app": "guarded"}
DEPLOYMENT = "apis/apps/v1/namespaces/default/deployments/guarded"
BUDGET = "apis/policy/v1/namespaces/default/poddisruptionbudgets/guarded"


def of_node(plane: ControlPlane, kind: str, name: str, *, end: bool) -> None:
    """A fault of a node: ``never-ready``, its readiness probe fails, whatever felix says;
    ``no-image``, it cannot pull what it does not have."""
    node.find(plane.settings, name)
    file = layout.faults(plane.settings) / f"{kind}-{name}"
    if end:
        file.unlink(missing_ok=True)
    else:
        file.touch()


def conflict(plane: ControlPlane, kind: str, change: str, *, end: bool) -> None:
    """Somebody else merges ``change`` (JSON) into an object ``default`` again and again.

    ``kind``: felixconfigurations or installations.
    """
    plane.end("conflict")
    if end:
        return
    try:
        json.loads(change)
    except ValueError as error:
        raise LabError(f"The change is {change!r}; use a merge patch in JSON.") from error
    plane.spawn("conflict", sys.executable, "-m", "tests.lab.cluster.faults", kind, change)


def budget(plane: ControlPlane, *, end: bool) -> None:
    """A pod, and a PodDisruptionBudget that lets nobody evict it."""
    api = plane.api()
    if end:
        for path in (BUDGET, DEPLOYMENT):
            if api.find(path):
                api.request("DELETE", path)
        return
    metadata = {"name": "guarded", "namespace": "default"}
    selector = {"matchLabels": GUARDED}
    containers = [{"name": "guarded", "image": "guarded"}]
    template = {"metadata": {"labels": GUARDED}, "spec": {"containers": containers}}
    made: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    made["spec"] = {"replicas": 1, "selector": selector, "template": template}
    api.apply(DEPLOYMENT, made)
    made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
    made["spec"] = {"minAvailable": 1, "selector": selector}
    api.apply(BUDGET, made)


def _write_for_ever(kind: str, change: dict[str, Any]) -> None:
    settings = from_environment()
    api = Api(layout.kubeconfig(settings), agent="conflicting-writer")
    served = {"felixconfigurations": layout.read(settings).api}
    path = f"apis/{served.get(kind, 'operator.tigera.io/v1')}/{kind}/default"
    while True:
        try:
            api.merge(path, change)
        except ApiError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    _write_for_ever(sys.argv[1], json.loads(sys.argv[2]))
