# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may work on a cluster: the Lease and its holders."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import lease, steps
from tests.unit.controller.kubernetes_objects import Object

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def held(holder: str | None, renewed: str | None = "2026-11-20T12:00:00.000000Z") -> Object:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": renewed}
    return {"metadata": {"resourceVersion": "9"}, "spec": {k: v for k, v in spec.items() if v}}


@pytest.mark.parametrize(
    ("found", "seconds", "dead"),
    [
        (None, 60, ""),
        (held("me"), 60, ""),
        (held(None), 60, ""),
        (held("other", "2026-11-20T11:59:29.000000Z"), 60, ""),
        (held("other", None), 60, ""),
        (held("other"), 60, "other"),
    ],
)
def test_a_free_lease_is_taken(found: Object | None, seconds: int, dead: str) -> None:
    taken = lease.take(found, "me", seconds, NOW, dead)
    assert taken["spec"]["holderIdentity"] == "me"
    assert taken["spec"]["renewTime"] == "2026-11-20T12:00:30.000000Z"
    assert taken["spec"]["leaseDurationSeconds"] == seconds
    mine = (found or {"spec": {}})["spec"].get("holderIdentity") == "me"
    assert ("acquireTime" in taken["spec"]) is not mine
    assert taken["spec"].get("leaseTransitions") == (None if mine else 1)
    # Whoever took it in the meantime makes the write fail.
    assert taken["metadata"].get("resourceVersion") == ("9" if found else None)


@pytest.mark.parametrize("dead", ["", "third"])
def test_a_lease_that_somebody_holds_is_refused(dead: str) -> None:
    with pytest.raises(RefusedError) as caught:
        lease.take(held("other"), "me", 60, NOW, dead)
    assert "other works on this cluster, and said so 30 s ago" in str(caught.value)
    assert "until 12:01:00 UTC" in str(caught.value)


def test_a_lease_is_renewed_by_its_holder_alone() -> None:
    again = lease.renew(held("me"), "me", 60, NOW)
    assert again["spec"]["renewTime"] == "2026-11-20T12:00:30.000000Z"
    assert "acquireTime" not in again["spec"]
    with pytest.raises(RefusedError, match="was lost to other"):
        lease.renew(held("other"), "me", 60, NOW)


def test_a_lease_is_dropped_by_its_holder_alone() -> None:
    dropped = lease.drop(held("me"), "me")
    assert dropped
    assert dropped["spec"] == {"holderIdentity": None, "renewTime": None, "acquireTime": None}
    assert lease.drop(held("other"), "me") is None
    assert lease.drop(None, "me") is None
    assert steps.lease([held("other")], "drop", "me") == {"definition": None}


def test_each_step_is_its_own() -> None:
    """By the clock of now, at which the other one is dead for long."""
    assert steps.lease([held("other")], "take", "me", 60)["definition"]["spec"]["acquireTime"]
    with pytest.raises(RefusedError, match="was lost to other"):
        steps.lease([held("other")], "renew", "me", 60)
    assert steps.lease([], "take", "me", 60)["definition"]["spec"]["leaseDurationSeconds"] == 60
