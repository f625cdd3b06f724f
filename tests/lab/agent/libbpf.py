# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of libbpf (0.6 or later) that the agent uses, through ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

# Copied beside the agent when the node's root may have no libbpf.
BUNDLED = Path(__file__).resolve().parent / "lib"
TC_INGRESS, TC_EGRESS = 1, 2
TC_F_REPLACE = 1


class LibbpfError(Exception):
    """A libbpf call failed; libbpf itself has written why to standard error."""

    def __init__(self, what: str, error: int) -> None:
        super().__init__(f"{what}: {errno.errorcode.get(error, error)} ({os.strerror(error)})")
        self.errno = error


class MapShape(NamedTuple):
    """Parameters of a map before loading; sizes in bytes."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int


class TcHook(ctypes.Structure):
    """struct bpf_tc_hook."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class TcOpts(ctypes.Structure):
    """struct bpf_tc_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


def _load() -> ctypes.CDLL:
    if BUNDLED.is_dir():
        for name in ("libz.so.1", "libelf.so.1"):
            ctypes.CDLL(str(BUNDLED / name), mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(str(BUNDLED / "libbpf.so.1"), use_errno=True)
    else:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    pointers = ("object__open_file", "object__find_map_by_name", "object__find_program_by_name")
    for function in pointers:
        getattr(library, f"bpf_{function}").restype = ctypes.c_void_p
    library.libbpf_set_print.restype = ctypes.c_void_p
    return library


LIB = _load()


def checked(what: str, result: int) -> int:
    if result < 0:
        raise LibbpfError(what, -result if result != -1 else ctypes.get_errno())
    return result


class BpfObject:
    """One compiled object: opened, adjusted, loaded, then attached."""

    def __init__(self, path: Path) -> None:
        opened = LIB.bpf_object__open_file(os.fsencode(path), None)
        if not opened:
            raise LibbpfError(f"opening {path}", ctypes.get_errno())
        self._object = ctypes.c_void_p(opened)

    def set_map(self, name: str, pin: Path, max_entries: int | None = None) -> None:
        """Pin a map at ``pin``, or reuse what is pinned there; other size than compiled."""
        handle = self._find("map", name)
        pin.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        checked(f"pin path of {name}", LIB.bpf_map__set_pin_path(handle, os.fsencode(pin)))
        if max_entries is not None:
            size = ctypes.c_uint32(max_entries)
            checked(f"size of {name}", LIB.bpf_map__set_max_entries(handle, size))

    def shape_map(self, name: str, pin: Path, shape: MapShape) -> None:
        """Give a map the parameters of a release before loading, and its pin."""
        handle = self._find("map", name)
        for what, value in shape._asdict().items():
            setter = getattr(LIB, f"bpf_map__set_{what}")
            checked(f"{what} of {name}", setter(handle, ctypes.c_uint32(value)))
        self.set_map(name, pin)

    def set_globals(self, data: bytes) -> None:
        """Fill the read-only data, which has exactly this size, before loading."""
        size = ctypes.c_size_t(len(data))
        result = LIB.bpf_map__set_initial_value(self._find("map", ".rodata"), data, size)
        checked("setting the globals", result)

    def set_attach_type(self, program: str, attach_type: int) -> None:
        """Choose expected_attach_type before loading."""
        LIB.bpf_program__set_expected_attach_type(self._find("program", program), attach_type)

    def set_autoload(self, program: str, wanted: bool) -> None:
        """Load this program, or leave it out."""
        LIB.bpf_program__set_autoload(self._find("program", program), wanted)

    def load(self) -> None:
        """Load all programs; LibbpfError also when a pinned map has other parameters."""
        checked("loading the BPF object", LIB.bpf_object__load(self._object))

    def map_fd(self, name: str) -> int:
        """File descriptor of a map of the loaded object."""
        return checked(f"map {name}", LIB.bpf_map__fd(self._find("map", name)))

    def attach(self, program: str, ifindex: int, point: int, priority: int, handle: int) -> None:
        """Add a direct-action filter, or replace the one at this place in one step."""
        attach_filter(self.program_fd(program), ifindex, point, priority, handle)

    def program_fd(self, name: str) -> int:
        """File descriptor of a program of the loaded object."""
        return checked(name, LIB.bpf_program__fd(self._find("program", name)))

    def close(self) -> None:
        """Give up all descriptors; what is attached or in a map stays."""
        LIB.bpf_object__close(self._object)

    def _find(self, kind: str, name: str) -> ctypes.c_void_p:
        find: Any = getattr(LIB, f"bpf_object__find_{kind}_by_name")
        found = find(self._object, name.encode())
        if not found:
            raise LibbpfError(f"{kind} {name} in the BPF object", ctypes.get_errno())
        return ctypes.c_void_p(found)


def attach_filter(fd: int, ifindex: int, point: int, priority: int, handle: int) -> tuple[int, int]:
    """Add a direct-action filter; with a handle, replace the one at this place in one step.

    0 lets the kernel choose the handle or the priority. Returns priority and handle.
    """
    hook = TcHook(ctypes.sizeof(TcHook), ifindex, point)
    _create_clsact(hook)
    flags = TC_F_REPLACE if handle else 0
    opts = TcOpts(ctypes.sizeof(TcOpts), fd, flags, 0, handle, priority)
    result = LIB.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(opts))
    checked(f"attaching a filter to interface {ifindex}", result)
    return opts.priority, opts.handle


def _create_clsact(hook: TcHook) -> None:
    # libbpf prints the kernel's complaint about a qdisc that is there already.
    printer = LIB.libbpf_set_print(None)
    result = LIB.bpf_tc_hook_create(ctypes.byref(hook))
    LIB.libbpf_set_print(ctypes.c_void_p(printer))
    if result != -errno.EEXIST:
        checked(f"clsact on interface {hook.ifindex}", result)


def map_id(fd: int) -> int:
    """Kernel-wide id of a map."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    match = re.search(r"^map_id:\t(\d+)", text, re.MULTILINE)
    return int(match.group(1)) if match else 0


def per_cpu_sums(pin: Path, entries: int) -> list[int]:
    """Sum over the CPUs of each u64 of a pinned BPF_MAP_TYPE_PERCPU_ARRAY; 0s without a pin."""
    fd = LIB.bpf_obj_get(os.fsencode(pin))
    if fd < 0:
        return [0] * entries
    values = (ctypes.c_uint64 * checked("CPU count", LIB.libbpf_num_possible_cpus()))()
    sums = []
    for index in range(entries):
        key = ctypes.c_uint32(index)
        result = LIB.bpf_map_lookup_elem(fd, ctypes.byref(key), values)
        checked(f"reading {pin}", result)
        sums.append(sum(values))
    os.close(fd)
    return sums
