# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the filters of an interface stand, and a place that suits both hooks.

What is not proven Calico's keeps its place, and stays before or after Calico's filter as it was.
"""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple

from .._calico.tc_attach import FIRST_HANDLE, FIRST_PREF


class Place(NamedTuple):
    """Preference and handle; lower preferences run first."""

    preference: int
    handle: int

    def __str__(self) -> str:
        return f"preference {self.preference}, handle {self.handle:#x}"


class Standing(NamedTuple):
    """The place of a hook's live filter and the preferences of filters that are not Calico's."""

    place: Place
    others: tuple[int, ...] = ()


FIRST = Place(FIRST_PREF, FIRST_HANDLE)


def common_place(hooks: Iterable[Standing], lowest: int) -> Place | None:
    """One place for the filters of all hooks; None when other filters leave none.

    Filters that are alike stay where they are, unless their preference is below ``lowest`` and a
    better one is free. The first choice is felix's own first place, or the last one before the
    next filter behind.
    """
    standing = tuple(hooks)
    places = {one.place for one in standing}
    if len(places) == 1 and min(places).preference >= lowest:
        return places.pop()
    for place in _candidates(standing):
        if all(_suits(one, place) for one in standing):
            return place
    return None


def _candidates(standing: tuple[Standing, ...]) -> Iterator[Place]:
    behind = (pref for one in standing for pref in one.others if pref > one.place.preference)
    highest = min((pref - 1 for pref in behind), default=FIRST_PREF)
    yield Place(min(highest, FIRST_PREF), FIRST_HANDLE)
    yield from sorted((one.place for one in standing), reverse=True)


def _suits(one: Standing, place: Place) -> bool:
    """Whether the hook's filter can go there without changing its order among the others."""
    if place == one.place:
        return True
    here = one.place.preference
    return here not in one.others and all(
        pref != place.preference and (pref < here) == (pref < place.preference)
        for pref in one.others
    )
