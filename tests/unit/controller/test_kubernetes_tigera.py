# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the operator does what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from tests.unit.controller.kubernetes_objects import Object, felix, installation


def status(degraded: str, message: str = "") -> list[Object]:
    told = [
        {"type": "Available", "status": "True", "message": "All objects available"},
        {"type": "Degraded", "status": degraded, "message": message, "reason": "Validation"},
    ]
    return [{"metadata": {"name": "calico"}, "status": {"conditions": told}}]


def seen(dataplane: str, enabled: Any, statuses: list[Object]) -> Object:
    network = {"linuxDataplane": dataplane} if dataplane else {}
    spec = {} if enabled is None else {"bpfEnabled": enabled}
    return {
        "installations": [installation(**network)],
        "configurations": [felix("default", spec), felix("node.node1", {"bpfEnabled": True})],
        "statuses": statuses,
    }


@pytest.mark.parametrize("statuses", [[], [{"metadata": {"name": "calico"}}], status("False")])
def test_an_operator_that_does_well(statuses: list[Object]) -> None:
    assert steps.operating(statuses) == {}


@pytest.mark.parametrize(
    ("message", "said"), [("Somebody wrote it.", "Somebody wrote it."), ("", "Validation")]
)
def test_one_that_is_stuck_is_refused(message: str, said: str) -> None:
    with pytest.raises(RefusedError) as refused:
        steps.operating(status("True", message))
    assert str(refused.value) == (
        "The operator would not follow a change of the dataplane. "
        f"TigeraStatus calico is Degraded: {said}"
    )


@pytest.mark.parametrize(
    ("dataplane", "enabled", "wanted"),
    [
        ("BPF", True, "BPF"),
        ("Iptables", False, "Iptables"),
        ("Iptables", None, "Iptables"),
        ("", False, "Iptables"),
    ],
)
def test_one_that_has_followed(dataplane: str, enabled: bool | None, wanted: str) -> None:
    assert steps.followed(seen(dataplane, enabled, []), wanted) == {}


KEPT = "The nodes keep what they have by FelixConfiguration objects of their own"


@pytest.mark.parametrize(
    ("dataplane", "enabled", "statuses", "said"),
    [
        (
            "BPF",
            False,
            [],
            "Installation default has linuxDataplane BPF after it was set to Iptables: something "
            f"else writes it. {KEPT}; change it where it comes from, and run again.",
        ),
        (
            "Iptables",
            True,
            status("True", "No."),
            "The operator has not followed linuxDataplane Iptables of Installation default: "
            "bpfEnabled of FelixConfiguration default is true. TigeraStatus calico is Degraded: "
            f"No. {KEPT}; run again once it has.",
        ),
        (
            "Iptables",
            True,
            [],
            "The operator has not followed linuxDataplane Iptables of Installation default: "
            "bpfEnabled of FelixConfiguration default is true. TigeraStatus calico names no "
            f"reason. {KEPT}; run again once it has.",
        ),
    ],
)
def test_one_that_has_not_is_refused(
    dataplane: str, enabled: bool, statuses: list[Object], said: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        steps.followed(seen(dataplane, enabled, statuses), "Iptables")
    assert str(refused.value) == said


def test_a_default_that_says_nothing_is_no_ebpf_mode() -> None:
    with pytest.raises(RefusedError, match="bpfEnabled of FelixConfiguration default is not set"):
        steps.followed(seen("BPF", None, []), "BPF")
