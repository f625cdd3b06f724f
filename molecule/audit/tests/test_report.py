# SPDX-License-Identifier: GPL-3.0-or-later
"""The report names exactly what has happened to each node."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from testinfra.host import Host

from tests.observe import audit


def test_the_findings_are_the_planted_ones(host: Host) -> None:
    expected = audit.planted(host).get("findings", {})
    found: dict[str, list[str]] = {}
    for one in audit.reported(host)["snapshot"]["findings"]:
        found.setdefault(one["code"], []).append(PurePosixPath(one["object"]).name)
    assert sorted(found) == sorted(expected)
    shown = audit.shown(host)
    for code, names in found.items():
        patterns = [
            pattern.replace("{}", line)
            for pattern in expected[code]["objects"]
            for line in (shown if "{}" in pattern else [""])
        ]
        assert len(names) == len(patterns)
        for name, pattern in zip(sorted(names), sorted(patterns), strict=True):
            assert fnmatchcase(name, pattern)


def test_numbers_and_remedies(host: Host) -> None:
    expected = audit.planted(host).get("findings", {})
    for one in audit.reported(host)["snapshot"]["findings"]:
        wanted = expected[one["code"]]
        assert set(wanted["upstream"]) <= set(one["upstream"])
        assert bool(wanted["upstream"]) is bool(one["upstream"])
        assert wanted["remedy"] == one["remedy"]


def test_each_node_was_reached_and_told_its_release(host: Host) -> None:
    node = audit.reported(host)
    assert node["result"] == "ok"
    played = audit.planted(host).get("starts", [{}])[-1].get("options", {}).get("release")
    line = str(played or audit.planted(host)["release"])[:4]
    # Nothing is left of the release where eBPF mode is off; 3.28 and 3.29 look alike.
    low, _, high = node["release"].partition(" to ")
    assert low[:4] <= line <= (high or low)[:4]


def test_the_page_says_the_same(host: Host) -> None:
    page = audit.reports("html")[-1].read_text("utf-8")
    assert audit.name(host) in page
    assert all(code in page for code in audit.planted(host).get("findings", {}))
