# SPDX-License-Identifier: GPL-3.0-or-later
"""tc_attachment under packets that the filters drop: none passes while filters move."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import node_state
from tests.kernel.node_state import Node
from tests.kernel.own_network import both, places, run
from tests.kernel.private import private_network
from tests.observe import rawbpf

INTERFACES = tuple(f"cali{number:02}" for number in range(40))
KIND = 0x88B5  # IEEE's EtherType for experiments
DROP = 2
SENDER = """
import select, socket, sys
out = []
for name in sys.argv[1:]:
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    one.bind((name, 0))
    out.append(one)
frame, count = bytes(12) + bytes([0x88, 0xB5]) + bytes(60), 0
print(flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for one in out:
        try:
            one.send(frame)
        except OSError:
            pass  # dropped, as it should be
        count += 1
print(count)
"""


class Traffic:
    """Frames that a sender tried to send, and those that came through."""

    sent = 0
    arrived = 0


@contextmanager
def traffic() -> Iterator[Traffic]:
    """Frames out of all interfaces, one after another, as long as the block lasts."""
    counted = Traffic()
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
    listener.setblocking(False)
    command = [sys.executable, "-c", SENDER, *INTERFACES]
    pipe = subprocess.PIPE
    with listener, subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as sender:
        assert sender.stdout
        sender.stdout.readline()
        yield counted
        counted.sent = int(sender.communicate("\n")[0])
        while True:
            try:
                listener.recv(2000)
            except BlockingIOError:
                break
            counted.arrived += 1


@pytest.fixture
def node(pins: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Interfaces whose filters drop everything, those on the egress hooks out of place."""
    pytest.importorskip("pyroute2")

    def dropping(kind: int, name: str, maps: list[int], attach_type: int = 0) -> int:
        loads = b"".join(rawbpf.insn(0x18, 1, 1, 0, fd) + rawbpf.insn(0) for fd in maps)
        return rawbpf.load_program(kind, loads + rawbpf.returning(DROP), name, attach_type)

    with private_network():
        made = Node(pins, ())
        monkeypatch.setattr(node_state, "program", dropping)
        made.many(INTERFACES, {"ingress": (49152, 1), "egress": (49150, 2)})
        yield made
        made.close()


def test_no_denied_packet_passes(node: Node) -> None:
    with traffic() as counted:
        assert len(run(node).actions) == len(INTERFACES)
    assert counted.sent > 10 * len(INTERFACES)
    assert counted.arrived == 0
    assert all(places(name) == both(49152, 1) for name in INTERFACES)


def test_the_listener_would_see_them(node: Node) -> None:
    with traffic() as counted:
        run(node, state="absent", interfaces=["cali*"])
    assert 0 < counted.arrived <= 2 * counted.sent
