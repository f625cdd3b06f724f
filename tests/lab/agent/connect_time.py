# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs on the node's cgroup, attached as each release does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from . import bpf, config
from .libbpf import BpfObject, LibbpfError
from .objects import Loader
from .plan import Plan

CGROUP = Path("/run/calico/cgroup")
PINS = Path("/sys/fs/bpf/ctlb")
# Attach type of each program; the kernel keeps 15 characters of the names.
CONNECT = {"calico_connect_v4": 10, "calico_connect_v46": 11}
MESSAGES = {
    "calico_sendmsg_v4": 14,
    "calico_sendmsg_v46": 15,
    "calico_recvmsg_v4": 19,
    "calico_recvmsg_v46": 20,
}


class ConnectTime:
    """Attaches; holds the links of releases that do not pin them."""

    def __init__(self, wanted: Plan) -> None:
        self._plan = wanted
        self._links: list[int] = []

    def attach(self, loader: Loader) -> None:
        """Attach by links, or with flags 0 where the kernel refuses a link."""
        wanted = self._wanted()
        if not wanted:
            return
        loaded = loader.connect_time()
        for name in (*CONNECT, *MESSAGES):
            loaded.set_autoload(name, name in wanted)
        loaded.load()
        cgroup = os.open(CGROUP, os.O_RDONLY | os.O_DIRECTORY)
        for name, attach_type in wanted.items():
            self._attach_one(loaded, name, cgroup, attach_type)
        os.close(cgroup)
        loaded.close()

    def _wanted(self) -> dict[str, int]:
        all_hooks = {**CONNECT, **MESSAGES}
        if self._plan.release.ctlb_all_hooks:
            return all_hooks
        choice = config.choice("BPFConnectTimeLoadBalancing", ("TCP", "Enabled", "Disabled"))
        wanted = {"TCP": CONNECT, "Enabled": all_hooks, "Disabled": {}}[choice]
        if "v4" in self._plan.families:
            return wanted
        return {name: kind for name, kind in wanted.items() if not name.endswith("v4")}

    def _attach_one(self, loaded: BpfObject, name: str, cgroup: int, attach_type: int) -> None:
        program = loaded.program_fd(name)
        if self._updated(name, program):
            return
        link = self._link(program, cgroup, attach_type)
        if link is None:
            bpf.attach_flags_0(program, cgroup, attach_type)
        elif self._plan.release.ctlb_pinned:
            bpf.pin(link, PINS / name)
            os.close(link)
        else:
            self._links.append(link)

    def _updated(self, name: str, program: int) -> bool:
        link = bpf.opened(PINS / name) if self._plan.release.ctlb_pinned else None
        if link is None:
            return False
        # felix of these releases cannot start with a severed link.
        if not bpf.update_link(link, program):
            raise LibbpfError(f"link {PINS / name} is severed", errno.ENOLINK)
        os.close(link)
        return True

    def _link(self, program: int, cgroup: int, attach_type: int) -> int | None:
        if "legacy_connect_time" in self._plan.defects:
            return None
        try:
            return bpf.link(program, cgroup, attach_type)
        except LibbpfError as error:
            if error.errno != errno.EPERM:
                raise
            return None
