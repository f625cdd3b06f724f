# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's status as kubelet writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.lab.agent.releases import RELEASES
from tests.lab.cluster.api import Object

CALICO_IMAGE = re.compile(r"(?:.*/)?calico/(?:node|cni):v(?P<release>[^:@/]+)\Z")


def release_of(pod: Object) -> str | None:
    """The release that the image of the container calico-node names."""
    for container in pod["spec"]["containers"]:
        found = CALICO_IMAGE.match(container["image"])
        if container["name"] == "calico-node" and found:
            return found["release"]
    return None


def is_unknown(image: str) -> bool:
    """Whether no registry has it: an image of Calico of a release that the lab does not play."""
    found = CALICO_IMAGE.match(image)
    return bool(found and found["release"] not in RELEASES)


def waiting(pod: Object, reason: str, message: str) -> Object:
    """Nothing has started yet."""
    state = {"waiting": {"reason": reason, "message": message}}
    conditions = _conditions(pod, ready=False, reason="ContainersNotReady", message=message)
    containers = [_container(one, state, ready=False) for one in pod["spec"]["containers"]]
    return {"phase": "Pending", "conditions": conditions, "containerStatuses": containers}


def running(pod: Object, address: str, not_ready: str) -> Object:
    """Everything has started; ``not_ready`` is what the readiness probe says, if it fails."""
    started = pod.get("status", {}).get("startTime") or now()
    state = {"running": {"startedAt": started}}
    ready = not not_ready
    reason = "" if ready else "ContainersNotReady"
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": started}}
    init = [_container(one, ended, ready=True) for one in pod["spec"].get("initContainers", [])]
    return {
        "phase": "Running",
        "startTime": started,
        "hostIP": address,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": _conditions(pod, ready=ready, reason=reason, message=not_ready),
        "containerStatuses": [
            _container(one, state, ready=ready) for one in pod["spec"]["containers"]
        ],
        "initContainerStatuses": init,
    }


def same(one: Object, other: Object) -> bool:
    """Whether two statuses say the same; the second may say more."""
    return all(one[key] == other.get(key) for key in one)


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _container(container: Object, state: Object, *, ready: bool) -> Object:
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        "imageID": image,
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }


def _conditions(pod: Object, *, ready: bool, reason: str, message: str) -> list[Object]:
    before = {one["type"]: one for one in pod.get("status", {}).get("conditions", [])}
    wanted = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    found = []
    for kind, is_true in wanted.items():
        status = "True" if is_true else "False"
        condition = {"type": kind, "status": status, "lastTransitionTime": now()}
        if not is_true:
            condition |= {"reason": reason, "message": message}
        known = before.get(kind)
        if known and known["status"] == status:
            condition["lastTransitionTime"] = known["lastTransitionTime"]
        found.append(condition)
    return found
