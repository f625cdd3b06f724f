# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map, state settled: what old maps know better is carried over, and they go."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conntrack_node import (
    NAT_FWD,
    NAT_REV,
    SECOND,
    UDP,
    CtNode,
    key,
    now,
    value,
)
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


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
    assert node.words(name) == {
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
    assert node.words("cali_v4_ct3") == {key(0): 0, key(2): 22, key(3): 3, key(4): 4, key(9): 9}
    assert carried["pruned"] == 1
    node.end(user)


def test_a_map_that_was_put_back_loses_nothing(node: CtNode) -> None:
    """Its own programs have made entries that the one in between never had."""
    old = node.table("cali_v4_ct3", 1000)
    node.run(calico_version=V3_29, max_entries=2000)
    rawbpf.put(old, key(1), value(now() - 5 * SECOND, word=1))
    node.run(calico_version=V3_29, max_entries=1000)
    node.run(state="settled", calico_version=V3_29)
    assert node.words("cali_v4_ct3") == {key(1): 1}


def test_just_over_the_tolerance_is_newer(node: CtNode) -> None:
    old = node.table("cali_v4_ct3", 1000)
    node.run(calico_version=V3_29, max_entries=2000)
    new = node.open(node.path("cali_v4_ct3"))
    stamp = now() + 60_000_000
    rawbpf.put(old, key(2), value(stamp + 51_000_000, word=1))
    rawbpf.put(new, key(2), value(stamp, word=2))
    node.run(state="settled", calico_version=V3_29)
    assert node.words("cali_v4_ct3") == {key(2): 1}


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
    assert node.words("cali_v4_ct3") == {key(1): 1}
