# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP echo servers and clients that never change their port; runs in a pod.

`udp_flows.py serve PORT` answers every datagram with itself.
`udp_flows.py send FILE NAME=PORT@ADDRESS:PORT ...` sends on each flow 20 times a second, and
writes to FILE, by name, how many were sent and echoed, and the seconds since the last echo.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from pathlib import Path

INTERVAL = 0.05


def serve(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", port))
        while True:
            data, sender = one.recvfrom(2048)
            one.sendto(data, sender)


class Flow:
    """One client socket and what became of its datagrams."""

    def __init__(self, text: str) -> None:
        self.name, _, rest = text.partition("=")
        port, _, target = rest.partition("@")
        address, _, target_port = target.rpartition(":")
        self.target = (address.strip("[]"), int(target_port))
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("", int(port)))
        self.sent = self.echoed = self.strange = 0
        self.last_echo = time.monotonic()

    def send(self) -> None:
        with contextlib.suppress(OSError):  # no route, or an error that came back
            self.socket.sendto(self.name.encode(), self.target)
        self.sent += 1

    def receive(self) -> None:
        try:
            data, sender = self.socket.recvfrom(2048)
        except OSError:
            return
        if (sender[0], sender[1], data) == (*self.target, self.name.encode()):
            self.echoed += 1
            self.last_echo = time.monotonic()
        else:
            self.strange += 1

    def state(self) -> dict[str, float]:
        silent = time.monotonic() - self.last_echo
        counts = {"sent": self.sent, "echoed": self.echoed, "strange": self.strange}
        return {**counts, "silent": silent}


def send(file: Path, texts: list[str]) -> None:
    flows = {flow.socket: flow for flow in map(Flow, texts)}
    unfinished = file.with_suffix(".new")
    while True:
        for flow in flows.values():
            flow.send()
        end = time.monotonic() + INTERVAL
        while (left := end - time.monotonic()) > 0:
            for one in select.select(list(flows), [], [], left)[0]:
                flows[one].receive()
        found = {flow.name: flow.state() for flow in flows.values()}
        unfinished.write_text(json.dumps({"at": time.monotonic(), "flows": found}))
        unfinished.rename(file)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        send(Path(sys.argv[2]), sys.argv[3:])
