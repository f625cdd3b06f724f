# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two looks at one node."""

from __future__ import annotations

from typing import Any

from ansible_collections.bpfops.calico.plugins.plugin_utils._report.compare import changes
from tests.unit.controller.fleet import GLOBALS, finding, interface, pinned, snapshot


def maps(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, str]:
    found = changes(snapshot(maps=before), snapshot(maps=after))["maps"]
    return {one["path"].removeprefix(GLOBALS): one["change"] for one in found}


def test_nothing_differs() -> None:
    found = changes(snapshot(), snapshot())
    assert not any(found[key] for key in ("findings_gone", "findings_new", "maps"))
    assert not found["pins_gone"] + found["pins_new"]
    assert found["programs"] == {"before": 4, "after": 4}


def test_findings_by_code_and_object() -> None:
    old = [finding("CT_SIZE", "critical", "a"), finding("TC_DRIFT", "info", "b")]
    new = [finding("TC_DRIFT", "info", "b"), finding("TC_DRIFT", "info", "c")]
    found = changes(snapshot(*old), snapshot(*new))
    assert [one["object"] for one in found["findings_gone"]] == ["a"]
    assert [one["object"] for one in found["findings_new"]] == ["c"]
    assert found["findings_stayed"] == 1


def test_maps_that_came_went_were_resized_and_were_replaced() -> None:
    before = [pinned("gone"), pinned("sized"), pinned("other", id=1), pinned("same", 1)]
    after = [pinned("new"), pinned("sized", room=2000), pinned("other", id=2), pinned("same", 9)]
    assert maps(before, after) == {
        "gone": "gone",
        "new": "new",
        "sized": "changed",
        "other": "replaced",
    }


def test_a_changed_map_shows_both_sizes() -> None:
    before, after = snapshot(maps=[pinned("m", 5, 10)]), snapshot(maps=[pinned("m", 6, 20)])
    (one,) = changes(before, after)["maps"]
    assert [one[side]["max_entries"] for side in ("before", "after")] == [10, 20]
    assert [one[side]["entries"] for side in ("before", "after")] == [5, 6]


def test_pins_and_programs() -> None:
    pins = [{"path": "/a", "kind": "link", "object_id": 1, "severed": False}]
    found = changes(
        snapshot(pins=pins), snapshot(pins=[], interfaces=[interface("cali1")], release="3.31")
    )
    assert (found["pins_gone"], found["pins_new"]) == (["/a"], [])
    assert found["programs"] == {"before": 4, "after": 2}
    assert found["release"] == {"before": "3.29", "after": "3.31"}


def test_a_look_that_lacks_everything() -> None:
    assert changes({"warnings": []}, {"warnings": []})["maps"] == []
