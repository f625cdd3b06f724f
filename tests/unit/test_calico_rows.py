# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tables do: open ranges end where the next row begins, and one answer or none."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.rows import Table
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    VersionSet,
    parse_range,
    parse_release,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    BadInputError,
    RefusedError,
)


class Fact(NamedTuple):
    """A row for tests."""

    name: str
    releases: VersionSet
    value: int


def table(*rows: tuple[str, str, int]) -> Table[Fact]:
    facts = [Fact(name, parse_range(releases), value) for name, releases, value in rows]
    return Table(facts, lambda row: row.name)


def said(facts: Table[Fact]) -> list[str]:
    return [f"{row.name} {row.releases}" for row in facts]


def test_an_open_range_ends_where_the_next_row_of_its_slot_begins() -> None:
    facts = table(("a", ">=3.26", 1), ("b", ">=3.27", 2), ("a", ">=3.28.2", 3), ("a", ">=3.31", 4))
    assert said(facts) == [
        "a 3.26 to 3.28.1",
        "b 3.27 or later",
        "a 3.28.2 to 3.30",
        "a 3.31 or later",
    ]


def test_rows_may_be_appended_in_any_order() -> None:
    assert said(table(("a", ">=3.31", 1), ("a", ">=3.26", 2))) == [
        "a 3.31 or later",
        "a 3.26 to 3.30",
    ]


def test_a_closed_range_stays() -> None:
    assert said(table(("a", "3.26", 1), ("a", ">=3.28", 2))) == ["a 3.26", "a 3.28 or later"]


def test_an_open_range_with_a_backport_keeps_the_backport() -> None:
    facts = table(("a", "3.28.5 | >=3.30", 1), ("a", ">=3.31", 2))
    assert said(facts)[0] == "a 3.28.5, 3.30"


def test_plus_ends_open_ranges_too() -> None:
    facts = table(("a", ">=3.26", 1))
    more = facts.plus(Fact("a", parse_range(">=3.30"), 2))
    assert said(more) == ["a 3.26 to 3.29", "a 3.30 or later"]
    assert said(facts) == ["a 3.26 or later"]


def test_one_answer_or_none() -> None:
    facts = table(("a", ">=3.28.2,<3.30", 1), ("a", ">=3.30", 2))
    assert facts.one_of(parse_release("3.28.2"), "The fact").value == 1
    assert facts.one_of(parse_release("3.30"), "The fact").value == 2
    for release in ("3.28", "3.27", ">=3.29,<3.31"):
        with pytest.raises(RefusedError, match="no single answer; name the release exactly"):
            facts.one_of(parse_range(release), "The fact")


def test_releases_that_are_not_known() -> None:
    for release in (parse_release("3.25"), parse_range(">=3.30"), VersionSet()):
        with pytest.raises(BadInputError, match="calico_version"):
            table(("a", ">=3.26", 1)).of(release)
