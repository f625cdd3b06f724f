# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map, state settled: what old maps know better is carried over, and they go."""

from __future__ import annotations

import itertools
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import conntrack_settle
from tests.kernel.conntrack_node import (
    NAT_FWD,
    NAT_REV,
    SECOND,
    UDP,
    CtNode,
    key,
    now,
    value,
    word_of,
)
from tests.kernel.support import shown
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


def words(node: CtNode, name: str) -> dict[bytes, int]:
    return {name: word_of(raw) for name, raw in node.dump(name).items()}


def test_nothing_to_settle(node: CtNode) -> None:
    fd = node.table("cali_v4_ct3", 1000)
    node.use(fd)
    result = node.run(state="settled", calico_version=V3_29, timeout=0.0)
    assert (result.actions, "carried" in result.facts) == ((), False)


@pytest.mark.parametrize("name", ["cali_v4_ct3", "cali_v4_ct4"])
def test_newest_wins_and_the_dead_stay_dead(node: CtNode, name: str) -> None:
    release = V3_29 if name.endswith("3") else V3_31
    old = node.table(name, 1000)
    idle = now() - 30 * SECOND
    for number in range(6):
        rawbpf.put(old, key(number), value(idle, word=number))
    node.run(calico_version=release, max_entries=2000)
    new = node.open(node.path(name))
    rawbpf.put(old, key(0), value(word=100))  # its program has seen a packet since
    rawbpf.put(new, key(1), value(word=101))  # a new program has
    stamp = now() + 60_000_000
    rawbpf.put(old, key(2), value(stamp + 49_000_000, word=102))  # both, at about the same time
    rawbpf.put(new, key(2), value(stamp, word=103))
    rawbpf.delete(new, key(3))  # felix's scanner has deleted it
    rawbpf.delete(new, key(4))  # deleted there, but its program goes on
    rawbpf.put(old, key(4), value(word=104))
    rawbpf.put(old, key(7), value(word=107))  # a new flow
    rawbpf.put(old, key(8, UDP), value(now() - 10 * SECOND, word=108))
    foretold = node.run(check=True, state="settled", calico_version=release)
    result = node.run(state="settled", calico_version=release)
    assert result.actions == foretold.actions
    assert "insert 2 entries, replace 1 older" in result.actions[0]
    assert "0 expired and 2 deleted" in result.actions[0]
    assert words(node, name) == {
        key(0): 100,
        key(1): 101,
        key(2): 103,
        key(4): 104,
        key(5): 5,
        key(7): 107,
    }
    (carried,) = result.facts["carried"]
    counts = {what: carried[what] for what in ("inserted", "updated", "expired", "deleted")}
    assert counts == {"inserted": 2, "updated": 1, "expired": 0, "deleted": 2}
    assert (node.own_pins(), node.pins()) == ([], [name])
    assert node.run(state="settled", calico_version=release).actions == ()


def test_what_the_old_map_has_lost_goes_unless_the_new_one_was_written(node: CtNode) -> None:
    """Entries that were copied and then deleted by the programs of the old map."""
    old = node.table("cali_v4_ct3", 1000)
    for number in range(5):
        rawbpf.put(old, key(number), value(now() - 30 * SECOND, word=number))
    node.run(calico_version=V3_29, max_entries=2000)
    new = node.open(node.path("cali_v4_ct3"))
    for number in (1, 2):
        rawbpf.delete(old, key(number))
    user = node.use(new)
    rawbpf.put(new, key(2), value(word=22))  # a packet has come for it there
    rawbpf.put(new, key(9), value(word=9))  # a new flow
    (carried,) = node.run(state="settled", calico_version=V3_29).facts["carried"]
    assert words(node, "cali_v4_ct3") == {key(0): 0, key(2): 22, key(3): 3, key(4): 4, key(9): 9}
    assert carried["pruned"] == 1
    node.end(user)


def test_until_a_program_uses_the_new_map_all_in_it_is_copied(node: CtNode) -> None:
    old = node.table("cali_v4_ct4", 1000)
    user = node.use(old)
    node.run(calico_version=V3_31, max_entries=2000)
    new = node.open(node.path("cali_v4_ct4"))
    rawbpf.put(new, key(1), value(word=1))  # as a pass would have done
    ender = threading.Timer(1, node.end, (user,))
    ender.start()
    node.run(state="settled", calico_version=V3_31)
    ender.join()
    assert words(node, "cali_v4_ct4") == {}


def test_until_the_first_program_of_the_new_map_was_loaded(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks the copy of a flow is deleted, then the first program comes."""
    old = node.table("cali_v4_ct3", 1000)
    user = node.use(old)
    node.run(calico_version=V3_29, max_entries=2000)
    new = node.open(node.path("cali_v4_ct3"))
    follow, passes = conntrack_settle._Settling.follow, []

    def follow_and_switch(settling: Any) -> None:
        follow(settling)
        passes.append(settling)
        if len(passes) == 1:
            time.sleep(0.2)
            rawbpf.put(new, key(1), value(now() - 100_000_000, word=1))
            node.use(new)
            rawbpf.put(new, key(2), value(word=2))
        elif len(passes) == 2:
            node.end(user)

    monkeypatch.setattr(conntrack_settle._Settling, "follow", follow_and_switch)
    node.run(state="settled", calico_version=V3_29)
    assert words(node, "cali_v4_ct3") == {key(2): 2}


def test_a_map_that_was_put_back_loses_nothing(node: CtNode) -> None:
    """Its own programs have made entries that the one in between never had."""
    old = node.table("cali_v4_ct3", 1000)
    node.run(calico_version=V3_29, max_entries=2000)
    rawbpf.put(old, key(1), value(now() - 5 * SECOND, word=1))
    node.run(calico_version=V3_29, max_entries=1000)
    node.run(state="settled", calico_version=V3_29)
    assert words(node, "cali_v4_ct3") == {key(1): 1}


def test_just_over_the_tolerance_is_newer(node: CtNode) -> None:
    old = node.table("cali_v4_ct3", 1000)
    node.run(calico_version=V3_29, max_entries=2000)
    new = node.open(node.path("cali_v4_ct3"))
    stamp = now() + 60_000_000
    rawbpf.put(old, key(2), value(stamp + 51_000_000, word=1))
    rawbpf.put(new, key(2), value(stamp, word=2))
    node.run(state="settled", calico_version=V3_29)
    assert words(node, "cali_v4_ct3") == {key(2): 1}


def test_expired_entries_are_left_out(node: CtNode) -> None:
    """From a map without a note nothing tells the deleted; what has expired stays behind."""
    node.table("cali_v4_ct4", 1000)
    old = node.table("cali_v4_ct4", 1000, pinned_as="cali_v4_ct4_old")
    idle = now() - 100 * SECOND
    rawbpf.put(old, key(1), value(idle, word=1))
    rawbpf.put(old, key(2), value(idle, word=2, bits=1))  # not established: 20 s
    rawbpf.put(old, key(3, UDP), value(idle, word=3))
    rawbpf.put(old, key(4, UDP), value(now() - 30 * SECOND, word=4))
    rawbpf.put(old, key(5), value(idle, kind=NAT_REV, word=5))
    forwards = {6: key(5), 7: key(77), 8: key(2)}  # to one that lives, to none, to an expired one
    rawbpf.put(old, key(2), value(idle, word=2, bits=1, kind=NAT_REV))
    for number, reverse in forwards.items():
        raw = bytearray(value(idle, kind=NAT_FWD))
        raw[24:42] = reverse + bytes(2)
        rawbpf.put(old, key(number), bytes(raw))
    (carried,) = node.run(state="settled", calico_version=V3_31).facts["carried"]
    assert set(node.dump("cali_v4_ct4")) == {key(1), key(4, UDP), key(5), key(6)}
    assert (carried["inserted"], carried["expired"], carried["deleted"]) == (4, 4, 0)


def test_a_forward_entry_lives_by_whichever_reverse_entry_was_seen_last(node: CtNode) -> None:
    live = node.table("cali_v4_ct4", 1000)
    old = node.table("cali_v4_ct4", 1000, pinned_as="cali_v4_ct4_old")
    idle, stale = now() - 100 * SECOND, now() - 4000 * SECOND
    for number, fd, other in ((1, live, old), (2, old, live)):
        rawbpf.put(fd, key(number), value(idle, kind=NAT_REV))
        rawbpf.put(other, key(number), value(stale, kind=NAT_REV))
        raw = bytearray(value(idle, kind=NAT_FWD))
        raw[24:42] = key(number) + bytes(2)
        rawbpf.put(old, key(number + 10), bytes(raw))
    node.run(state="settled", calico_version=V3_31)
    assert set(node.dump("cali_v4_ct4")) == {key(1), key(2), key(11), key(12)}


def test_timers_that_are_configured(node: CtNode) -> None:
    node.table("cali_v4_ct4", 1000)
    old = node.table("cali_v4_ct4", 1000, pinned_as="cali_v4_ct4_old")
    rawbpf.put(old, key(1, UDP), value(now() - 100 * SECOND))
    rawbpf.put(old, key(2), value(now() - 100 * SECOND))
    timeouts = {"udp": 200, "tcp_established": 50}
    node.run(state="settled", calico_version=V3_31, timeouts=timeouts)
    assert set(node.dump("cali_v4_ct4")) == {key(1, UDP)}


def test_it_waits_for_programs_and_names_them(node: CtNode) -> None:
    old = node.table("cali_v4_ct3", 1000)
    user = node.use(old)
    node.run(calico_version=V3_29, max_entries=2000)
    rawbpf.put(old, key(1), value(word=1))
    began = time.monotonic()
    with pytest.raises(errors.UnverifiedError, match=r"cali_tc_preambl \(id [0-9]+\)"):
        node.run(state="settled", calico_version=V3_29, timeout=0.3)
    assert time.monotonic() - began < 30
    assert node.own_pins() == ["note_old_cali_v4_ct3", "old_cali_v4_ct3"]
    assert words(node, "cali_v4_ct3") == {key(1): 1}
    node.end(user)
    node.run(state="settled", calico_version=V3_29, timeout=0.0)
    assert node.own_pins() == []


class Writer:
    """A program's stand-in: entries come and change in maps, until they were followed for long.

    Then it ends with its program.
    """

    def __init__(self, node: CtNode, maps: dict[str, int]) -> None:
        self.maps = maps
        self.user = node.use(*maps.values())
        self._node = node
        self.followed = threading.Semaphore(0)
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write)
        self._ender = threading.Thread(target=self._end)

    def start(self) -> None:
        self._writer.start()
        self._ender.start()

    def join(self) -> None:
        self._ender.join()

    def _write(self) -> None:
        for number in itertools.cycle(range(20_000)):
            if self._stop.is_set():
                return
            for name, fd in self.maps.items():
                size = SIZES[name]
                rawbpf.put(fd, key(number, size=size[0]), value(word=number, size=size[1]))

    def _end(self) -> None:
        for _ in range(4 * len(self.maps)):
            self.followed.acquire(timeout=10)
        self._stop.set()
        self._writer.join()
        self._node.end(self.user)


SIZES = {"cali_v4_ct3": (16, 88), "cali_v6_ct3": (40, 128)}


@pytest.mark.parametrize("names", [("cali_v4_ct3", "cali_v6_ct3"), ("cali_v4_ct3",)])
def test_it_follows_while_programs_write_the_old_map(
    node: CtNode, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {name: node.table(name, 50_000) for name in names}
    writer = Writer(node, old)
    follow, signs = conntrack_settle._Settling.follow, set()

    def follow_and_tell(settling: Any) -> None:
        follow(settling)
        writer.followed.release()
        signs.add("following" in node.own_pins())

    monkeypatch.setattr(conntrack_settle._Settling, "follow", follow_and_tell)
    node.run(calico_version=V3_29, max_entries=60_000)
    writer.start()
    try:
        result = node.run(state="settled", calico_version=V3_29, timeout=60.0)
    finally:
        writer.join()
    for name, fd in old.items():
        wanted = rawbpf.dump(fd, *SIZES[name])
        assert len(wanted) > 100
        assert node.dump(name) == wanted
    assert all(one["passes"] > 3 for one in result.facts["carried"])
    assert signs == {False, True}
    assert node.own_pins() == []


def test_an_old_pin_of_felix_is_merged_and_removed(node: CtNode) -> None:
    """The dual-stack defect of 3.28 to 3.30: the live map has entries, and so has _old."""
    live = node.table("cali_v4_ct3", 1000)
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    rawbpf.put(live, key(1), value(word=1))
    rawbpf.put(old, key(1), value(now() - SECOND, word=2))
    rawbpf.put(old, key(2), value(now() - SECOND, word=3))
    result = node.run(state="settled", calico_version=V3_29)
    assert [one["code"] for one in result.findings] == ["CT_OLD_PIN"]
    assert words(node, "cali_v4_ct3") == {key(1): 1, key(2): 3}
    assert (node.pins(), shown(node.path("cali_v4_ct3"))["max_entries"]) == (["cali_v4_ct3"], 1000)


def test_an_old_pin_alone_is_put_back(node: CtNode) -> None:
    """felix was killed between its two steps."""
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    rawbpf.put(old, key(2), value(word=3))
    node.run(state="settled", calico_version=V3_29)
    assert node.pins() == ["cali_v4_ct3"]
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(old)
    assert node.run(state="settled", calico_version=V3_29).actions == ()


def test_an_old_pin_that_does_not_fit_is_refused(node: CtNode) -> None:
    live = node.table("cali_v4_ct3", 100)
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    for number in range(60):
        rawbpf.put(live, key(number), value())
        rawbpf.put(old, key(number + 1000), value())
    with pytest.raises(errors.RefusedError, match="takes 100, and has to hold 120") as raised:
        node.run(state="settled", calico_version=V3_29)
    assert raised.value.code == "CT_SHRINK"
    assert (len(node.dump("cali_v4_ct3")), node.pins()) == (60, ["cali_v4_ct3", "cali_v4_ct3_old"])


def test_maps_that_programs_use_without_a_pin(node: CtNode) -> None:
    """Defect 5.7: three maps in use. All entries come to the one at the pin."""
    live = node.table("cali_v4_ct4", 1000)
    strays = [node.unpinned("cali_v4_ct4", 1000) for _ in range(2)]
    foreign = node.unpinned("cali_v4_ct4", 1000)  # of a program that uses no pinned map of ours
    node.use(live)
    users = [node.use(stray) for stray in strays]
    other = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.using(foreign, 0), "other_node")
    for number, fd in enumerate((live, *strays, foreign)):
        rawbpf.put(fd, key(number), value(word=number))
    sized = node.run(calico_version=V3_31)
    assert [one["code"] for one in sized.findings] == ["CT_SPLIT", "CT_SPLIT"]
    kept = [f"old_cali_v4_ct4_{rawbpf.map_id(fd)}" for fd in strays]
    assert node.own_pins() == sorted(kept)
    assert words(node, "cali_v4_ct4") == {key(0): 0, key(1): 1, key(2): 2}
    assert node.run(calico_version=V3_31).actions == ()
    rawbpf.put(strays[0], key(9), value(word=9))
    for user in users:
        node.end(user)
    node.run(state="settled", calico_version=V3_31, timeout=0.0)
    assert words(node, "cali_v4_ct4") == {key(0): 0, key(1): 1, key(2): 2, key(9): 9}
    assert node.own_pins() == []
    os.close(other)


def test_stuck_on_a_parameter_mismatch(node: CtNode) -> None:
    """3.27: programs stay on a map without a pin, and the pin has a size that nothing loads."""
    live, stray = node.table("cali_v4_ct3", 1000), node.unpinned("cali_v4_ct3", 512000)
    user = node.use(stray)
    rawbpf.put(live, key(1), value(word=1))
    rawbpf.put(stray, key(2), value(word=2))
    node.run(calico_version="3.27.5", max_entries=512000)
    assert shown(node.path("cali_v4_ct3"))["max_entries"] == 512000
    assert words(node, "cali_v4_ct3") == {key(1): 1, key(2): 2}
    rawbpf.put(stray, key(3), value(word=3))
    node.end(user)
    node.run(state="settled", calico_version="3.27.5")
    assert words(node, "cali_v4_ct3") == {key(1): 1, key(2): 2, key(3): 3}
    assert (node.own_pins(), node.pins()) == ([], ["cali_v4_ct3"])


def test_what_an_interrupted_run_left_is_removed(node: CtNode) -> None:
    node.table("cali_v4_ct3", 1000)
    node.own.mkdir()
    rawbpf.pin(rawbpf.create_map(2, 4, 16, 1), str(node.own / "note_old_cali_v4_ct3"))
    live = node.open(node.path("cali_v4_ct3"))
    rawbpf.pin(live, str(node.own / "old_cali_v4_ct3"))
    assert len(node.run(state="settled", calico_version=V3_29).actions) == 1
    assert (node.own_pins(), node.pins()) == ([], ["cali_v4_ct3"])
    rawbpf.pin(rawbpf.create_map(2, 4, 16, 1), str(node.own / "note_old_cali_v4_ct3"))
    node.run(state="settled", calico_version=V3_29)
    assert node.own_pins() == []


def test_a_note_tells_since_when(node: CtNode) -> None:
    """An entry that was touched after the swap is carried over although it is idle since."""
    old = node.table("cali_v4_ct3", 1000)
    node.run(calico_version=V3_29, max_entries=2000)
    fd = rawbpf.open_pinned(str(node.own / "note_old_cali_v4_ct3"))
    since, clear, unwritten = struct.unpack("<QQQ", rawbpf.get(fd, bytes(4), 24) or b"")
    assert 0 < now() - unwritten < now() - since < 10 * SECOND
    assert clear == 0
    rawbpf.put(old, key(1), value(since, word=1))
    rawbpf.put(old, key(2), value(since - 1, word=2))
    node.run(state="settled", calico_version=V3_29)
    assert words(node, "cali_v4_ct3") == {key(1): 1}
