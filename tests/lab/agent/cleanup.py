# SPDX-License-Identifier: GPL-3.0-or-later
"""What felix removes when it starts with BPFEnabled = false, release by release."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import bpf, filters, host
from .connect_time import CGROUP, CONNECT, MESSAGES
from .connect_time import PINS as CONNECT_TIME_PINS
from .filters import TCX_PINS, Interface
from .libbpf import LIB
from .releases import Release

BPFFS = Path("/sys/fs/bpf")
SOCKMAP = BPFFS / "calico" / "sockmap"


def clean(release: Release, interfaces: list[Interface]) -> None:
    """Connect-time programs, what is at interfaces, pins, felix's own veth; directories stay."""
    if release.ctlb_pinned:
        _detach_connect_time()
    for one in interfaces:
        if any(filters.existing(one, hook) for hook in (0, 1)):
            filters.remove_clsact(one)
    if release.tcx:
        shutil.rmtree(TCX_PINS, ignore_errors=True)
    for path in list(_pins(release)):
        path.unlink()
    if release.removes_devices:
        host.remove()


def _detach_connect_time() -> None:
    """Pinned links; without any, whatever is attached with flags 0, whoever owns it."""
    links = list(CONNECT_TIME_PINS.glob("cali*"))
    for path in links:
        fd = bpf.opened(path)
        if fd is not None:
            LIB.bpf_link_detach(fd)
            os.close(fd)
    if links:
        return
    cgroup = os.open(CGROUP, os.O_RDONLY | os.O_DIRECTORY)
    for attach_type in (*CONNECT.values(), *MESSAGES.values()):
        LIB.bpf_prog_detach(cgroup, attach_type)
    os.close(cgroup)


def _pins(release: Release) -> Iterator[Path]:
    """Before 3.27.4 felix looks in tc/ only, and does not know its XDP maps' names."""
    everything = release.cleans_all_pins
    top = BPFFS if everything else BPFFS / "tc"
    prefixes = ("cali_", "calico_", "xdp_cali_") if everything else ("cali_", "calico_")
    for path in top.rglob("*"):
        inside = SOCKMAP in path.parents
        if path.name.startswith(prefixes) and not inside and not path.is_dir():
            yield path
