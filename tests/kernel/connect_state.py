# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs of Calico and of others on a cgroup, by raw bpf(2)."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.modules import connect_time_lb
from tests.kernel.node_state import Node, program, rodata
from tests.observe import rawbpf

TYPES = {"connect4": 10, "connect6": 11, "sendmsg4": 14, "sendmsg6": 15, "recvmsg4": 19}
TYPES["recvmsg6"] = 20
MULTI = 2
CGROUP_SKB, INET_INGRESS = 8, 0


def calico_program(node: Node, section: str) -> int:
    """A program as felix loads it for a hook."""
    own = rodata("connect_.rodata", struct.pack("<IBxxx", 60, 1))
    name = f"calico_{section[:-1]}_v4"[:15]
    maps = [own, node.fds["cali_v4_nat_fe3"]]
    fd = program(rawbpf.CGROUP_SOCK_ADDR, name, maps, TYPES[section])
    os.close(own)
    return fd


def foreign_program(section: str, name: str = "sd_connect") -> int:
    """A program that is not Calico's, whatever it is called."""
    return program(rawbpf.CGROUP_SOCK_ADDR, name, [], TYPES[section])


class Cgroup:
    """A cgroup of our own that programs are attached to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.place.mkdir()
        self.fd = os.open(place, os.O_RDONLY)
        self.held: list[int] = []

    def legacy(self, section: str, fd: int) -> int:
        rawbpf.attach_cgroup(self.fd, fd, TYPES[section], 0)
        return self._keep(fd)

    def multi(self, section: str, fd: int) -> int:
        rawbpf.attach_cgroup(self.fd, fd, TYPES[section], MULTI)
        return self._keep(fd)

    def link(self, section: str, fd: int, pin: Path | None = None) -> int:
        """A link, pinned or held by a descriptor of this process; the program's id."""
        link = rawbpf.create_link(fd, self.fd, TYPES[section])
        if pin is None:
            self.held.append(link)
        else:
            pin.parent.mkdir(exist_ok=True)
            rawbpf.pin(link, str(pin))
            os.close(link)
        return self._keep(fd)

    def _keep(self, fd: int) -> int:
        number = program_id(fd)
        os.close(fd)
        return number

    def programs(self, section: str) -> list[int]:
        return rawbpf.attached_to_cgroup(self.fd, TYPES[section])

    def firewall(self) -> int:
        """What systemd attaches for IPAddressDeny: another program type on the same cgroup."""
        fd = program(CGROUP_SKB, "sd_fw_ingress", [])
        rawbpf.attach_cgroup(self.fd, fd, INET_INGRESS, MULTI)
        return self._keep(fd)

    def firewalls(self) -> list[int]:
        return rawbpf.attached_to_cgroup(self.fd, INET_INGRESS)

    def remove(self) -> None:
        for fd in (*self.held, self.fd):
            os.close(fd)
        self.held = []
        if self.place.exists():
            for child in self.place.iterdir():
                if child.is_dir():
                    child.rmdir()
            self.place.rmdir()


def program_id(fd: int) -> int:
    info = ctypes.create_string_buffer(80)
    rawbpf.call(15, struct.pack("<IIQ", fd, 80, rawbpf.address(info)))
    return int(struct.unpack_from("<I", info, 4)[0])


def cgroup_root() -> Path | None:
    """Where the cgroup2 hierarchy is mounted."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    return next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)


def run(node: Node, cgroup: Cgroup, check: bool = False, **params: Any) -> Any:
    """The module's work with the defaults of its options."""
    spec = connect_time_lb.ARGUMENT_SPEC
    defaults = {name: one.get("default") for name, one in spec.items()}
    given = {"state": "absent", "bpffs": str(node.root), "cgroup_root": str(cgroup.place)}
    return connect_time_lb.work({**defaults, **given, **params}, check)
