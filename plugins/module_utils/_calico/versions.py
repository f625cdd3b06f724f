# SPDX-License-Identifier: GPL-3.0-or-later
"""Calico versions, and ranges of them as values.

A range in writing: comparisons joined by commas (all hold), alternatives joined by ``|``.
``3.28`` alone is that whole release line, ``3.28.3`` alone that one release.
"""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

from .._errors import BadInputError

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", re.ASCII)
_COMPARISON = re.compile(r"(>=|<=|==|>|<|)\s*(\S+)", re.ASCII)


class Version(NamedTuple):
    """One release; compares by its numbers."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def line(self) -> str:
        """The release line, for example 3.28."""
        return f"{self.major}.{self.minor}"


FIRST = Version(0, 0)
END = Version(10000, 0)
"""The end of a range that no release has ended yet."""


class Span(NamedTuple):
    """Releases from ``low`` up to, but without, ``high``."""

    low: Version
    high: Version

    def __str__(self) -> str:
        """In an operator's words: ``3.28 to 3.30``, ``3.31.3 or later of 3.31``."""
        low = self.low if self.low.patch else self.low.line
        if self.high == END:
            return f"{low} or later"
        if self.low == FIRST:
            return f"before {self.high if self.high.patch else self.high.line}"
        if self.high == _next_line(self.low):
            return f"{low} or later of {self.low.line}" if self.low.patch else str(low)
        if self.high == _next_patch(self.low):
            return str(self.low)
        same_line = self.high.line == self.low.line
        return f"{self.low if same_line else low} to {_last_before(self.high)}"


class VersionSet(NamedTuple):
    """Any set of releases: spans in order that neither touch nor overlap."""

    spans: tuple[Span, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.spans)) or "no release"

    def written(self) -> str:
        """As parse_range reads it: ``>=3.28.0,<3.30.0``."""
        return " | ".join(f">={low},<{high}" for low, high in self.spans)

    def has(self, version: Version) -> bool:
        """Whether ``version`` is one of them."""
        return any(span.low <= version < span.high for span in self.spans)

    def intersection(self, other: VersionSet) -> VersionSet:
        """The releases that are in both."""
        return union(
            Span(max(mine.low, its.low), min(mine.high, its.high))
            for mine in self.spans
            for its in other.spans
        )

    def overlaps(self, other: VersionSet) -> bool:
        """Whether some release is in both."""
        return bool(self.intersection(other).spans)

    def covers(self, other: VersionSet) -> bool:
        """Whether every release of ``other`` is in this set too."""
        return self.intersection(other) == other

    def before(self, version: Version) -> VersionSet:
        """The releases that are older than ``version``."""
        return self.intersection(VersionSet((Span(FIRST, version),)))


ANY = VersionSet((Span(FIRST, END),))


def union(spans: Iterable[Span]) -> VersionSet:
    """The releases of all ``spans``; empty ones count for nothing."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if span.low < span.high):
        if merged and span.low <= merged[-1].high:
            merged[-1] = Span(merged[-1].low, max(merged[-1].high, span.high))
        else:
            merged.append(span)
    return VersionSet(tuple(merged))


def exactly(version: Version) -> VersionSet:
    """The set of one release."""
    return VersionSet((Span(version, _next_patch(version)),))


def parse_version(text: str, parameter: str = "version") -> Version:
    """A version from ``v3.28.3``, ``3.28.3`` or ``3.28`` (its first release).

    Raises BadInputError.
    """
    return _numbers(text, parameter)[0]


def parse_release(text: str, parameter: str = "calico_version") -> VersionSet:
    """What an operator calls a release: ``v3.28.3`` is one, ``3.28`` all of that line.

    Raises BadInputError.
    """
    version, whole_line = _numbers(text, parameter)
    return VersionSet((Span(version, _next_line(version)),)) if whole_line else exactly(version)


def parse_range(text: str, parameter: str = "range") -> VersionSet:
    """Releases from their writing, for example ``>=3.28.2,<3.29 | 3.30.1``.

    Raises BadInputError, also for a range that no version can be in.
    """
    parts = [_all_of(part, text, parameter) for part in text.split("|")]
    if not all(part.spans for part in parts):
        raise BadInputError(parameter, text, "is a range that no version can be in")
    return union(span for part in parts for span in part.spans)


def _all_of(part: str, text: str, parameter: str) -> VersionSet:
    result = ANY
    for comparison in part.split(","):
        match = _COMPARISON.fullmatch(comparison.strip())
        if not match:
            raise BadInputError(parameter, text, "is not a range such as '>=3.28.2,<3.29'")
        result = result.intersection(_compared(match[1], match[2], parameter))
    return result


def _compared(operator: str, text: str, parameter: str) -> VersionSet:
    (span,) = parse_release(text, parameter).spans
    bounds = {
        ">=": Span(span.low, END),
        ">": Span(span.high, END),
        "<": Span(FIRST, span.low),
        "<=": Span(FIRST, span.high),
    }
    return VersionSet((bounds.get(operator, span),))


def _numbers(text: str, parameter: str) -> tuple[Version, bool]:
    """The version, and whether it names a whole line."""
    match = _VERSION.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise BadInputError(parameter, text, "is not a Calico version such as v3.28.3 or 3.28")
    return Version(int(match[1]), int(match[2]), int(match[3] or 0)), match[3] is None


def _next_patch(version: Version) -> Version:
    return version._replace(patch=version.patch + 1)


def _next_line(version: Version) -> Version:
    return Version(version.major, version.minor + 1)


def _last_before(high: Version) -> str:
    """The last release, or line, that an open end leaves in."""
    if high.patch:
        return str(high._replace(patch=high.patch - 1))
    if high.minor:
        return high._replace(minor=high.minor - 1).line
    return f"the last before {high.line}"
