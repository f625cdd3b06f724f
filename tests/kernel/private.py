# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace for one test.

What removes all of Calico's programs from a node must not see those of another test. /sys/class/net
still shows the namespace of before.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _called(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def private_network() -> Iterator[None]:
    """Run the block, and the commands in it, in a network namespace of its own."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    _called(_libc.unshare(_NEWNET))
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        _called(_libc.setns(before, _NEWNET))
        os.close(before)
