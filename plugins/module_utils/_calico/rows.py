# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tables have in common: rows that hold for some releases.

The table of release lines says which releases are known; a new line is a row there. Where a
row has no end, it ends where a later row for the same slot begins, so that a release that
changes something is a row appended and none edited. ``certain`` is False for what was inferred
rather than read or tried. ``source`` names the section of the fact sheets (maps, programs, ops)
or the upstream file or number.
"""

from __future__ import annotations

from typing import Any, Callable, Generic, Iterable, Iterator, Protocol, TypeVar, cast

from .._errors import BadInputError, RefusedError
from . import releases as release_lines
from .versions import END, VersionSet, parse_range


class Row(Protocol):
    """A row of any table."""

    @property
    def releases(self) -> VersionSet:
        """The releases that the row holds for."""


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows, of which those with one ``slot`` exclude each other.

    An open range ends where the next row of its slot begins.
    """

    def __init__(self, rows: Iterable[R], slot: Callable[[R], object] = id) -> None:
        self._slot = slot
        given = tuple(rows)
        starts: dict[object, list[VersionSet]] = {}
        for row in given:
            starts.setdefault(slot(row), []).append(row.releases)
        self.rows: tuple[R, ...] = tuple(_closed(row, starts[slot(row)]) for row in given)

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def plus(self, *rows: R) -> Table[R]:
        """The table with further rows."""
        return Table((*self.rows, *rows), self._slot)

    def of(self, release: VersionSet) -> tuple[R, ...]:
        """The rows that hold for some of ``release``. Raises BadInputError: not known."""
        require_known(release)
        return tuple(row for row in self.rows if row.releases.overlaps(release))

    def one_of(self, release: VersionSet, what: str) -> R:
        """The one row that holds for all of ``release``.

        Raises BadInputError when the release is not known, RefusedError when ``release`` is too
        wide for one answer or there is none.
        """
        found = self.of(release)
        if len(found) == 1 and found[0].releases.covers(release):
            return found[0]
        raise RefusedError(
            f"{what} of Calico {release}: no single answer; name the release exactly."
        )


def _closed(row: R, others: list[VersionSet]) -> R:
    last = row.releases.spans[-1]
    later = [
        other.spans[0].low for other in others if other.spans and other.spans[0].low > last.low
    ]
    if last.high != END or not later:
        return row
    return cast(R, cast(Any, row)._replace(releases=row.releases.before(min(later))))


def require_known(release: VersionSet) -> None:
    """Raise BadInputError unless all of ``release`` is in the known release lines."""
    known = release_lines.known_releases()
    if not release.spans or not known.covers(release):
        raise BadInputError("calico_version", str(release), f"is not among the releases {known}")


def since(text: str) -> VersionSet:
    """The releases of a row, from their writing."""
    return parse_range(text, "releases")
