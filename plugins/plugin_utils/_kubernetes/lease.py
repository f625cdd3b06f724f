# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on a cluster: a Lease of coordination.k8s.io/v1."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ...module_utils._errors import RefusedError
from .cluster import Object
from .rights import LEASE_NAMESPACE

NAME = "bpfops-calico"
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def take(
    lease: Object | None, holder: str, seconds: int, now: datetime, dead: str = ""
) -> Mapping[str, Any]:
    """The Lease as ours. ``dead``: a holder that is known to have ended.

    Raises RefusedError while somebody else holds it.
    """
    spec = (lease or {}).get("spec") or {}
    other = spec.get("holderIdentity") or ""
    if other not in ("", holder, dead):
        until = ends(spec)
        if until > now:
            raise RefusedError(
                f"Lease {LEASE_NAMESPACE}/{NAME}: {other} works on this cluster, and said so "
                f"{_ago(spec, now)} s ago; wait until it is done, or until {until:%H:%M:%S} UTC "
                "when it has died."
            )
    return _lease(lease, {**_held(holder, seconds, now), **_taken(other, holder, spec, now)})


def renew(lease: Object | None, holder: str, seconds: int, now: datetime) -> Mapping[str, Any]:
    """The Lease with a new time. Raises RefusedError when somebody else has it by now."""
    spec = (lease or {}).get("spec") or {}
    other = spec.get("holderIdentity") or ""
    if other not in ("", holder):
        raise RefusedError(
            f"Lease {LEASE_NAMESPACE}/{NAME} was lost to {other}: this run was silent for longer "
            "than calico_lease_seconds; let the other one end, and run again."
        )
    return _lease(lease, {**_held(holder, seconds, now), **_taken(other, holder, spec, now)})


def drop(lease: Object | None, holder: str) -> Mapping[str, Any] | None:
    """The Lease without a holder; None when it is not ours."""
    spec = (lease or {}).get("spec") or {}
    if spec.get("holderIdentity") != holder:
        return None
    return _lease(lease, {"holderIdentity": None, "renewTime": None, "acquireTime": None})


def ends(spec: Mapping[str, Any]) -> datetime:
    """When a holder that says no more counts for dead."""
    renewed = spec.get("renewTime") or spec.get("acquireTime")
    if not renewed:
        return datetime.min.replace(tzinfo=timezone.utc)
    return _time(renewed) + timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _ago(spec: Mapping[str, Any], now: datetime) -> int:
    return max(0, int((now - _time(spec.get("renewTime") or spec["acquireTime"])).total_seconds()))


def _held(holder: str, seconds: int, now: datetime) -> dict[str, Any]:
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": seconds,
        "renewTime": now.strftime(_FORMAT),
    }


def _taken(other: str, holder: str, spec: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    if other == holder:
        return {}
    return {
        "acquireTime": now.strftime(_FORMAT),
        "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1,
    }


def _lease(lease: Object | None, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = {"name": NAME, "namespace": LEASE_NAMESPACE}
    if lease is not None:
        meta["resourceVersion"] = lease["metadata"]["resourceVersion"]
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": meta,
        "spec": spec,
    }
