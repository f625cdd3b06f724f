# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Tigera's operator does what it is told, by what it reports and what it has written.

It stops with TigeraStatus Degraded when somebody else has changed what it owns (ops 0.4, 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from ...module_utils._errors import RefusedError
from .cluster import Object
from .effective import GLOBAL, spec_of
from .values import same, text

BPF = "BPF"
_KEPT = "The nodes keep what they have by FelixConfiguration objects of their own"


def trouble(statuses: Iterable[Object]) -> str:
    """What TigeraStatus says where it is Degraded, else an empty text."""
    for one in statuses:
        for condition in (one.get("status") or {}).get("conditions") or []:
            if condition["type"] == "Degraded" and condition["status"] == "True":
                said = condition.get("message") or condition.get("reason") or "no reason"
                return f"TigeraStatus {one['metadata']['name']} is Degraded: {said}"
    return ""


def refuse_degraded(statuses: Iterable[Object]) -> None:
    """Raises RefusedError where the operator would not follow a change of its Installation."""
    if said := trouble(statuses):
        raise RefusedError(f"The operator would not follow a change of the dataplane. {said}")


def refuse_other(
    installation: Object | None,
    configurations: Iterable[Object],
    statuses: Iterable[Object],
    dataplane: str,
) -> None:
    """Raises RefusedError unless Installation has the dataplane and ``default`` its bpfEnabled."""
    network = ((installation or {}).get("spec") or {}).get("calicoNetwork") or {}
    now = network.get("linuxDataplane", "Iptables")
    if now != dataplane:
        raise RefusedError(
            f"Installation default has linuxDataplane {now} after it was set to {dataplane}: "
            f"something else writes it. {_KEPT}; change it where it comes from, and run again."
        )
    enabled = text(spec_of(configurations, GLOBAL).get("bpfEnabled"))
    if not same(enabled or "false", text(dataplane == BPF)):
        raise RefusedError(
            f"The operator has not followed linuxDataplane {dataplane} of Installation default: "
            f"bpfEnabled of FelixConfiguration default is {enabled or 'not set'}. "
            f"{trouble(statuses) or 'TigeraStatus calico names no reason.'} {_KEPT}; run again "
            "once it has."
        )
