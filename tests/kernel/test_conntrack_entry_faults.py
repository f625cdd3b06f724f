# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_entry while the tables change under it, and killed between two of its steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import (
    conntrack_entry as carrying_out,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import writers
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.modules import conntrack_entry
from tests.kernel.entry_node import EntryNode, Flow, value_of
from tests.kernel.flows import ESTABLISHED, NAT_REV, TCP, UDP
from tests.kernel.support import die_before
from tests.observe import rawbpf

SERVICE, BACKEND, CLIENT = ("10.96.0.1", 53), ("10.65.0.5", 5353), ("10.65.0.4", 3000)


@pytest.fixture
def node(pins: Path) -> EntryNode:
    return EntryNode(pins)


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Between the plan and the first deletion."""

    def execute(*args: Any) -> Any:
        happens()
        return carrying_out.execute(*args)

    monkeypatch.setattr(conntrack_entry, "execute", execute)


def test_a_refreshed_entry_that_is_no_longer_meant_stays(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Flow(UDP, CLIENT, ("10.65.9.9", 53), idle=100)
    key = node.put(old)
    other = node.put(Flow(UDP, CLIENT, ("10.65.9.8", 53), idle=100))
    meanwhile(monkeypatch, lambda: node.put(old._replace(idle=0)))
    result = node.run(idle_longer_than=50)
    assert set(node.dump()) == {key}
    assert [one["destination"] for one in result.facts["removed"]] == ["10.65.9.8:53"]
    assert [one["destination"] for one in result.facts["spared"]] == ["10.65.9.9:53"]
    assert other not in node.dump() and result.actions


def test_a_refreshed_entry_that_is_meant_all_the_same_goes(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Flow(UDP, CLIENT, ("10.65.9.9", 53), idle=100)
    node.put(flow)
    meanwhile(monkeypatch, lambda: node.put(flow._replace(idle=0)))
    result = node.run(protocol="udp")
    assert node.dump() == {}
    assert result.facts["removed"][0]["idle_seconds"] < 50


def test_nothing_changes_when_all_was_refreshed(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Flow(UDP, CLIENT, ("10.65.9.9", 53), idle=100)
    node.put(flow)
    meanwhile(monkeypatch, lambda: node.put(flow._replace(idle=0)))
    result = node.run(idle_longer_than=50)
    assert result.actions == () and result.before == result.after
    assert len(node.dump()) == 1


def test_a_stuck_flow_that_became_one_with_nat_stays(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone else has removed the entry, and the next packet went to a backend."""
    node.frontend(SERVICE)
    node.put(Flow(UDP, CLIENT, SERVICE))
    meanwhile(monkeypatch, lambda: node.connect(CLIENT, SERVICE, BACKEND, UDP))
    assert node.run(stale_udp=True).facts["removed"] == []
    assert len(node.dump()) == 2


def test_a_service_that_is_gone_meanwhile_has_no_stuck_flow(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that changed is judged by the Services of now."""
    flow = Flow(UDP, CLIENT, SERVICE, idle=3)
    node.frontend(SERVICE)
    node.put(flow)

    def happens() -> None:
        node.frontend(SERVICE, backends=0)
        node.put(flow._replace(idle=0))

    meanwhile(monkeypatch, happens)
    assert node.run(stale_udp=True).facts["removed"] == []
    assert len(node.dump()) == 1


def test_half_of_a_pair_that_is_refreshed_saves_both(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.connect(CLIENT, SERVICE, BACKEND, idle=100)
    again = Flow(TCP, CLIENT, BACKEND, NAT_REV, 0, service=SERVICE)
    meanwhile(monkeypatch, lambda: node.put(again))
    assert node.run(idle_longer_than=50, types=["NAT_FWD"]).facts["removed"] == []
    assert len(node.dump()) == 2


def test_a_forward_entry_that_leads_elsewhere_now_takes_its_new_half_along(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forward, before = node.connect(CLIENT, SERVICE, BACKEND)
    meanwhile(monkeypatch, lambda: node.connect(CLIENT, SERVICE, ("10.65.0.6", 5353)))
    result = node.run(services=["10.96.0.1:53"], types=["NAT_FWD"])
    assert len(result.facts["removed"]) == 2
    assert set(node.dump()) == {before}


def test_an_entry_that_is_gone_meanwhile(node: EntryNode, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [node.put(Flow(UDP, CLIENT, ("10.65.9.9", port))) for port in (1, 2, 3)]
    meanwhile(monkeypatch, lambda: node.delete(keys[1]))
    result = node.run(protocol="udp")
    assert node.dump() == {}
    assert len(result.facts["removed"]) == 2 and len(result.facts["spared"]) == 1


def replaced(node: EntryNode) -> None:
    """What a resize does: the table is in another map, and that is pinned."""
    size = node.sizes
    fd = rawbpf.create_map(1, *size, 2000, 1)
    for key, value in node.dump().items():
        rawbpf.put(fd, key, value)
    rawbpf.pin(fd, str(node.pins / "beside"))
    (node.pins / "beside").rename(node.pins / node.name)


def test_a_map_that_was_replaced_meanwhile(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    meanwhile(monkeypatch, lambda: replaced(node))
    with pytest.raises(errors.RefusedError, match="names another map than a moment ago"):
        node.run(protocol="udp")
    assert set(node.dump()) == {key}
    assert rawbpf.get(node.table, key, 88)  # not from the old one either
    monkeypatch.undo()
    assert node.gone(protocol="udp") == {key}


def test_no_table_is_touched_when_one_was_replaced(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    six = EntryNode(node.pins, "cali_v6_ct3")
    node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    six.put(Flow(UDP, ("fd00::1", 4), ("fd00::2", 53)))
    meanwhile(monkeypatch, lambda: replaced(six))
    with pytest.raises(errors.RefusedError, match="cali_v6_ct3 names another map"):
        node.run(protocol="udp")
    assert len(node.dump()) == len(six.dump()) == 1


def test_a_map_that_is_replaced_while_entries_are_deleted(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    delete = carrying_out.delete_keys

    def happens(*args: Any) -> Any:
        replaced(node)
        return delete(*args)

    monkeypatch.setattr(carrying_out, "delete_keys", happens)
    with pytest.raises(errors.UnverifiedError, match=r"shows another map at .*cali_v4_ct3 than"):
        node.run(protocol="udp")
    monkeypatch.undo()
    assert len(node.gone(protocol="udp")) == 1


def test_a_deletion_that_does_nothing_is_noticed(
    node: EntryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    monkeypatch.setattr(carrying_out, "delete_keys", lambda *args: 0)
    with pytest.raises(errors.UnverifiedError, match=r"shows 1 of 1 entries in .* unchanged"):
        node.run(protocol="udp")


def killed(node: EntryNode, step: int, **params: Any) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            # One by one, as on kernels without batches, so that it can end between two of them.
            writers._delete_batch = lambda *args: None
            die_before(step, [(Map, "delete")])
            node.run(**params)
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] >> 8 == 9


@pytest.mark.parametrize("step", [0, 1, 2, 3])
@pytest.mark.parametrize("query", [{"destination": "10.96.0.1"}, {"destination": "10.65.0.5"}])
def test_killed_and_run_again(node: EntryNode, step: int, query: dict[str, Any]) -> None:
    """What is meant goes last, so that the second run meets it again."""
    for port in (1, 2):
        node.connect((CLIENT[0], port), SERVICE, BACKEND, bits=ESTABLISHED)
    stays = node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    killed(node, step, **query)
    assert len(node.dump()) == 5 - step
    node.run(**query)
    assert set(node.dump()) == {stays}


def test_many_entries_in_several_batches(pins: Path) -> None:
    """Pairs and single entries, some of them refreshed, of which none may go by mistake."""
    node = EntryNode(pins, entries=5000)
    kept = {node.put(Flow(UDP, ("10.66.0.1", port), ("10.67.0.1", 53))) for port in range(1, 1001)}
    for port in range(1, 301):
        node.connect((CLIENT[0], port), SERVICE, BACKEND)
        node.put(Flow(TCP, (CLIENT[0], 1000 + port), ("10.65.9.9", 80)))
    assert len(node.gone(source=CLIENT[0])) == 900
    assert set(node.dump()) == kept


def test_check_mode_takes_no_lock(node: EntryNode, own_lock: Path) -> None:
    node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53)))
    node.run(check=True, protocol="udp")
    assert not own_lock.exists()
    node.run(protocol="udp")
    assert own_lock.exists()


def test_the_value_of_the_tests_is_calicos() -> None:
    raw = value_of(Flow(TCP, CLIENT, BACKEND, NAT_REV, service=SERVICE), 88)
    assert raw[76:80] == bytes([10, 96, 0, 1]) and raw[80:82] == b"\x35\0"
