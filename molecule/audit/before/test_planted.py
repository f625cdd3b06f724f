# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the first audit: the defects are there, and the state of each node is remembered."""

from __future__ import annotations

import json

from testinfra.host import Host

from tests.observe import audit, node_state


def test_the_defect_is_there(host: Host) -> None:
    found = audit.shown(host)
    assert bool(found) is ("findings" in audit.planted(host))
    assert all(found)


def test_the_state_is_remembered(host: Host) -> None:
    seen = node_state.state(host)
    assert seen.keys() == node_state.COMMANDS.keys()
    if "findings" not in audit.planted(host):
        # Only links of later releases are pinned, and nobody has taken the lock.
        assert {name for name, text in seen.items() if not text} <= {"links", "locks"}
    audit.STATES.mkdir(exist_ok=True)
    (audit.STATES / f"{audit.name(host)}.json").write_text(json.dumps(seen), "utf-8")
