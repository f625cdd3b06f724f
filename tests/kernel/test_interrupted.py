# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed before any step of a migration: the old state or the new one, and a next run finishes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._execute import migrate
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import maps, objects
from tests.kernel.support import HASH, content, die_before, fill, make, names, run, shown

STEPS = (
    (maps.Map, "create"),
    (migrate, "copy_entries"),
    (migrate, "carry"),
    (migrate, "swap"),
    (objects.BpfObject, "pin"),
    (Path, "rename"),
)
MOST_STEPS = 20


def killed_at(number: int, **params: Any) -> bool:
    """Run in a child that dies before a step; False when it had no such step and finished."""
    child = os.fork()
    if child == 0:
        die_before(number, STEPS)
        run(**params)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9


@pytest.mark.parametrize("keep", [False, True])
def test_killed_before_any_step(pins: Path, keep: bool) -> None:
    deaths = 0
    for number in range(MOST_STEPS):
        place = pins / f"step{number}"
        place.mkdir()
        path, old = place / "m", str(place / "old")
        wanted = fill(make(path, HASH, 100), HASH, 50)
        params: dict[str, Any] = {"path": str(path), "max_entries": 200}
        if keep:
            params["keep_old_pin"] = old
        died = killed_at(number, **params)
        deaths += died
        assert content(path, 4, 8) == wanted
        assert shown(path)["max_entries"] in (100, 200)
        run(**params)
        assert shown(path)["max_entries"] == 200
        assert content(path, 4, 8) == wanted
        assert run(**params).actions == ()
        assert names(place) == (["m", "old"] if keep else ["m"])
        if not died:
            break
    # create, copy, pass, swap, pin beside it, rename, last pass; and the old map's second pin.
    # A pass in the kernel creates a map of its own.
    assert deaths in (7 + keep, 9 + keep)
