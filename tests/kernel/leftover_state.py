# SPDX-License-Identifier: GPL-3.0-or-later
"""A node full of what eBPF mode leaves, and of foreign neighbours in the same places."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.modules import dataplane
from tests.kernel.connect_state import TYPES, Cgroup, calico_program, foreign_program, program_id
from tests.kernel.node_state import ARRAY, HASH, MAPS, PROG_ARRAY, Node, program, rodata
from tests.observe import rawbpf

ONE, TWO, UPLINK = "cali111", "cali222", "eth0"
TCX = {"ingress": 46, "egress": 47}
XDP_GENERIC_PASS = 2


def ifindex(name: str) -> int:
    return socket.if_nametoindex(name)


def command(*words: str) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def veth(name: str, peer: str) -> None:
    command("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
    for end in (name, peer):
        command("ip", "link", "set", end, "up")


class Leftovers(Node):
    """Interfaces of a private network namespace, and pins below ``root``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, workloads=())
        self.links: list[int] = []
        for name in (ONE, TWO, UPLINK):
            veth(name, f"peer_{name}")

    def close(self) -> None:
        for fd in self.links:
            os.close(fd)
        super().close()

    def clsact(self, name: str) -> None:
        command("tc", "qdisc", "add", "dev", name, "clsact")

    def foreign_filter(
        self, name: str, hook: str, pref: int, called: str = "cil_from_netdev"
    ) -> int:
        """A filter of other software; the program's id."""
        fd = program(rawbpf.SCHED_CLS, called[:15], [])
        pinned = self.scratch / called
        rawbpf.pin(fd, str(pinned))
        place = ("dev", name, hook, "pref", str(pref), "handle", "7")
        command("tc", "filter", "add", *place, "bpf", "da", "object-pinned", str(pinned))
        pinned.unlink()
        number = program_id(fd)
        os.close(fd)
        return number

    def foreign_match(self, name: str, hook: str) -> bool:
        """A filter that is no BPF filter; False where the kernel has no u32."""
        place = ["tc", "filter", "add", "dev", name, hook, "pref", "3"]
        match = ["u32", "match", "u32", "0", "0", "classid", "1:1"]
        return subprocess.run([*place, *match], check=False).returncode == 0

    def tcx(self, name: str, hook: str, pin: bool = True) -> int:
        """A Calico program by a TCX link, pinned as felix pins it; the program's id."""
        fd = self.preamble(name)
        link = rawbpf.create_link(fd, ifindex(name), TCX[hook])
        number = program_id(fd)
        os.close(fd)
        if pin:
            place = self.root / "tcx"
            place.mkdir(exist_ok=True)
            rawbpf.pin(link, str(place / f"{name.replace('.', '')}_{hook}"))
            os.close(link)
        else:
            self.links.append(link)
        return number

    def foreign_tcx(self, name: str, hook: str, pin: Path | None = None) -> int:
        fd = program(rawbpf.SCHED_CLS, "cil_to_netdev", [])
        link = rawbpf.create_link(fd, ifindex(name), TCX[hook])
        self.links.append(link)
        if pin:
            pin.parent.mkdir(parents=True, exist_ok=True)
            rawbpf.pin(link, str(pin))
        number = program_id(fd)
        os.close(fd)
        return number

    def xdp(self, name: str, mode: str = "xdpgeneric") -> int:
        """Calico's XDP program of 3.28 and later; the program's id."""
        half = name.encode().ljust(15, b"-") + b"\0" + bytes(64)
        own = rodata("xdp_prea.rodata", half * 2)
        fd = program(rawbpf.XDP, "cali_xdp_preamb", [own, self.fds["cali_state4"]])
        os.close(own)
        return self.attach_xdp(name, fd, mode)

    def foreign_xdp(self, name: str, called: str = "xdp_drop_bad") -> int:
        return self.attach_xdp(name, program(rawbpf.XDP, called, []))

    def attach_xdp(self, name: str, fd: int, mode: str = "xdpgeneric") -> int:
        """Attach a program and give its descriptor back; the program's id."""
        pinned = self.scratch / "xdp"
        rawbpf.pin(fd, str(pinned))
        command("ip", "link", "set", "dev", name, mode, "pinned", str(pinned))
        pinned.unlink()
        number = program_id(fd)
        os.close(fd)
        return number

    def pin_at(self, place: str, name: str, *shape: int) -> Path:
        """A map pinned anywhere below the bpffs."""
        path = self.root / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = rawbpf.create_map(*shape)
        rawbpf.pin(fd, str(path))
        if shape[0] in (HASH, ARRAY):
            rawbpf.put(fd, bytes(shape[1]), b"\x2a" * shape[2])
        os.close(fd)
        return path

    def park_jumps(self) -> Path:
        place = self.globals / "old_jumps" / "123"
        place.mkdir(parents=True)
        for name in ("cali_jump3", "cali_progs3"):
            rawbpf.pin(self.fds[name], str(place / name))
        return place

    def superseded(self) -> None:
        """Pins of other releases and of a resize, and the map of a hook as 3.26 has it."""
        self.pin_map("cali_jump2", PROG_ARRAY, 4, 4, 10000)
        self.pin_map("cali_v4_ct3_old", *MAPS["cali_v4_ct3"], called="cali_v4_ct3")
        self.pin_at("tc/eth0_igr", "cali_jump3", PROG_ARRAY, 4, 4, 32)


class Neighbours:
    """What others have in the same places, and how it is at this moment."""

    def __init__(self, node: Leftovers, cgroup: Cgroup) -> None:
        self.node = node
        self.cgroup = cgroup
        node.foreign_filter(ONE, "ingress", 10)
        node.foreign_filter(ONE, "ingress", 60000, "handle_ingress")
        node.foreign_filter(TWO, "egress", 5, "cali_tc_preambl")
        if not node.foreign_match(UPLINK, "ingress"):
            node.foreign_filter(UPLINK, "ingress", 3)
        node.foreign_xdp(TWO)
        cgroup.multi("connect6", foreign_program("connect6"))
        cgroup.multi("recvmsg4", foreign_program("recvmsg4", "calico_recvmsg_"))
        cgroup.link("sendmsg4", foreign_program("sendmsg4", "cil_sock4_sendm"))
        cgroup.firewall()
        node.pin_at("tc/globals", "cilium_calls", HASH, 4, 8, 10)
        node.pin_at("tc/globals", "cali_mine", HASH, 4, 8, 10)
        node.pin_at("tc/globals", "cali_v6_ct3", HASH, 40, 100, 10)
        node.pin_at("tc/globals", "calibration", HASH, 4, 8, 10)
        node.pin_at("tc/eth0_igr", "foreign", HASH, 4, 8, 10)
        node.pin_at("elsewhere", "cali_v4_ct3", *MAPS["cali_v4_ct3"])
        node.pin_at("calico/xdp", "prefilter_v1_eth0", HASH, 4, 8, 10)
        node.pin_at("calico/sockmap", "calico_sock_map_v1", HASH, 4, 8, 10)
        self.maps = ("cilium_calls", "cali_mine", "cali_v6_ct3", "calibration", "foreign")
        try:
            node.foreign_tcx(ONE, "ingress")
            node.foreign_tcx(ONE, "egress", node.root / "tcx" / "mine_egress")
        except OSError:  # no TCX in this kernel
            return


def inventory(node: Leftovers, cgroup: Cgroup) -> dict[str, Any]:
    """Everything there, by tc, ip, bpftool's ids of pins and raw queries."""
    names = [one["ifname"] for one in json.loads(command("ip", "-j", "link", "show"))]
    return {
        "filters": {
            f"{name} {hook}": shown
            for name in names
            for hook in TCX
            if (shown := command("tc", "filter", "show", "dev", name, hook))
        },
        "clsact": [
            one["dev"]
            for one in json.loads(command("tc", "-j", "qdisc", "show"))
            if one["kind"] == "clsact"
        ],
        "tcx": {
            f"{name} {hook}": found
            for name in names
            for hook, kind in TCX.items()
            if (found := tcx_programs(name, kind))
        },
        "xdp": {
            one["ifname"]: one["xdp"]["prog"]["id"]
            for one in json.loads(command("ip", "-j", "link", "show"))
            if "prog" in one.get("xdp", {})
        },
        "cgroup": {section: found for section in TYPES if (found := cgroup.programs(section))},
        "firewall": cgroup.firewalls(),
        "devices": sorted(names),
        "pins": pins(node.root),
    }


def tcx_programs(name: str, kind: int) -> list[int]:
    ids = (ctypes.c_uint32 * 16)()
    try:
        rawbpf.call(
            16, struct.pack("<4IQI", ifindex(name), kind, 0, 0, rawbpf.address(ids), len(ids))
        )
    except OSError:  # no TCX in this kernel
        return []
    return [number for number in ids if number]


def pins(root: Path) -> dict[str, Any]:
    """Inode of every pin and directory; the id of maps, and the first entry of plain ones."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        held = _held(path) if path.is_file() else None
        found[str(path.relative_to(root))] = (path.stat().st_ino, held)
    return found


def _held(path: Path) -> Any:
    fd = rawbpf.open_pinned(str(path))
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii")
        said = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
        if said.get("map_type") not in (str(HASH), str(ARRAY)):
            return said.get("map_id")
        key, value = int(said["key_size"]), int(said["value_size"])
        return said["map_id"], rawbpf.get(fd, bytes(key), value)
    finally:
        os.close(fd)


def connect_leftovers(node: Leftovers, cgroup: Cgroup) -> None:
    """One legacy program, one by multi, and a pinned link."""
    cgroup.legacy("connect4", calico_program(node, "connect4"))
    cgroup.multi("connect6", calico_program(node, "connect6"))
    pin = node.root / "ctlb" / "calico_sendmsg_v4"
    cgroup.link("sendmsg4", calico_program(node, "sendmsg4"), pin)


class Scene:
    """A node, its cgroup, and the directory of felix's records."""

    def __init__(self, node: Leftovers, cgroup: Cgroup, records: Path) -> None:
        self.node = node
        self.cgroup = cgroup
        self.records = records

    def run(self, check: bool = False, **params: Any) -> Any:
        """The module's work with the defaults of its options."""
        spec = dataplane.ARGUMENT_SPEC
        defaults = {name: one.get("default") for name, one in spec.items()}
        given = {"bpffs": str(self.node.root), "cgroup_root": str(self.cgroup.place)}
        return dataplane.work({**defaults, **given, **params}, check)

    def inventory(self) -> dict[str, Any]:
        return inventory(self.node, self.cgroup)

    def clsact(self) -> None:
        for name in (ONE, TWO, UPLINK):
            self.node.clsact(name)

    def fill(self) -> None:
        """Everything that eBPF mode may leave; clsact is there."""
        node = self.node
        for name in (ONE, TWO):
            for hook in ("ingress", "egress"):
                node.attach(name, hook)
        node.attach(ONE, "ingress", pref=49151)
        node.attach(UPLINK, "egress")
        node.xdp(UPLINK)
        connect_leftovers(node, self.cgroup)
        node.park_jumps()
        node.superseded()
        veth("bpfin.cali", "bpfout.cali")
        node.clsact("bpfin.cali")
        for place in ("prog", "policy"):
            (self.records / place).mkdir(parents=True)
            (self.records / place / "cali111_tc_ingress.json").write_text("{}", "ascii")
