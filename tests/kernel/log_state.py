# SPDX-License-Identifier: GPL-3.0-or-later
"""An interface whose entry programs call log filters, in the layouts of three release lines.

The programs do what the fact sheets say of Calico's (programs 2.4): they print and go on when the
log filter is not there. Numbers are those of programs 2.1, 2.3 and 3.1.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.kernel.node_state import (
    HASH,
    NONE,
    PERCPU_ARRAY,
    PREAMBLE,
    PROG_ARRAY,
    named_map,
    rodata,
)
from tests.observe import rawbpf
from tests.observe.rawbpf import insn

ARRAY = 2
MAIN = 3
NAME, PEER = "calilog", "peerlog"
SLOTS = {"ingress": 26, "egress": 27}
CB = 48


class Shape(NamedTuple):
    """Sizes and offsets in bytes; array names for the hooks ingress and egress."""

    constants: int
    halves: tuple[int, ...]
    name: int
    log_filter: int
    jump: tuple[str, str]
    programs: tuple[str, str]
    entries: tuple[int, int]
    state: int
    ifstate: tuple[str, int]


SHAPES = {
    "3.27": Shape(
        220,
        (0,),
        40,
        56,
        ("cali_jump2",) * 2,
        ("cali_progs2",) * 2,
        (10000, 200),
        464,
        ("cali_iface3", 40),
    ),
    "3.28": Shape(
        512,
        (0, 256),
        76,
        92,
        ("cali_jump3",) * 2,
        ("cali_progs3",) * 2,
        (240000, 400),
        480,
        ("cali_iface4", 52),
    ),
    "3.31": Shape(
        528,
        (0, 264),
        80,
        96,
        ("cali_jump_ing2", "cali_jump_egr2"),
        ("cali_progs_ing2", "cali_progs_egr2"),
        (240000, 400),
        488,
        ("cali_iface4", 52),
    ),
}


class LogNode:
    """The pins, one veth pair with an entry program on each hook, and counters."""

    def __init__(self, root: Path, release: str) -> None:
        self.shape = SHAPES[release]
        self.root = root
        self.globals = root / "tc" / "globals"
        self.globals.mkdir(parents=True)
        self.scratch = root.with_name(root.name + "_load")
        self.scratch.mkdir()
        self.fds: dict[str, int] = {}
        shape = self.shape
        for name in (*shape.jump, *shape.programs):
            if name not in self.fds:
                self._pin(name, PROG_ARRAY, 4, 4, shape.entries[name in shape.programs], 0)
        self._pin("cali_state4", PERCPU_ARRAY, 4, shape.state, 2, 0)
        self._pin(shape.ifstate[0], HASH, 4, shape.ifstate[1], 1000, 1)
        self.misses, self.passes = (
            named_map(name, ARRAY, 4, 8, 1) for name in ("misses", "passes")
        )
        subprocess.run(
            ["ip", "link", "add", NAME, "type", "veth", "peer", "name", PEER], check=True
        )
        for end in (NAME, PEER):
            with suppress(FileNotFoundError):  # a kernel without IPv6
                Path(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6").write_text("1", "ascii")
            subprocess.run(["ip", "link", "set", end, "up"], check=True)

    def _pin(self, name: str, *shape: int) -> None:
        self.fds[name] = named_map(name, *shape)
        rawbpf.pin(self.fds[name], str(self.globals / name))

    def arrays(self, hook: str) -> tuple[int, int]:
        """Descriptors of a hook's jump map and of its array of programs."""
        side = ("ingress", "egress").index(hook)
        return self.fds[self.shape.jump[side]], self.fds[self.shape.programs[side]]

    def attach(self, hook: str, slot: int, tcx: bool = False) -> None:
        """An entry program with that log filter, and the main program behind it."""
        kind = {"ingress": 46, "egress": 47}[hook] if tcx else 0
        passing = self._counting(self.passes) + rawbpf.returning(0)
        main = rawbpf.load_program(rawbpf.SCHED_CLS, passing, "calico_tc_main", kind)
        rawbpf.put(self.arrays(hook)[1], struct.pack("<I", MAIN), struct.pack("<I", main))
        constants = rodata("tc_pream.rodata", self._constants(slot))
        code = self._preamble(hook, slot, constants)
        fd = rawbpf.load_program(rawbpf.SCHED_CLS, code, PREAMBLE, kind)
        (self._attach_tcx if tcx else self._attach_filter)(hook, fd)
        for opened in (main, constants, fd):
            os.close(opened)

    def _attach_filter(self, hook: str, fd: int) -> None:
        pinned = self.scratch / PREAMBLE
        rawbpf.pin(fd, str(pinned))
        words = ["replace", "dev", NAME, hook, "pref", "49152", "handle", "1"]
        subprocess.run(["tc", "qdisc", "replace", "dev", NAME, "clsact"], check=True)
        subprocess.run(["tc", "filter", *words, "bpf", "da", "object-pinned", pinned], check=True)
        pinned.unlink()

    def _attach_tcx(self, hook: str, fd: int) -> None:
        kind = {"ingress": 46, "egress": 47}[hook]
        link = rawbpf.create_link(fd, socket.if_nametoindex(NAME), kind)
        place = self.root / "tcx"
        place.mkdir(exist_ok=True)
        rawbpf.pin(link, str(place / f"{NAME}_{hook}"))
        os.close(link)

    def _constants(self, slot: int) -> bytes:
        value = bytearray(self.shape.constants)
        for half in self.shape.halves:
            struct.pack_into("16s", value, half + self.shape.name, NAME.ljust(15, "-").encode())
            jumps = [MAIN, *[NONE] * 39]
            struct.pack_into("<41I", value, half + self.shape.log_filter, slot, *jumps)
        return bytes(value)

    def _preamble(self, hook: str, slot: int, constants: int) -> bytes:
        jump, programs = self.arrays(hook)
        used = b"".join(_map(1, fd) for fd in (constants, self.fds["cali_state4"], jump))
        code = insn(0xBF, 6, 1) + used
        # Through a register: before 6.4 a constant cannot be stored into the context.
        code += insn(0xB7, 1, 0, 0, MAIN) + insn(0x63, 6, 1, CB)
        code += insn(0xB7, 1, 0, 0, -1) + insn(0x63, 6, 1, CB + 4)
        if slot != NONE:
            code += _tail_call(jump, insn(0xB7, 3, 0, 0, slot))
            code += self._counting(self.misses) + self._printing(hook)
        code += _tail_call(programs, insn(0x61, 3, 6, CB))
        return code + rawbpf.returning(2)

    def _counting(self, fd: int) -> bytes:
        look = insn(0x62, 10, 0, -4, 0) + insn(0xBF, 2, 10) + insn(0x07, 2, 0, 0, -4)
        add = insn(0x15, 0, 0, 2) + insn(0xB7, 1, 0, 0, 1) + insn(0xDB, 0, 1)
        return look + _map(1, fd) + insn(0x85, imm=1) + add

    def _printing(self, hook: str) -> bytes:
        words = text(self, hook).encode() + b"\0"
        words = words.ljust(-(-len(words) // 8) * 8, b"\0")
        start = -8 - len(words)
        code = b""
        for at in range(0, len(words), 8):
            low, high = struct.unpack_from("<ii", words, at)
            code += (
                insn(0x18, 1, 0, 0, low) + insn(0, 0, 0, 0, high) + insn(0x7B, 10, 1, start + at)
            )
        code += insn(0xBF, 1, 10) + insn(0x07, 1, 0, 0, start)
        return code + insn(0xB7, 2, 0, 0, len(text(self, hook)) + 1) + insn(0x85, imm=6)

    def state(self, filters: tuple[int, int], name: str = NAME) -> None:
        """felix's entry of the interface, other fields not zero."""
        size = self.shape.ifstate[1]
        head = struct.pack("<I16s", 7, name.encode())
        rest = struct.pack(f"<{(size - 28) // 4}i", *range(40, 40 + (size - 28) // 4))
        value = head + rest + struct.pack("<2i", *filters)
        rawbpf.put(self.fds[self.shape.ifstate[0]], self._key(), value)

    def entry(self) -> bytes:
        """That entry as it is."""
        return (
            rawbpf.get(self.fds[self.shape.ifstate[0]], self._key(), self.shape.ifstate[1]) or b""
        )

    def _key(self) -> bytes:
        return struct.pack("<I", socket.if_nametoindex(NAME))

    def slot(self, hook: str) -> int | None:
        """The id of the program in the slot of a hook's log filter."""
        raw = rawbpf.get(self.arrays(hook)[0], struct.pack("<I", SLOTS[hook]), 4)
        return None if raw is None else int(struct.unpack("<I", raw)[0])

    def counted(self) -> tuple[int, int]:
        """Calls that found no log filter, and packets that the main program let pass."""
        misses, passes = (rawbpf.get(fd, bytes(4), 8) or b"" for fd in (self.misses, self.passes))
        return int.from_bytes(misses, "little"), int.from_bytes(passes, "little")

    def close(self) -> None:
        subprocess.run(["ip", "link", "del", NAME], check=False)
        for fd in (*self.fds.values(), self.misses, self.passes):
            os.close(fd)


def text(node: LogNode, hook: str) -> str:
    """What the entry program prints, other than any other test's."""
    where = f"iface {NAME:-<15} failed to call log filter {SLOTS[hook]}"
    return f"{os.getpid()} tc_preamble {where}"


def _map(register: int, fd: int) -> bytes:
    return insn(0x18, register, 1, 0, fd) + insn(0)


def _tail_call(array: int, index: bytes) -> bytes:
    return insn(0xBF, 1, 6) + _map(2, array) + index + insn(0x85, imm=12)


FRAME = bytes(12) + b"\x08\x00" + b"bpfops".ljust(64, b"\0")


def sent(count: int, hook: str) -> int:
    """Packets through the interface by that hook; how many of those sent outwards arrived."""
    source, target = (NAME, PEER) if hook == "egress" else (PEER, NAME)
    with _opened(source) as out, _opened(target) as back:
        for _ in range(count):
            with suppress(OSError):  # ENOBUFS: the hook egress dropped it
                out.send(FRAME)
        arrived, ends = 0, time.monotonic() + 2
        while arrived < count and time.monotonic() < ends:
            try:
                arrived += back.recv(2000) == FRAME
            except BlockingIOError:
                time.sleep(0.01)
        return arrived


@contextmanager
def _opened(interface: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as opened:
        opened.bind((interface, 0))
        opened.setblocking(False)
        yield opened


@contextmanager
def trace(directory: Path) -> Iterator[Path | None]:
    """The kernel's trace, which reading does not empty; None where there is no tracefs."""
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tracefs", "tracefs", directory], check=False)
    if mounted.returncode:
        yield None
        return
    try:
        yield directory / "trace"
    finally:
        subprocess.run(["umount", directory], check=True)


@contextmanager
def felix(node: LogNode, sign: str) -> Iterator[None]:
    """A process of Calico's in this network namespace, and what tells that it is felix."""
    code = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'calico-node'); print(flush=True); "
    command = ["calico-node", "-c", code + "time.sleep(60)"]
    command += ["-felix"] if sign == "arguments" else ["-confd"]
    maps = [node.fds[node.shape.ifstate[0]]] if sign == "maps" else []
    with subprocess.Popen(
        command, executable=sys.executable, stdout=subprocess.PIPE, pass_fds=maps
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.kill()
