# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in kubelets of all nodes of a lab, in one process.

The pod of the DaemonSet calico-node that is bound to a node is the node's agent; any other pod is
words in the API alone. No leases, no exec, no logs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.lab import node
from tests.lab.cluster import felix_config, layout, pod_status
from tests.lab.cluster.api import Api, ApiError, Object
from tests.lab.cluster.images import Images
from tests.lab.cluster.node_agent import NodeAgent
from tests.lab.errors import LabError
from tests.lab.settings import Settings, from_environment

PAUSE = 0.25  # seconds between two looks at the API
PROBE = 5.0  # seconds after which felix is asked again, though nothing seems to have changed


class Kubelet:
    """One node's kubelet."""

    def __init__(self, api: Api, one: node.Node, settings: Settings) -> None:
        self.name = one.name
        self._api = api
        self._address = one.address
        self._agent = NodeAgent(one)
        self._fault = layout.faults(settings) / f"never-ready-{one.name}"
        self._images = Images(layout.faults(settings) / f"no-image-{one.name}")
        self._listed: list[Object] = []
        self._uid = ""  # of the pod whose felix runs
        self._trouble = ""  # why felix did not start
        self._probed: tuple[object, float, str] = (None, 0.0, "")

    def register(self) -> None:
        """Make the node, as its kubelet does at its start."""
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        body: Object = {"apiVersion": "v1", "kind": "Node"}
        body["metadata"] = {"name": self.name, "labels": labels}
        path = f"api/v1/nodes/{self.name}"
        known = self._api.apply(path, body, "kubelet")
        self._images.remember(known.get("status", {}).get("images", []))
        resources = {"cpu": "2", "memory": "4Gi", "pods": "110"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        ready |= {"lastHeartbeatTime": pod_status.now(), "lastTransitionTime": pod_status.now()}
        addresses = [
            {"type": "InternalIP", "address": self._address},
            {"type": "Hostname", "address": self.name},
        ]
        status = {"capacity": resources, "allocatable": resources, "addresses": addresses}
        self._api.merge(f"{path}/status", {"status": {**status, "conditions": [ready]}})

    def step(self, pods: list[Object], configurations: list[Object], labels: Object) -> None:
        """Bring the node nearer to what the API wants of it."""
        for pod in pods:
            if not _is_calico(pod):
                self._pretend(pod)
        mine = [pod for pod in pods if _is_calico(pod)]
        self._end(mine)
        alive = [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]]
        if alive:
            newest = max(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
            self._play(newest, configurations, labels)

    def _end(self, pods: list[Object]) -> None:
        """End felix with its pod, be it deleted with a grace period or gone at once."""
        uids = {pod["metadata"]["uid"] for pod in pods}
        leaving = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
        if self._uid and (self._uid not in uids or self._uid in map(_uid, leaving)):
            self._agent.stop()
            self._uid = ""
        for pod in leaving:
            self._delete(pod)

    def _play(self, pod: Object, configurations: list[Object], labels: Object) -> None:
        if said := self._pull(pod):
            self._report(pod, pod_status.waiting(pod, "ImagePullBackOff", said))
            return
        release = pod_status.release_of(pod) or ""
        words = _environment(pod)
        wanted = felix_config.effective(words, configurations, self.name, labels, release)
        self._run_felix(pod, release, felix_config.rendered(wanted))
        self._report(pod, pod_status.running(pod, self._address, self._not_ready()))

    def _run_felix(self, pod: Object, release: str, config: str) -> None:
        try:
            if self._uid == _uid(pod):
                if not self._agent.configure(config) and self._trouble:
                    self._agent.start()
            elif not self._adopt(pod, release, config):
                self._uid = _uid(pod)
                self._agent.begin(release, config)
            self._trouble = ""
        except LabError as error:
            self._trouble = str(error)
            print(f"{self.name}: {error}", file=sys.stderr, flush=True)

    def _adopt(self, pod: Object, release: str, config: str) -> bool:
        """After a restart of the kubelet itself, felix goes on."""
        known = bool(pod.get("status", {}).get("startTime"))
        same = self._agent.release() == release and self._agent.config() == config
        if known and same and self._agent.runs():
            self._uid = _uid(pod)
            return True
        return False

    def _not_ready(self) -> str:
        if self._fault.exists():
            return "The lab lets the readiness probe fail."
        if self._trouble:
            return self._trouble
        stamp = self._agent.stamp()
        before, asked, answer = self._probed
        if stamp != before or time.monotonic() > asked + PROBE:
            answer = self._agent.not_ready()
            self._probed = stamp, time.monotonic(), answer
        return answer

    def _pretend(self, pod: Object) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            self._delete(pod)
        elif said := self._pull(pod):
            self._report(pod, pod_status.waiting(pod, "ImagePullBackOff", said))
        else:
            self._report(pod, pod_status.running(pod, self._address, ""))

    def _pull(self, pod: Object) -> str:
        """Why an image cannot be had; the node lists those that it has."""
        said = self._images.trouble(pod)
        if (listed := self._images.listed()) != self._listed:
            self._api.merge(f"api/v1/nodes/{self.name}/status", {"status": {"images": listed}})
            self._listed = listed
        return said

    def _report(self, pod: Object, status: Object) -> None:
        if not pod_status.same(status, pod.get("status", {})):
            self._api.merge(f"{_path(pod)}/status", {"metadata": _guard(pod), "status": status})

    def _delete(self, pod: Object) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": _uid(pod)}}
        self._api.request("DELETE", _path(pod), options)


class Kubelets:
    """All nodes of a lab: the API is read once for all, each node acts by itself."""

    def __init__(self, settings: Settings) -> None:
        state = layout.read(settings)
        self._api = Api(layout.kubeconfig(settings), agent="kubelet")
        self._felix = f"apis/{state.api}/felixconfigurations"
        self._kubelets = [Kubelet(self._api, one, settings) for one in node.existing(settings)]
        self._busy: dict[str, Future[None]] = {}

    def run(self) -> None:
        """For ever; an API server that is away changes nothing on the nodes."""
        with ThreadPoolExecutor(max_workers=max(1, len(self._kubelets))) as pool:
            for kubelet in self._kubelets:
                kubelet.register()
            while True:
                try:
                    self._look(pool)
                except ApiError as error:
                    print(error, file=sys.stderr, flush=True)
                time.sleep(PAUSE)

    def _look(self, pool: ThreadPoolExecutor) -> None:
        pods = self._api.items("api/v1/pods")
        configurations = self._api.items(self._felix)
        labels = _labels(self._api.items("api/v1/nodes"))
        for kubelet in self._kubelets:
            busy = self._busy.get(kubelet.name)
            if busy and not busy.done():
                continue
            if busy and (error := busy.exception()):
                print(f"{kubelet.name}: {error}", file=sys.stderr, flush=True)
            mine = [pod for pod in pods if pod["spec"].get("nodeName") == kubelet.name]
            known = labels.get(kubelet.name, {})
            self._busy[kubelet.name] = pool.submit(kubelet.step, mine, configurations, known)


def _labels(nodes: Iterable[Object]) -> dict[str, Object]:
    return {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in nodes}


def _is_calico(pod: Object) -> bool:
    return bool(pod["metadata"].get("labels", {}).get("k8s-app") == "calico-node")


def _environment(pod: Object) -> dict[str, str]:
    containers = {one["name"]: one for one in pod["spec"]["containers"]}
    words = containers.get("calico-node", {}).get("env", [])
    return {one["name"]: one["value"] for one in words if "value" in one}


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _guard(pod: Object) -> Object:
    """A patch of another pod of the same name fails."""
    return {"uid": _uid(pod)}


def _path(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


if __name__ == "__main__":
    Kubelets(from_environment()).run()
