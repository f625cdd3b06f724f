# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of log_filter on an interface that calls log filters."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._runner import Result
from ansible_collections.bpfops.calico.plugins.modules import log_filter
from tests.kernel.log_state import SLOTS, LogNode, sent
from tests.kernel.private import private_network
from tests.kernel.support import bpftool
from tests.observe import rawbpf

HOOKS = ("ingress", "egress")
PACKETS = 20


@contextmanager
def calling(pins: Path, release: str) -> Iterator[LogNode]:
    """An interface that calls two empty slots."""
    pytest.importorskip("pyroute2")
    with private_network():
        made = LogNode(pins, release)
        for hook in HOOKS:
            made.attach(hook, SLOTS[hook])
        made.state((26, 27))
        yield made
        made.close()


def run(node: LogNode, check: bool = False, **params: Any) -> Result:
    defaults = {name: spec.get("default") for name, spec in log_filter.ARGUMENT_SPEC.items()}
    return log_filter.work({**defaults, "bpffs": str(node.root), **params}, check)


def fill(node: LogNode) -> None:
    """Put log filters where they are called."""
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0), "calico_log_filt")
    for hook in HOOKS:
        slot = struct.pack("<I", SLOTS[hook])
        rawbpf.put(node.arrays(hook)[0], slot, struct.pack("<I", fd))
    os.close(fd)


@contextmanager
def repeated(packets: int) -> Iterator[None]:
    """Packets on both hooks, again and again as long as the block lasts."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            for hook in HOOKS:
                sent(packets, hook)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def program(number: int | None) -> dict[str, Any]:
    return dict(bpftool("prog", "show", "id", str(number)))
