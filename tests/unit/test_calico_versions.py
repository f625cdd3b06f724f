# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and ranges: how they are read, compared and said."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    Version,
    parse_range,
    parse_release,
    parse_version,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("v3.28.3", (3, 28, 3)),
        ("3.28", (3, 28, 0)),
        ("3.28.10", (3, 28, 10)),
        (" v3.9.0 ", (3, 9, 0)),
    ],
)
def test_reads_a_version(text: str, wanted: tuple[int, int, int]) -> None:
    assert parse_version(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "3", "v", "3.28.", "3.28.3.1", "3.x", "3.28-rc1", "latest", "-3.28", "\uff13.28", "vv3.1"],
)
def test_refuses_what_is_no_version(text: str) -> None:
    with pytest.raises(BadInputError) as error:
        parse_version(text, "calico_version")
    assert str(error.value) == (
        f"calico_version: {text!r} is not a Calico version such as v3.28.3 or 3.28."
    )


def test_refuses_what_is_no_text() -> None:
    with pytest.raises(BadInputError):
        parse_version(3.28)  # type: ignore[arg-type]


def test_versions_compare_by_number() -> None:
    assert parse_version("3.9.9") < parse_version("3.28") < parse_version("v3.28.1")
    assert parse_version("3.28.9") < parse_version("3.28.10")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("3.28", ["3.28.0", "3.28.99"], ["3.27.9", "3.29.0"]),
        ("3.28.3", ["3.28.3"], ["3.28.2", "3.28.4"]),
        (">=3.28.2,<3.29", ["3.28.2", "3.28.9"], ["3.28.1", "3.29.0"]),
        (">3.28", ["3.29.0"], ["3.28.7"]),
        (">3.28.1,<=3.28.4", ["3.28.2", "3.28.4"], ["3.28.1", "3.28.5"]),
        ("<=3.28", ["3.0.0", "3.28.50"], ["3.29.0"]),
        ("==3.30.0", ["3.30.0"], ["3.30.1"]),
        (">=3.31", ["3.31.0", "4.0.0"], ["3.30.9"]),
        ("3.26 | >=3.28.2 , <3.29|3.30.1", ["3.26.1", "3.28.2", "3.30.1"], ["3.27.0", "3.29.0"]),
    ],
)
def test_ranges(text: str, inside: list[str], outside: list[str]) -> None:
    releases = parse_range(text)
    assert [one for one in inside if not releases.has(parse_version(one))] == []
    assert [one for one in outside if releases.has(parse_version(one))] == []


@pytest.mark.parametrize(
    "text", ["", ">=", ">=3.28,", "|3.28", "~3.28", ">=3.29,<3.28", "3.26,3.27"]
)
def test_refuses_what_is_no_range(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3.28", "3.28"),
        ("3.28.3", "3.28.3"),
        (">=3.28,<3.31", "3.28 to 3.30"),
        (">=3.31.3,<3.32", "3.31.3 or later of 3.31"),
        (">=3.28,<3.28.2", "3.28.0 to 3.28.1"),
        (">=3.31.1,<3.31.3", "3.31.1 to 3.31.2"),
        (">=3.28,<3.31.3", "3.28 to 3.31.2"),
        (">=3.28.2,<3.31", "3.28.2 to 3.30"),
        (">=3.33", "3.33 or later"),
        ("<3.24", "before 3.24"),
        ("3.26 | 3.30.1", "3.26, 3.30.1"),
        ("<3.28 | >=3.28,<3.28.2", "before 3.28.2"),
        ("3.28 | 3.29", "3.28 to 3.29"),
        (">=3.28.2,<4.0", "3.28.2 to the last before 4.0"),
    ],
)
def test_says_a_range_in_words(text: str, said: str) -> None:
    assert str(parse_range(text)) == said


def test_set_operations() -> None:
    wide, narrow = parse_range(">=3.28,<3.31"), parse_range("3.29 | 3.30.2")
    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert wide.intersection(parse_range(">=3.30")) == parse_range("3.30")
    assert not narrow.overlaps(parse_range("3.28 | 3.30.3"))
    assert str(narrow.intersection(parse_range("3.28"))) == "no release"
    assert wide.before(Version(3, 28, 2)) == parse_range(">=3.28,<3.28.2")


def test_an_operators_word_for_a_release() -> None:
    assert parse_release("v3.28.3") == parse_range("3.28.3")
    assert parse_release("3.28") == parse_range(">=3.28.0,<3.29.0")


@pytest.mark.parametrize("text", ["3.28", ">=3.28.3,<3.30", "3.29.1 | >=3.30.1,<3.32"])
def test_what_is_written_can_be_read(text: str) -> None:
    releases = parse_range(text)
    assert parse_range(releases.written()) == releases
    assert parse_range("3.28").written() == ">=3.28.0,<3.29.0"
