# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings and the bpffs in plans for leaving eBPF mode."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    BadInputError,
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import dataplane as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.dataplane_stays import (
    settings_facts,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.dataplane_task import (
    Desired,
    Observed,
    Setting,
    desired,
)

RELEASE = parse_range("3.29.7")
NODE = seen.Node(
    "6.1", 4, None, ("/b",), ("/cg",), "/b/tc/globals", Detection(RELEASE, RELEASE, (), ())
)


def wanted(**params: Any) -> Desired:
    defaults = {"include": [], "exclude": [], "sysctls": {}, "disrupt_running_felix": False}
    return desired({**defaults, **params})


FILTERING = "net.ipv4.conf.all.rp_filter"
LOCK = "kernel.unprivileged_bpf_disabled"


def test_settings() -> None:
    state = Observed(
        NODE,
        settings=(
            Setting(FILTERING, "0", "0"),
            Setting(LOCK, "1", "1"),
            Setting("net.ipv4.conf.eth0.rp_filter", "1", "2"),
        ),
    )
    assert settings_facts(state) == [
        {"name": FILTERING, "value": "0", "restorable": True},
        {"name": LOCK, "value": "1", "restorable": False},
    ]
    plan = planner.plan(wanted(sysctls={FILTERING: 1, "net.core.bpf_jit_harden": 2}), state)
    assert [step.sentence for step in plan.actions] == [f"Set {FILTERING} from 0 to 1"]
    assert (plan.settings_before, plan.settings_after) == ({FILTERING: "0"}, {FILTERING: "1"})
    assert plan.warnings == ("sysctls: there is no net.core.bpf_jit_harden on this node.",)
    assert planner.plan(wanted(sysctls={LOCK: 1}), state).actions == ()
    with pytest.raises(RefusedError, match="no other value for it before the node restarts"):
        planner.plan(wanted(sysctls={LOCK: 0}), state)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_forward", "1"),
        (FILTERING, "one"),
        (FILTERING, ""),
        ("net.ipv4.conf.a.b.rp_filter", "1"),
        ("net/ipv4/conf/all/rp_filter", "1"),
    ],
)
def test_settings_that_are_not_felixs(name: str, value: str) -> None:
    with pytest.raises(BadInputError, match=r"^sysctls: "):
        wanted(sysctls={name: value})


def test_another_bpffs_is_refused() -> None:
    record = Observed(NODE._replace(bpffs_there=False), records=("/r/x.json",))
    with pytest.raises(RefusedError, match="there is one at /b"):
        planner.plan(wanted(), record)
    none = record._replace(node=record.node._replace(bpffs=()))
    assert len(planner.plan(wanted(), none).actions) == 1
