# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map between releases: before the new one starts, and after it has started."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.conntrack_node import MAPS, SECOND, UDP, CtNode, key, now, value, word_of
from tests.kernel.support import shown
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"
PAIRS = [("cali_v4_ct3", "cali_v4_ct4"), ("cali_v6_ct3", "cali_v6_ct4")]


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


def entry(table: str, number: int, **fields: Any) -> tuple[bytes, bytes]:
    _, _, keys, values = MAPS[table]
    return key(number, size=keys), value(word=number, size=values, **fields)


def fill(fd: int, table: str, count: int, **fields: Any) -> dict[bytes, bytes]:
    wanted = dict(entry(table, number, **fields) for number in range(count))
    for name, body in wanted.items():
        rawbpf.put(fd, name, body)
    return wanted


def first_words(node: CtNode, name: str) -> set[int]:
    return {struct.unpack_from("<Q", raw)[0] for raw in node.dump(name).values()}


def test_ahead_of_3_31_and_settled_after_it_has_started(node: CtNode) -> None:
    """3.30 runs on; its pin stays, as it could not start again without it."""
    old = {before: node.table(before, 1000) for before, _ in PAIRS}
    seen = now() - SECOND
    wanted = {after: fill(old[before], before, 200, seen=seen) for before, after in PAIRS}
    user = node.use(*old.values())
    node.run(calico_version=V3_31, running_version=V3_30, max_entries=2000)
    for before, after in PAIRS:
        told = shown(node.path(after))
        assert (told["type"], told["max_entries"], told["flags"]) == ("lru_hash", 2000, 0)
        assert told["name"] == after
        assert node.dump(after) == wanted[after]
        assert shown(node.path(before))["id"] == rawbpf.map_id(old[before])
    assert node.run(calico_version=V3_31, max_entries=2000).actions == ()
    with pytest.raises(errors.RefusedError, match="made for a coming release"):
        node.run(state="settled")
    for before, fd in old.items():
        rawbpf.put(fd, *entry(before, 500))
        rawbpf.delete(fd, entry(before, 7)[0])
    new_user = node.use(*[node.open(node.path(after)) for _, after in PAIRS])
    node.end(user)
    result = node.run(state="settled", calico_version=V3_31, timeout=0.0)
    for before, after in PAIRS:
        wanted[after].update([entry(before, 500)])
        del wanted[after][entry(before, 7)[0]]
        assert node.dump(after).keys() == wanted[after].keys()
    assert (node.pins(), node.own_pins()) == ([after for _, after in PAIRS], [])
    assert [one["inserted"] for one in result.facts["carried"]] == [1, 1]
    assert node.run(state="settled").actions == ()
    assert new_user > 0


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_after_3_31_has_started_with_an_empty_map(node: CtNode, before: str, after: str) -> None:
    old, new = node.table(before, 1000), node.table(after, 1000)
    node.use(new)
    fill(old, before, 20, seen=now() - 10 * SECOND, first=5)
    rawbpf.put(new, *entry(after, 3, first=9))
    stale, body = entry(before, 100, seen=now() - 4000 * SECOND)
    rawbpf.put(old, stale, body)
    result = node.run(state="settled", calico_version=V3_31)
    found = node.dump(after)
    assert set(found) == {entry(before, number)[0] for number in range(20)}
    # What an old map has in the first word need not be the time of an RST.
    assert {struct.unpack_from("<Q", raw)[0] for raw in found.values()} == {0, 9}
    (carried,) = result.facts["carried"]
    assert (carried["inserted"], carried["expired"]) == (19, 1)
    assert (node.pins(), node.own_pins()) == ([after], [])


def test_an_old_map_that_programs_use_stays_pinned(node: CtNode) -> None:
    old, new = node.table("cali_v4_ct3", 1000), node.table("cali_v4_ct4", 1000)
    node.use(old)
    node.use(new)
    with pytest.raises(errors.UnverifiedError, match="still use an old conntrack map"):
        node.run(state="settled", calico_version=V3_31, timeout=0.1)
    assert node.pins() == ["cali_v4_ct3", "cali_v4_ct4"]


def test_from_ct2(node: CtNode) -> None:
    old = node.table("cali_v4_ct2", 1000)
    fill(old, "cali_v4_ct2", 50, first=3)
    node.run(calico_version=V3_29)
    found = node.dump("cali_v4_ct3")
    assert {name: word_of(raw) for name, raw in found.items()} == {key(n): n for n in range(50)}
    assert first_words(node, "cali_v4_ct3") == {0}
    assert shown(node.path("cali_v4_ct3"))["max_entries"] == 1000
    rawbpf.put(old, *entry("cali_v4_ct2", 60, first=3))
    node.run(state="settled", calico_version=V3_29)
    assert word_of(node.dump("cali_v4_ct3")[key(60)]) == 60
    assert (node.pins(), node.own_pins()) == (["cali_v4_ct3"], [])


@pytest.mark.parametrize(("release", "after"), [(V3_30, "cali_v4_ct3"), (V3_31, "cali_v4_ct4")])
def test_times_of_creation_do_not_become_those_of_an_rst(
    node: CtNode, release: str, after: str
) -> None:
    """3.29 to 3.30 keeps the map's name and changes what its first field means."""
    old = node.table("cali_v4_ct3", 1000)
    wanted = fill(old, "cali_v4_ct3", 50, first=now())
    user = node.use(old)
    params: dict[str, Any] = {"calico_version": release, "running_version": V3_29}
    foretold = node.run(check=True, **params)
    assert node.run(**params).actions == foretold.actions != ()
    found = node.dump(after)
    assert found == {name: bytes(8) + raw[8:] for name, raw in wanted.items()}
    assert shown(node.path(after))["id"] != rawbpf.map_id(old)
    assert node.run(**params).actions == ()
    rawbpf.put(old, *entry("cali_v4_ct3", 70, first=now()))
    rawbpf.put(old, *entry("cali_v4_ct3", 7, first=now(), seen=now() + SECOND))
    node.end(user)
    node.run(state="settled", calico_version=release)
    assert set(node.dump(after)) == {*wanted, key(70)}
    assert first_words(node, after) == {0}
    assert (node.pins(), node.own_pins()) == ([after], [])


def test_the_running_release_is_seen_by_its_other_maps(node: CtNode) -> None:
    node.pin("cali_counters2", 5, 0, 8, 112, 20000)
    node.pin("cali_iface4", 1, 1, 4, 52, 1000)
    old = node.table("cali_v4_ct3", 1000)
    fill(old, "cali_v4_ct3", 5, first=now())
    node.run(calico_version=V3_30)
    assert first_words(node, "cali_v4_ct3") == {0}


def test_times_of_an_rst_stay_between_releases_that_have_them(node: CtNode) -> None:
    old = node.table("cali_v4_ct3", 1000)
    wanted = fill(old, "cali_v4_ct3", 5, first=now())
    node.run(calico_version=V3_31, running_version=V3_30)
    assert node.dump("cali_v4_ct4") == wanted


def test_a_running_release_that_is_not_certain_is_asked_for(node: CtNode) -> None:
    fd = node.table("cali_v4_ct3", 1000)
    with pytest.raises(
        errors.RefusedError, match=r"running_version: the kernel shows Calico 3\.26"
    ):
        node.run(calico_version=V3_31)
    assert node.pins() == ["cali_v4_ct3"]
    assert fd > 0


def test_an_lru_map_needs_headroom(node: CtNode) -> None:
    fill(node.table("cali_v4_ct3", 1000), "cali_v4_ct3", 995)
    params: dict[str, Any] = {"calico_version": V3_31, "running_version": V3_30}
    with pytest.raises(errors.RefusedError, match=r"995 live entries of .* it takes 990") as raised:
        node.run(**params)
    assert raised.value.code == "CT_SHRINK"
    node.run(**params, max_entries=1010)
    assert len(node.dump("cali_v4_ct4")) == 995


def test_a_map_of_a_newer_release_is_merged_on_the_way_back(node: CtNode) -> None:
    """3.31 to 3.30: felix would refuse the downgrade as long as its pin is there."""
    node.use(node.table("cali_v4_ct3", 1000))
    newer = node.table("cali_v4_ct4", 1000)
    rawbpf.put(newer, key(1, UDP), value(word=1))
    node.run(state="settled", calico_version=V3_30)
    assert set(node.dump("cali_v4_ct3")) == {key(1, UDP)}
    assert node.pins() == ["cali_v4_ct3"]


@pytest.mark.parametrize("has_older", [True, False])
def test_back_to_an_older_release(node: CtNode, has_older: bool) -> None:
    """Programs use the newer map until felix of the older release has replaced them."""
    older = node.table("cali_v4_ct3", 1000) if has_older else None
    newer = node.table("cali_v4_ct4", 1000)
    user = node.use(newer)
    wanted = fill(newer, "cali_v4_ct4", 50, seen=now() - SECOND)
    back: dict[str, Any] = {"calico_version": V3_30, "running_version": V3_31, "downgrade": True}
    planned = node.run(check=True, **back)
    assert node.pins() == (["cali_v4_ct3"] if has_older else []) + ["cali_v4_ct4"]
    assert node.run(**back).actions == planned.actions
    assert node.pins() == ["cali_v4_ct3"]
    assert shown(node.path("cali_v4_ct3"))["type"] == "hash"
    assert "old_cali_v4_ct4" in node.own_pins()
    if older is not None:
        assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(older)
    else:
        assert node.dump("cali_v4_ct3") == wanted
    assert node.run(**back).actions == ()

    rawbpf.put(newer, *entry("cali_v4_ct4", 500))
    with pytest.raises(errors.UnverifiedError, match="still use"):
        node.run(state="settled", calico_version=V3_30, timeout=0.0)
    node.end(user)
    node.run(state="settled", calico_version=V3_30, timeout=0.0)
    assert node.dump("cali_v4_ct3").keys() == {*wanted, entry("cali_v4_ct4", 500)[0]}
    assert (node.pins(), node.own_pins()) == (["cali_v4_ct3"], [])


def test_back_needs_the_release(node: CtNode) -> None:
    node.table("cali_v4_ct4", 1000)
    with pytest.raises(errors.BadInputError, match="downgrade: True needs calico_version"):
        node.run(downgrade=True)


def test_programs_in_a_left_over_array_do_not_count(node: CtNode) -> None:
    """felix of 3.31 leaves the arrays of 3.30 pinned, and so their programs loaded."""
    old = node.table("cali_v4_ct3", 1000)
    array = node.pin("cali_progs3", 3, 0, 4, 4, 400)
    main = node.use(old, array, name="calico_tc_main")
    entry_program = node.use(array)
    rawbpf.put(array, struct.pack("<I", 7), struct.pack("<I", main))
    node.end(main)
    params: dict[str, Any] = {"calico_version": V3_31, "running_version": V3_30}
    node.run(**params)
    with pytest.raises(errors.UnverifiedError, match="calico_tc_main"):
        node.run(state="settled", calico_version=V3_31, timeout=0.1)
    node.end(entry_program)
    node.run(state="settled", calico_version=V3_31, timeout=0.1)
    assert [name for name in node.pins() if "_ct" in name] == ["cali_v4_ct4"]
