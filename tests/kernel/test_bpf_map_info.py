# SPDX-License-Identifier: GPL-3.0-or-later
"""The listing of pinned maps against bpftool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils import _runner
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import bpffs
from ansible_collections.bpfops.calico.plugins.modules import bpf_map_info
from tests.kernel.support import ARRAY, HASH, LPM_TRIE, PERCPU_HASH, PROG_ARRAY, fill, make, shown
from tests.observe import rawbpf


def info(**params: Any) -> _runner.Result:
    defaults = {name: spec.get("default") for name, spec in bpf_map_info.ARGUMENT_SPEC.items()}
    return bpf_map_info.work({**defaults, **params}, False)


def listed(**params: Any) -> list[dict[str, Any]]:
    return list(info(**params).facts["maps"])


@pytest.mark.parametrize(
    ("kind", "entries"), [(HASH, 7), (PERCPU_HASH, 7), (LPM_TRIE, 7), (ARRAY, 50)]
)
def test_parameters_and_counts(pins: Path, kind: int, entries: int) -> None:
    fd = make(pins / "m", kind, 50, key=8 if kind == LPM_TRIE else 4, flags=int(kind == LPM_TRIE))
    fill(fd, kind, 7, 8 if kind == LPM_TRIE else 4)
    (found,) = listed(directories=[str(pins)])
    wanted = shown(pins / "m")
    assert found["path"] == str(pins / "m")
    assert (found["id"], found["type"]) == (wanted["id"], wanted["type"])
    assert found["max_entries"] == wanted["max_entries"]
    assert found["memory_bytes"] == wanted["bytes_memlock"]
    assert found["entries"] == entries
    assert found["users"] == []


def test_users_of_a_map(pins: Path) -> None:
    map_fd = make(pins / "m", HASH, 10)
    program = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.using(map_fd, 0), "bpfops_user")
    (found,) = listed(paths=[str(pins / "m")])
    (user,) = found["users"]
    assert (user["type"], user["name"]) == ("sched_cls", "bpfops_user")
    os.close(program)
    assert listed(paths=[str(pins / "m")])[0]["users"] == []


def test_maps_without_plain_entries_have_no_count(pins: Path) -> None:
    make(pins / "m", PROG_ARRAY, 10, value=4)
    assert listed(directories=[str(pins)])[0]["entries"] is None
    make(pins / "n", HASH, 10)
    assert listed(paths=[str(pins / "n")], count_entries=False)[0]["entries"] is None


def test_other_objects_are_passed_or_warned_of(pins: Path) -> None:
    program = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0))
    rawbpf.pin(program, str(pins / "p"))
    assert info(directories=[str(pins)]) == _runner.Result(facts={"maps": []})
    asked = info(paths=[str(pins / "p"), str(pins / "none")])
    assert asked.warnings == (
        f"{pins}/p was left out: program instead of a map.",
        f"{pins}/none was left out: nothing instead of a map.",
    )


def test_a_pin_that_vanishes_is_a_warning(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(pins / "a", HASH, 1)
    make(pins / "b", HASH, 1)
    kind_at = bpffs.kind_at

    def vanish(path: str) -> Any:
        kind = kind_at(path)
        if path.endswith("/a"):
            Path(path).unlink()
        return kind

    monkeypatch.setattr(bpffs, "kind_at", vanish)
    result = info(directories=[str(pins)])
    assert [found["path"] for found in result.facts["maps"]] == [str(pins / "b")]
    assert "/a was left out: " in result.warnings[0]


def test_looking_changes_nothing(pins: Path) -> None:
    fill(make(pins / "m", HASH, 10), HASH, 5)
    before = (shown(pins / "m"), (pins / "m").stat().st_mtime_ns)
    info(directories=[str(pins)])
    assert (shown(pins / "m"), (pins / "m").stat().st_mtime_ns) == before


@pytest.mark.parametrize("place", ["relative", "/proc"])
def test_directories_that_hold_no_pins(place: str) -> None:
    with pytest.raises(errors.BadInputError, match=f"directories: '{place}' is"):
        info(directories=[place])
