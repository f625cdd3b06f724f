# SPDX-License-Identifier: GPL-3.0-or-later
"""Places of filters: by table and by made-up states."""

from __future__ import annotations

import random

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._plan.tc_places import (
    FIRST,
    Place,
    Standing,
    common_place,
)

LOWEST = 40960


def at(preference: int, handle: int = 1, *others: int) -> Standing:
    return Standing(Place(preference, handle), others)


@pytest.mark.parametrize(
    ("hooks", "wanted"),
    [
        ((at(49152), at(49152)), FIRST),
        ((at(49152, 2), at(49152, 2)), Place(49152, 2)),
        ((at(40960), at(40960)), Place(40960, 1)),
        ((at(40959), at(40959)), FIRST),
        ((at(49150, 2), at(49152)), FIRST),
        ((at(32768), at(32768, 1, 49152)), Place(49151, 1)),
        ((at(49150, 1, 49151), at(49152)), Place(49150, 1)),
        ((at(49150, 1, 49152), at(49152)), Place(49151, 1)),
        ((at(49150, 1, 49149), at(49152)), FIRST),
        ((at(49150, 2, 49151), at(49152, 1, 49151)), None),
        ((at(49150, 2, 49150), at(49152)), Place(49150, 2)),
        ((at(49150, 2, 49150), at(49152, 1, 49152)), None),
        ((at(49150, 1, 49150), at(49152)), Place(49150, 1)),
        ((at(50001, 1, 49999), at(50000, 1, 49999)), Place(50001, 1)),
        ((at(32768, 1, 32769), at(49152, 1)), Place(32768, 1)),
        ((at(49151, 7),), Place(49151, 7)),
    ],
)
def test_common_place(hooks: tuple[Standing, ...], wanted: Place | None) -> None:
    assert common_place(hooks, LOWEST) == wanted


def test_order_is_kept_and_a_second_look_changes_nothing() -> None:
    chance = random.Random(1)
    found = 0
    for _ in range(3000):
        hooks = tuple(
            at(
                chance.randint(49140, 49155),
                chance.randint(1, 2),
                *(chance.randint(49138, 49157) for _ in range(chance.randint(0, 3))),
            )
            for _ in range(2)
        )
        place = common_place(hooks, LOWEST)
        if place is None:
            continue
        found += 1
        moved = tuple(one._replace(place=place) for one in hooks)
        for one in hooks:
            if one.place == place:
                continue
            assert place.preference not in one.others
            for other in one.others:
                assert (other < one.place.preference) == (other < place.preference)
        assert common_place(moved, LOWEST) == place
    assert found > 1000
