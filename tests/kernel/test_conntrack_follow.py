# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map, state settled, while programs move from the old map to the new one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import conntrack_settle
from tests.kernel.conntrack_node import MAPS, CtNode, key, now, value
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


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
                size = MAPS[name][2:]
                rawbpf.put(fd, key(number, size=size[0]), value(word=number, size=size[1]))

    def _end(self) -> None:
        for _ in range(4 * len(self.maps)):
            self.followed.acquire(timeout=10)
        self._stop.set()
        self._writer.join()
        self._node.end(self.user)


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
        wanted = rawbpf.dump(fd, *MAPS[name][2:])
        assert len(wanted) > 100
        assert node.dump(name) == wanted
    assert all(one["passes"] > 3 for one in result.facts["carried"])
    assert signs == {False, True}
    assert node.own_pins() == []


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
    assert node.words("cali_v4_ct3") == {key(1): 1}
    node.end(user)
    node.run(state="settled", calico_version=V3_29, timeout=0.0)
    assert node.own_pins() == []


def test_it_ends_when_its_sign_is_removed(node: CtNode, monkeypatch: pytest.MonkeyPatch) -> None:
    user = node.use(node.table("cali_v4_ct3", 1000))
    node.run(calico_version=V3_29, max_entries=2000)
    follow, passes = conntrack_settle._Settling.follow, itertools.count(1)

    def follow_and_remove(settling: Any) -> None:
        follow(settling)
        if next(passes) == 3:
            (node.own / "following").unlink()

    monkeypatch.setattr(conntrack_settle._Settling, "follow", follow_and_remove)
    with pytest.raises(errors.UnverifiedError, match=r"When .*/following was removed, which ends"):
        node.run(state="settled", calico_version=V3_29, timeout=60.0)
    assert next(passes) == 4
    assert node.own_pins() == ["note_old_cali_v4_ct3", "old_cali_v4_ct3"]
    node.end(user)
    node.run(state="settled", calico_version=V3_29, timeout=0.0)
    assert node.own_pins() == []


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
    assert node.words("cali_v4_ct4") == {}


def test_until_the_first_program_of_the_new_map_was_loaded(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks the copy of a flow is deleted, then the first program comes."""
    offsets = Path("/proc/self/timens_offsets")
    if offsets.exists() and set(offsets.read_text("ascii").split()[1::3]) != {"0"}:
        pytest.skip("the kernel dates programs by its own clock, not by a time namespace's")
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
    assert node.words("cali_v4_ct3") == {key(2): 2}


@pytest.mark.parametrize(("name", "release"), [("cali_v4_ct3", V3_29), ("cali_v4_ct4", V3_31)])
def test_flows_that_come_and_go_do_not_fill_the_new_map(
    node: CtNode, name: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass finds 100 other flows in the old map; the new one takes 1000."""
    old = node.table(name, 500)
    user = node.use(old)
    follow, passes = conntrack_settle._Settling.follow, itertools.count(1)

    def follow_and_replace(settling: Any) -> None:
        follow(settling)
        done = next(passes)
        for number in range(100):
            rawbpf.delete(old, key(100 * (done - 1) + number))
            flow = value(now() - 200_000_000, word=done)  # beyond the tolerance of times
            rawbpf.put(old, key(100 * done + number), flow)
        if done == 20:
            node.end(user)

    for number in range(100):
        rawbpf.put(old, key(number), value(now() - 200_000_000))
    node.run(calico_version=release, max_entries=1000)
    monkeypatch.setattr(conntrack_settle._Settling, "follow", follow_and_replace)
    monkeypatch.setattr(conntrack_settle, "PAUSE", 0.0)
    result = node.run(state="settled", calico_version=release)
    assert node.words(name) == {key(2000 + number): 20 for number in range(100)}
    assert result.facts["carried"][0]["pruned"] == 2000


def test_flows_that_ended_before_the_first_pass_make_room(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = node.table("cali_v4_ct3", 500)
    user = node.use(old)
    for number in range(500):
        rawbpf.put(old, key(number), value(now() - 2_000_000_000))
    node.run(calico_version=V3_29, max_entries=600)
    follow, passes = conntrack_settle._Settling.follow, itertools.count()

    def replace_and_follow(settling: Any) -> None:
        if next(passes) == 0:
            for number in range(500):
                rawbpf.delete(old, key(number))
                rawbpf.put(old, key(500 + number), value(word=1))
            node.end(user)
        follow(settling)

    monkeypatch.setattr(conntrack_settle._Settling, "follow", replace_and_follow)
    node.run(state="settled", calico_version=V3_29)
    assert node.words("cali_v4_ct3") == {key(500 + number): 1 for number in range(500)}
