# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of deletions follows from what was seen alone."""

from __future__ import annotations

import random

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    V2,
    V3_IPV4,
    V3_IPV6,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_release
from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_entry as plans
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_select import (
    Select,
    select,
)
from tests.unit.conntrack_entries import NOW, entry

PATHS = {"/p/cali_v4_ct2": V2, "/p/cali_v4_ct3": V3_IPV4, "/p/cali_v6_ct3": V3_IPV6}
NONE = dict.fromkeys(
    (
        *("protocol", "address", "port", "source", "source_port", "destination"),
        *("destination_port", "idle_longer_than", "ifindex", "calico_version", "timeouts"),
    )
)
DEFAULTS = {
    **NONE,
    "services": [],
    "types": [],
    "tcp_states": [],
    "flags": [],
    "expired": False,
    "families": ["ipv4", "ipv6"],
    "stale_udp": False,
    "stale_nat": False,
    "max_deletions": 1000,
    "bpffs": "/sys/fs/bpf",
    "pin_dir": None,
}


def wanted(**params: object) -> plans.Task:
    return plans.task({**DEFAULTS, "protocol": "udp", **params})


def generated(chance: random.Random) -> plans.Seen:
    tables = []
    for number, (path, layout) in enumerate(PATHS.items()):
        groups = []
        for _ in range(chance.randrange(4)):
            members = [
                plans.Member(*entry(layout, chance), chance.random() < 0.5)
                for _ in range(chance.choice((1, 2)))
            ]
            groups.append(tuple(members))
        matched = sum(one.matched for group in groups for one in group)
        tables.append(plans.Table(path, number, tuple(groups), matched))
    return plans.Seen(tuple(tables), parse_release("3.29.7"), NOW)


def test_a_plan_does_all_of_it_and_a_second_one_nothing() -> None:
    chance = random.Random(7)
    task = wanted()
    for _ in range(200):
        seen = generated(chance)
        plan = plans.plan(task, seen)
        meant = [one for table in seen.tables for one in plans.members(table)]
        planned = [one for step in plan.removals for one in plans.members(step.table)]
        assert planned == meant
        assert bool(plan.actions) is bool(meant)
        assert len(plan.actions) == sum(bool(table.groups) for table in seen.tables)
        after = plans.predicted(seen, plan)
        assert plans.plan(task, after) == plans.Plan()
        assert sum(map(len, plans.states(seen, plan).values())) == len(meant)
        facts = plans.outcome_facts(seen, plan, [step.table for step in plan.removals])
        assert len(facts["removed"]) == len(meant) and facts["spared"] == []


@pytest.mark.parametrize("beyond", [0, 1])
def test_as_many_as_allowed_in_all_tables_together(beyond: int) -> None:
    chance = random.Random(3)
    for _ in range(50):
        seen = generated(chance)
        total = sum(len(plans.members(table)) for table in seen.tables)
        if total < 2:
            continue
        task = wanted(max_deletions=total - beyond)
        if not beyond:
            assert plans.plan(task, seen).actions
            continue
        with pytest.raises(RefusedError, match=rf"^max_deletions: {total} entries match.*most"):
            plans.plan(task, seen)


def test_more_than_were_kept() -> None:
    """The search counts on when there are too many, and keeps none."""
    table = plans.Table("/p/cali_v4_ct3", 1, (), 5000)
    seen = plans.Seen((table,), parse_release("3.29.7"), NOW)
    with pytest.raises(RefusedError, match="5000 entries match"):
        plans.plan(wanted(), seen)


def test_selectors_as_values() -> None:
    assert select(DEFAULTS) == Select()
    found = select({**DEFAULTS, "protocol": "udp", "port": "53", "idle_longer_than": 2})
    assert (found.protocol, found.either and found.either.ports, found.idle) == (
        17,
        (53, 53),
        2 * 10**9,
    )
    with_services = select({**DEFAULTS, "services": ["[fd00::1]:53", "fd00::1", "10.0.0.1:7"]})
    ends = [(str(end.network), end.ports) for end in with_services.services]
    assert ends == [("fd00::1/128", (53, 53)), ("fd00::1/128", None), ("10.0.0.1/32", (7, 7))]


@pytest.mark.parametrize(
    "text", ["", "[fd00::1", "fd00::1]:5", "10.0.0.1:", "10.0.0.0/24:5", ":53"]
)
def test_what_is_no_service(text: str) -> None:
    with pytest.raises(RefusedError, match=r"services: .* is no address of a Service"):
        select({**DEFAULTS, "services": [text]})


def test_only_the_families_that_are_meant() -> None:
    assert wanted(families=["ipv6"]).families == ("ipv6",)
    assert wanted(bpffs="/b/").pin_dir == "/b/tc/globals"
