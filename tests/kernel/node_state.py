# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as felix 3.29 leaves it, made by raw bpf(2), ip and tc, to look at and to plant defects.

Layouts are those of the fact sheets (programs 0, 2.1, 2.2; maps 1.2), by numbers of our own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.modules import node_info
from tests.observe import rawbpf

HASH, ARRAY, PROG_ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH, LPM_TRIE = 1, 2, 3, 5, 6, 9, 11
RODATA_FLAGS = 0x480
NONE = 0xFFFFFFFF
PREAMBLE = "cali_tc_preambl"
MAIN_SLOT, FILTER_SLOT = 3, 26
WORKLOADS = tuple(f"cali{os.getpid()}{end}" for end in "xy")
"""Interfaces of this process: another run of the tests shares the network namespace."""
PATTERN = f"cali{os.getpid()}?"

MAPS = {
    "cali_v4_ct3": (HASH, 16, 88, 512000, 1),
    "cali_v4_nat_fe3": (LPM_TRIE, 16, 20, 65536, 1),
    "cali_state4": (PERCPU_ARRAY, 4, 480, 2, 0),
    "cali_iface4": (HASH, 4, 52, 1000, 1),
    "cali_counters2": (PERCPU_HASH, 8, 112, 20000, 0),
    "cali_jump3": (PROG_ARRAY, 4, 4, 240000, 0),
    "cali_progs3": (PROG_ARRAY, 4, 4, 400, 0),
}


def named_map(name: str, kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    """A map with a name, which rawbpf's maps do not have."""
    packed = struct.pack("<7I16s", kind, key, value, entries, flags, 0, 0, name.encode())
    return rawbpf.call(0, packed)


def program(kind: int, name: str, maps: list[int], attach_type: int = 0) -> int:
    """A program that refers to maps, and returns 0 (tc: pass) or 1 (cgroup: allow)."""
    loads = b"".join(rawbpf.insn(0x18, 1, 1, 0, fd) + rawbpf.insn(0) for fd in maps)
    result = 1 if kind == rawbpf.CGROUP_SOCK_ADDR else 0
    return rawbpf.load_program(kind, loads + rawbpf.returning(result), name, attach_type)


def rodata(name: str, value: bytes) -> int:
    fd = named_map(name, ARRAY, 4, len(value), 1, RODATA_FLAGS)
    rawbpf.put(fd, bytes(4), value)
    rawbpf.freeze(fd)
    return fd


def constants(
    interface: str, log_filter: int = NONE, main: int = MAIN_SLOT, policy: int = NONE
) -> bytes:
    """The 512 bytes of 3.28 to 3.30: two halves that differ in nothing here."""
    half = bytearray(256)
    half[76:92] = interface.encode().ljust(15, b"-") + b"\0"
    jumps = [main, policy, *[NONE] * 38]
    struct.pack_into("<41I", half, 92, log_filter, *jumps)
    return bytes(half) * 2


class Interface:
    """A veth pair, of which ``name`` is the workload's end."""

    def __init__(self, name: str, peer: str = "") -> None:
        self.name = name
        peer = peer or name.replace("cali", "bpfo")
        _ip("link", "add", name, "type", "veth", "peer", "name", peer)
        for end in (name, peer):
            _ip("link", "set", end, "up")

    @property
    def ifindex(self) -> int:
        return socket.if_nametoindex(self.name)

    def clsact(self) -> None:
        _tc("qdisc", "add", "dev", self.name, "clsact")

    def unhook(self, hook: str) -> None:
        _tc("filter", "del", "dev", self.name, hook)

    def down(self) -> None:
        _ip("link", "set", self.name, "down")

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", self.name], check=False, stderr=subprocess.DEVNULL)


class Node:
    """The pins below ``root`` and the interfaces; close() takes all of it away."""

    def __init__(self, root: Path, workloads: tuple[str, ...] = WORKLOADS) -> None:
        self.root = root
        self.globals = root / "tc" / "globals"
        self.globals.mkdir(parents=True)
        self.scratch = root.with_name(root.name + "_load")
        self.scratch.mkdir()
        self.fds: dict[str, int] = {}
        for name, shape in MAPS.items():
            self.pin_map(name, *shape)
        self.static = program(rawbpf.SCHED_CLS, "calico_tc_main", [self.fds["cali_state4"]])
        rawbpf.put(self.fds["cali_progs3"], struct.pack("<I", MAIN_SLOT), self._fd(self.static))
        self.workloads = tuple(Interface(name) for name in workloads)

    def pin_map(self, name: str, *shape: int, called: str = "") -> int:
        """A map pinned in the pin directory; ``called``: its name in the kernel."""
        fd = named_map(called or name[:15], *shape)
        rawbpf.pin(fd, str(self.globals / name))
        self.fds[name] = fd
        return fd

    def preamble(self, interface: str, **changes: int) -> int:
        """An entry program of that interface."""
        own = rodata("tc_pream.rodata", constants(interface, **changes))
        maps = [own, *(self.fds[name] for name in ("cali_state4", "cali_jump3", "cali_progs3"))]
        fd = program(rawbpf.SCHED_CLS, PREAMBLE, [*maps, self.fds["cali_v4_ct3"]])
        os.close(own)
        return fd

    def attach(
        self, interface: str, hook: str, pref: int = 49152, handle: int = 1, **changes: int
    ) -> None:
        """A Calico filter by tc, which names it after the pin that it is taken from."""
        pinned = self.scratch / PREAMBLE
        fd = self.preamble(interface, **changes)
        rawbpf.pin(fd, str(pinned))
        place = ["dev", interface, hook, "pref", str(pref), "handle", str(handle)]
        _tc("filter", "add", *place, "bpf", "da", "object-pinned", str(pinned))
        pinned.unlink()
        os.close(fd)

    def many(self, interfaces: tuple[str, ...], at: dict[str, tuple[int, int]]) -> None:
        """Many workloads at once, their filters at one preference and handle for each hook."""
        pairs = (f"link add {name} type veth peer name b{name[1:]}" for name in interfaces)
        ups = (f"link set {end} up" for name in interfaces for end in (name, f"b{name[1:]}"))
        _batch("ip", (*pairs, *ups))
        lines = [f"qdisc add dev {name} clsact" for name in interfaces]
        for number, (name, hook) in enumerate((name, hook) for name in interfaces for hook in at):
            place = self.scratch / str(number)
            place.mkdir()
            fd = self.preamble(name)
            rawbpf.pin(fd, str(place / PREAMBLE))
            os.close(fd)
            where = "pref {} handle {}".format(*at[hook])
            pinned = f"bpf da object-pinned {place / PREAMBLE}"
            lines.append(f"filter add dev {name} {hook} {where} {pinned}")
        _batch("tc", lines)
        shutil.rmtree(self.scratch)

    def attach_foreign(self, interface: str, hook: str, pref: int) -> None:
        """A filter of other software that calls itself much like Calico's."""
        pinned = self.scratch / "cali_tc_preamble_of_others"
        fd = program(rawbpf.SCHED_CLS, PREAMBLE, [])
        rawbpf.pin(fd, str(pinned))
        place = ["dev", interface, hook, "pref", str(pref), "handle", "1"]
        _tc("filter", "add", *place, "bpf", "da", "object-pinned", str(pinned))
        pinned.unlink()
        os.close(fd)

    def attach_all(self) -> None:
        for interface in self.workloads:
            interface.clsact()
            for hook in ("ingress", "egress"):
                self.attach(interface.name, hook)

    def attach_tcx(self, interface: Interface, hook: str) -> None:
        """A Calico program by a TCX link that is pinned as felix pins it."""
        fd = self.preamble(interface.name)
        link = rawbpf.create_link(fd, interface.ifindex, {"ingress": 46, "egress": 47}[hook])
        place = self.root / "tcx"
        place.mkdir(exist_ok=True)
        rawbpf.pin(link, str(place / f"{interface.name}_{hook}"))
        os.close(link)
        os.close(fd)

    def state_entry(
        self, interface: str, flags: int = 7, called: str = "", **policies: int
    ) -> None:
        """felix's state of an interface, the same policies for both families."""
        inward, outward = policies.get("ingress_policy", -1), policies.get("egress_policy", -1)
        family = (-1, inward, outward)
        name = (called or interface).encode()
        value = struct.pack("<I16s8i", flags, name, *family, *family, -1, -1)
        key = struct.pack("<I", socket.if_nametoindex(interface))
        rawbpf.put(self.fds["cali_iface4"], key, value)

    def program_id(self, fd: int) -> int:
        """The id of a program, by the kernel's description of its descriptor."""
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("prog_id")).split()[1])

    def connect_program(self, maps: tuple[str, ...] = ("cali_v4_nat_fe3",)) -> int:
        own = rodata("connect_.rodata", struct.pack("<IBxxx", 60, 1))
        fd = program(
            rawbpf.CGROUP_SOCK_ADDR,
            "calico_connect_",
            [own, *(self.fds[name] for name in maps)],
            rawbpf.CONNECT4,
        )
        os.close(own)
        return fd

    def _fd(self, number: int) -> bytes:
        return struct.pack("<I", number)

    def close(self) -> None:
        for interface in self.workloads:
            interface.remove()
        for fd in (*self.fds.values(), self.static):
            os.close(fd)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _tc(*words: str) -> None:
    subprocess.run(["tc", *words], check=True)


def _batch(tool: str, lines: Iterable[str]) -> None:
    subprocess.run([tool, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def look(node: Node, **params: Any) -> Any:
    """The module's work with the defaults of its options."""
    defaults = {name: spec.get("default") for name, spec in node_info.ARGUMENT_SPEC.items()}
    given = {"bpffs": str(node.root), "interfaces": [PATTERN], "cgroup_root": "/"}
    return node_info.work({**defaults, **given, **params}, False)


def of(found: Any, name: str) -> dict[str, Any]:
    """One interface of the result."""
    (one,) = [one for one in found.facts["interfaces"] if one["name"] == name]
    return dict(one)


def pin_of(found: Any, name: str) -> dict[str, Any]:
    (one,) = [one for one in found.facts["maps"] if one["path"].endswith(f"/{name}")]
    return dict(one)


def codes(node: Node, **params: Any) -> list[tuple[str, str]]:
    """Code and object of each finding; objects without the directory of the pins.

    Interfaces of another run of these tests are left out.
    """
    top = f"{node.globals}/"
    found = [(one["code"], one["object"].replace(top, "")) for one in look(node, **params).findings]
    others = re.compile(rf"cali(?!{os.getpid()}[xy])\d+[xy]( |$)")
    return [one for one in found if not others.match(one[1])]
