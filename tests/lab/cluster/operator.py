# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for Tigera's operator, as far as what it owns of calico-node.

The tag of the image of the Deployment tigera-operator is its release, which decides Calico's: to
upgrade, change that tag, as applying the manifest of another operator does.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.lab.cluster import layout, manifests, operator_rules, pod_status
from tests.lab.cluster.api import Api, ApiError, Object
from tests.lab.cluster.operator_rules import View
from tests.lab.settings import from_environment

PAUSE = 0.3  # seconds between two looks at the API
INSTALLATION = "apis/operator.tigera.io/v1/installations/default"
DEPLOYMENT = "apis/apps/v1/namespaces/tigera-operator/deployments/tigera-operator"
ENDPOINT = "api/v1/namespaces/tigera-operator/configmaps/kubernetes-services-endpoint"
DAEMON_SETS = "apis/apps/v1/namespaces/calico-system/daemonsets"
STATUS = "apis/operator.tigera.io/v1/tigerastatuses/calico"


class Operator:
    """Reads everything again each time, as a controller does."""

    def __init__(self, api: Api, felix_api: str) -> None:
        self._api = api
        self._felix = f"apis/{felix_api}/felixconfigurations/default"
        self._written: tuple[str, int] = ("", 0)  # the DaemonSet as rendered, its generation

    def run(self) -> None:
        """For ever."""
        while True:
            try:
                self.reconcile()
            except ApiError as error:
                print(error, file=sys.stderr, flush=True)
            time.sleep(PAUSE)

    def reconcile(self) -> None:
        """One look at what is wanted, and the next step towards it."""
        view = self._view()
        if view is None:
            return
        if refusal := operator_rules.refusal(view):
            self._report(view, refusal)
            return
        self._merge_felix(view, operator_rules.before_rollout(view))
        self._render(view)
        settled = self._view()
        if settled and not operator_rules.refusal(settled):
            self._merge_felix(settled, operator_rules.after_rollout(settled))
            self._report(settled, "")

    def _view(self) -> View | None:
        installation, deployment = self._api.find(INSTALLATION), self._api.find(DEPLOYMENT)
        felix = self._api.find(self._felix)
        if not (installation and deployment and felix):
            return None
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        release = manifests.OPERATORS.get(image.rpartition(":v")[2])
        if release is None:
            return None  # such an image cannot be pulled: no operator runs
        daemon_set = self._api.find(f"{DAEMON_SETS}/calico-node")
        endpoint = self._api.find(ENDPOINT)
        return View(release, installation["spec"], felix, daemon_set, endpoint)

    def _merge_felix(self, view: View, change: Object) -> None:
        """Unless somebody else has written since: then the next look decides anew."""
        if change:
            seen = {"resourceVersion": view.felix["metadata"]["resourceVersion"]}
            metadata = {**change.get("metadata", {}), **seen}
            self._api.merge(self._felix, {**change, "metadata": metadata})

    def _render(self, view: View) -> None:
        """Write the whole DaemonSet when it is not, or no more, what was written last."""
        wanted = operator_rules.daemon_set(view)
        text = json.dumps(wanted, sort_keys=True)
        live = view.daemon_set
        if live and self._written == (text, live["metadata"]["generation"]):
            return
        if live:
            made = self._api.request("PUT", f"{DAEMON_SETS}/calico-node", wanted)
        else:
            made = self._api.request("POST", DAEMON_SETS, wanted)
        self._written = text, made["metadata"]["generation"]

    def _report(self, view: View, refusal: str) -> None:
        done = operator_rules.rolled_out(view.daemon_set)
        shown = {"Available": done, "Progressing": not done, "Degraded": bool(refusal)}
        reasons = {"Degraded": ("ResourceValidationError", refusal)} if refusal else {}
        self._write_status(shown, reasons)
        if not refusal:
            status = {"variant": "Calico", "calicoVersion": f"v{view.release}"}
            self._merge_status(INSTALLATION, status)

    def _write_status(self, shown: dict[str, bool], reasons: dict[str, tuple[str, str]]) -> None:
        found = self._api.find(STATUS)
        if found is None:
            kind = {"apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus"}
            found = self._api.apply(STATUS, {**kind, "metadata": {"name": "calico"}, "spec": {}})
        before = {one["type"]: one for one in (found.get("status") or {}).get("conditions", [])}
        conditions = [
            _condition(kind, value, reasons.get(kind, ("", "")), before.get(kind, {}))
            for kind, value in shown.items()
        ]
        self._merge_status(STATUS, {"conditions": conditions})

    def _merge_status(self, path: str, status: Object) -> None:
        known = (self._api.get(path).get("status")) or {}
        if not pod_status.same(status, known):
            self._api.merge(f"{path}/status", {"status": status})


def _condition(kind: str, value: bool, why: tuple[str, str], before: Object) -> dict[str, Any]:
    reason, message = why
    status = str(value)
    same = before.get("status") == status
    since = before["lastTransitionTime"] if same else pod_status.now()
    words = {"reason": reason or "AllObjectsAvailable", "message": message}
    return {"type": kind, "status": status, **words, "lastTransitionTime": since}


if __name__ == "__main__":
    own = from_environment()
    Operator(Api(layout.kubeconfig(own), agent="operator"), layout.read(own).api).run()
