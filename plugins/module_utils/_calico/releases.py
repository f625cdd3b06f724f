# SPDX-License-Identifier: GPL-3.0-or-later
"""The release lines that the tables know."""

from __future__ import annotations

from typing import NamedTuple

from .versions import Version, VersionSet, parse_range, union


class ReleaseLine(NamedTuple):
    """A release line.

    ``read`` lists the point releases whose source the facts were read from. ``ipv6`` is none,
    single (one family at a time) or dual. ``operator`` is the Tigera operator that ships with
    the last of ``read``. ``released`` is False for the development branch.
    """

    releases: VersionSet
    read: tuple[Version, ...]
    ipv6: str
    operator: str
    source: str
    released: bool = True
    certain: bool = True


LINES: tuple[ReleaseLine, ...] = (
    ReleaseLine(parse_range("3.26"), (Version(3, 26, 4),), "none", "", "maps header, 1.2; ops 7"),
    ReleaseLine(
        parse_range("3.27"),
        (Version(3, 27, 3), Version(3, 27, 5)),
        "single",
        "1.32.7",
        "maps header, 1.2; ops 2.1, 7 (the operator is that of 3.27.3)",
    ),
    ReleaseLine(
        parse_range("3.28"), (Version(3, 28, 5),), "dual", "1.34.13", "maps header, 1.2; ops 2.1, 7"
    ),
    ReleaseLine(
        parse_range("3.29"), (Version(3, 29, 7),), "dual", "1.36.16", "maps header; ops 2.1"
    ),
    ReleaseLine(
        parse_range("3.30"), (Version(3, 30, 7),), "dual", "1.38.13", "maps header; ops 2.1"
    ),
    ReleaseLine(
        parse_range("3.31"), (Version(3, 31, 7),), "dual", "1.40.15", "maps header; ops 2.1"
    ),
    ReleaseLine(
        parse_range("3.32"), (Version(3, 32, 1),), "dual", "1.42.3", "maps header; ops 2.1"
    ),
    ReleaseLine(
        parse_range("3.33"),
        (),
        "dual",
        "",
        "maps header: master 87c15906f2 of 2026-08-22",
        released=False,
        certain=False,
    ),
)


def known_releases() -> VersionSet:
    """All releases of the known lines."""
    return union(span for line in LINES for span in line.releases.spans)


def is_one_line(release: VersionSet) -> bool:
    """Whether all of ``release`` belongs to one line."""
    return len(lines_of(release)) == 1


def lines_of(release: VersionSet) -> tuple[ReleaseLine, ...]:
    """The lines that some of ``release`` belongs to."""
    return tuple(line for line in LINES if line.releases.overlaps(release))
