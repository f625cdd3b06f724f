# SPDX-License-Identifier: GPL-3.0-or-later
"""One pod's end of the traffic: echo servers, and the flows that start here.

Runs in the pod with Python 3.8 and the standard library.  A Unix socket takes
one command per connection: go, enforced, report, halt, exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

TCP_PORT, UDP_PORT = 7000, 7001
# Datagrams to a peer that a policy denies; those from PROBE_PORT are sent before it is in force.
DENIED_PORT, PROBE_PORT = 7002, 7003
MESSAGE = struct.Struct("!QQ")  # flow, sequence number
CONNECT_SECONDS = 10
# A message or datagram without an echo for this long is not just on its way.
LATE_SECONDS = 3.0
TCPI_TOTAL_RETRANS = 100  # offset of the u32 in struct tcp_info


class Resent:
    """Segments that this end of a connection has sent again, also after it has closed."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._socket = writer.get_extra_info("socket")
        self._last = 0

    def count(self) -> int:
        """The kernel's figure now, or the last one while the socket was open."""
        with contextlib.suppress(OSError):
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            self._last = struct.unpack_from("=I", info, TCPI_TOTAL_RETRANS)[0]
        return self._last


class TcpFlow:
    """A connection that sends one numbered message at a time and checks its echo."""

    def __init__(self, number: int, address: str) -> None:
        self.number, self.address = number, address
        self.death = ""
        self.messages = 0
        self.resent: Resent | None = None
        self.longest = 0.0
        self.sent_at = 0.0

    async def run(self, interval: float, halted: asyncio.Event) -> None:
        try:
            opening = asyncio.open_connection(self.address, TCP_PORT)
            reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
            self.resent = Resent(writer)
            while not halted.is_set():
                await self._exchange(reader, writer)
                await asyncio.sleep(interval)
        except asyncio.IncompleteReadError:
            self.death = "closed by the other end"
        except (OSError, asyncio.TimeoutError, ValueError) as error:  # noqa: UP041 - Python 3.8
            self.death = str(error) or type(error).__name__

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = MESSAGE.pack(self.number, self.messages)
        self.sent_at = time.monotonic()
        writer.write(message)
        if await reader.readexactly(MESSAGE.size) != message:
            raise ValueError(f"wrong echo of message {self.messages}")
        self.longest = max(self.longest, time.monotonic() - self.sent_at)
        self.sent_at = 0.0
        self.messages += 1

    def report(self) -> dict[str, Any]:
        waiting = time.monotonic() - self.sent_at if self.sent_at else 0.0
        return {
            "flow": self.number,
            "opened": self.resent is not None,
            "death": self.death,
            "stalled": not self.death and waiting > LATE_SECONDS,
            "messages": self.messages,
            "longest_stall_ms": round(1000 * max(self.longest, waiting)),
            "retransmitted": self.resent.count() if self.resent else 0,
        }


class UdpFlow(asyncio.DatagramProtocol):
    """A stream of numbered datagrams whose echoes are counted."""

    def __init__(self, number: int, address: str) -> None:
        self.number, self.address = number, address
        self.sent = self.received = self.errors = 0
        self.waiting: dict[int, float] = {}

    async def run(self, interval: float, halted: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=(self.address, UDP_PORT)
        )
        while not halted.is_set():
            self.waiting[self.sent] = time.monotonic()
            transport.sendto(MESSAGE.pack(self.number, self.sent))
            self.sent += 1
            await asyncio.sleep(interval)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        number, sequence = MESSAGE.unpack(data)
        if number == self.number and self.waiting.pop(sequence, None) is not None:
            self.received += 1

    def error_received(self, exc: Exception) -> None:
        self.errors += 1

    def report(self) -> dict[str, Any]:
        late = time.monotonic() - LATE_SECONDS
        lost = sum(1 for sent_at in self.waiting.values() if sent_at < late)
        return {
            "flow": self.number,
            "sent": self.sent,
            "received": self.received,
            "lost": lost,
            "waiting": len(self.waiting) - lost,
        }


class DeniedFlow:
    """Datagrams that a policy has to stop; always of the same flow, that has no entry."""

    def __init__(self, number: int, address: str) -> None:
        self.number, self.address = number, address
        self.sent = 0

    async def run(self, interval: float, halted: asyncio.Event, sinks: DeniedSinks) -> None:
        while not halted.is_set():
            sinks.send(MESSAGE.pack(self.number, self.sent), self.address)
            self.sent += sinks.enforced
            await asyncio.sleep(interval)

    def report(self) -> dict[str, Any]:
        return {"flow": self.number, "sent": self.sent}


class DeniedSinks:
    """Both ends of all denied flows of a pod: sends, and counts by flow what arrives."""

    def __init__(self, address: str) -> None:
        self.enforced = False
        self.probed: dict[int, int] = {}
        self.through: dict[int, int] = {}
        self._probe = _datagrams(address, PROBE_PORT)
        self._denied = _datagrams(address, DENIED_PORT)
        asyncio.get_running_loop().add_reader(self._denied, self._read)

    def send(self, data: bytes, address: str) -> None:
        with contextlib.suppress(OSError):
            source = self._denied if self.enforced else self._probe
            source.sendto(data, (address, DENIED_PORT))

    def _read(self) -> None:
        data, (_, port) = self._denied.recvfrom(MESSAGE.size)
        number = MESSAGE.unpack(data)[0]
        counted = self.probed if port == PROBE_PORT else self.through
        counted[number] = counted.get(number, 0) + 1


def _datagrams(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((address, port))
    return made


class UdpEcho(asyncio.DatagramProtocol):
    """Sends every datagram back."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class Worker:
    """Everything that runs in one pod."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.tcp = [TcpFlow(flow["number"], flow["address"]) for flow in plan["tcp"]]
        self.udp = [UdpFlow(flow["number"], flow["address"]) for flow in plan["udp"]]
        self.denied = [DeniedFlow(flow["number"], flow["address"]) for flow in plan["denied"]]
        self.served: list[Resent] = []
        self.halted = asyncio.Event()
        self.done = asyncio.Event()
        self.tasks: list[Any] = []

    async def run(self, control: Path) -> None:
        loop = asyncio.get_running_loop()
        self.sinks = DeniedSinks(self.plan["bind"][0])
        await asyncio.start_server(self._echo, self.plan["bind"], TCP_PORT, backlog=1024)
        for address in self.plan["bind"]:
            await loop.create_datagram_endpoint(UdpEcho, local_addr=(address, UDP_PORT))
        await asyncio.start_unix_server(self._control, str(control))
        await self.done.wait()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served.append(Resent(writer))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(await reader.readexactly(MESSAGE.size))

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.readline()).decode().strip()
        if command == "go":
            self._go()
        elif command == "enforced":
            self.sinks.enforced = True
        elif command == "halt":
            self.halted.set()
        writer.write(json.dumps(self._report()).encode())
        await writer.drain()
        writer.close()
        if command == "exit":
            self.done.set()

    def _go(self) -> None:
        interval = self.plan["interval"]
        flows: list[TcpFlow | UdpFlow] = [*self.tcp, *self.udp]
        runs = [flow.run(interval, self.halted) for flow in flows]
        runs += [flow.run(interval, self.halted, self.sinks) for flow in self.denied]
        self.tasks = [asyncio.ensure_future(run) for run in runs]

    def _report(self) -> dict[str, Any]:
        return {
            "tcp": [flow.report() for flow in self.tcp],
            "udp": [flow.report() for flow in self.udp],
            "denied": [flow.report() for flow in self.denied],
            "probed": self.sinks.probed,
            "through": self.sinks.through,
            "served_retransmitted": sum(resent.count() for resent in self.served),
        }


async def main() -> None:
    """Read the plan named by the first argument and serve the socket named by the second."""
    await Worker(json.loads(Path(sys.argv[1]).read_text())).run(Path(sys.argv[2]))


if __name__ == "__main__":
    asyncio.run(main())
