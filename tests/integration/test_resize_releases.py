# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook resize_conntrack on a node of each release line, under full load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import lab_release as seen
from tests.integration import resizing
from tests.integration.resizing import NODE, Load, changed, pin, play
from tests.lab.harness import agent, filters

pytestmark = pytest.mark.lab

# Families, size before and after; 3.27 cannot load another size, see the refusals.
CASES = [
    ("3.26.4", "4", 100_000, 150_000),
    ("3.28.5", "46", 100_000, 130_000),
    ("3.29.7", "4", 140_000, 100_000),
    ("3.30.7", "46", 100_000, 200_000),
    ("3.31.7", "46", 150_000, 100_000),
    ("3.32.1", "4", 90_000, 120_000),
]


@pytest.mark.parametrize(("release", "families", "before", "after"), CASES)
def test_nothing_is_lost_under_load(
    release: str, families: str, before: int, after: int, tmp_path: Path
) -> None:
    with resizing.node_of(release, families, before) as hosts:
        old = _ids(families)
        load = Load(families, tmp_path)
        play(hosts, release, after)
        resizing.check_traffic()
        outcomes = load.end()
        resizing.check_rate(outcomes)
        resizing.check_explained(outcomes)
        new = _ids(families)
        assert not set(old.values()) & set(new.values())
        assert {seen.pins(NODE)[pin(family)]["max_entries"] for family in families} == {after}
        assert agent(NODE)["conntrack_map_id"] == new["4"]
        assert resizing.no_pins_of_ours()
        assert changed(play(hosts, release, after)) == 0
        assert _ids(families) == new


@pytest.mark.parametrize(
    ("release", "families"), [("3.27.3", "4"), ("3.27.5", "6"), ("3.28.1", "46")]
)
def test_refused_where_programs_cannot_be_loaded(
    release: str, families: str, tmp_path: Path
) -> None:
    with resizing.node_of(release, families, 512_000) as hosts:
        load = Load(families, tmp_path, rate=0)
        before = _state()
        said = " ".join(play(hosts, release, 100_000, fails=True).split())
        assert "CT_SIZE" in said
        assert all(issue in said for issue in ("#9651", "#9117", "#9118")), said
        assert _state() == before
        assert changed(play(hosts, release, 512_000)) == 0
        assert _state() == before
        resizing.check_traffic()
        resizing.check_explained(load.end())


def _state() -> tuple[object, ...]:
    return (
        {path: one["id"] for path, one in seen.pins(NODE).items()},
        filters(NODE),
        agent(NODE)["pid"],
        seen.in_node(NODE, "cat", "/etc/calico/felix.cfg"),
    )


def _ids(families: str) -> dict[str, int]:
    return {family: seen.pins(NODE)[pin(family)]["id"] for family in families}
