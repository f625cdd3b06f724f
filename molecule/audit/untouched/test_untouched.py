# SPDX-License-Identifier: GPL-3.0-or-later
"""After any number of audits everything on the nodes is as it was before the first."""

from __future__ import annotations

import json

from testinfra.host import Host

from tests.observe import audit, node_state


def test_nothing_has_changed(host: Host) -> None:
    before = json.loads((audit.STATES / f"{audit.name(host)}.json").read_text("utf-8"))
    assert node_state.state(host) == before
