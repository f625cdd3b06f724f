# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of libbpf (0.6 or later) that the agent uses, through ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path
from typing import Any

# Copied beside the agent when the node's root may have no libbpf.
BUNDLED = Path(__file__).resolve().parent / "lib"
TC_INGRESS, TC_EGRESS = 1, 2
TC_F_REPLACE = 1


class LibbpfError(Exception):
    """A libbpf call failed; libbpf itself has written why to standard error."""

    def __init__(self, what: str, error: int) -> None:
        super().__init__(f"{what}: {errno.errorcode.get(error, error)} ({os.strerror(error)})")
        self.errno = error


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


_LIB = _load()


def _checked(what: str, result: int) -> int:
    if result < 0:
        raise LibbpfError(what, -result if result != -1 else ctypes.get_errno())
    return result


class BpfObject:
    """One compiled object: opened, adjusted, loaded, then attached."""

    def __init__(self, path: Path) -> None:
        opened = _LIB.bpf_object__open_file(os.fsencode(path), None)
        if not opened:
            raise LibbpfError(f"opening {path}", ctypes.get_errno())
        self._object = ctypes.c_void_p(opened)

    def set_map(self, name: str, pin: Path, max_entries: int | None = None) -> None:
        """Pin a map at ``pin``, or reuse what is pinned there; other size than compiled."""
        handle = self._find("map", name)
        pin.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _checked(f"pin path of {name}", _LIB.bpf_map__set_pin_path(handle, os.fsencode(pin)))
        if max_entries is not None:
            size = ctypes.c_uint32(max_entries)
            _checked(f"size of {name}", _LIB.bpf_map__set_max_entries(handle, size))

    def load(self) -> None:
        """Load all programs; LibbpfError also when a pinned map has other parameters."""
        _checked("loading the BPF object", _LIB.bpf_object__load(self._object))

    def map_fd(self, name: str) -> int:
        """File descriptor of a map of the loaded object."""
        return _checked(f"map {name}", _LIB.bpf_map__fd(self._find("map", name)))

    def attach(self, program: str, ifindex: int, point: int, priority: int, handle: int) -> None:
        """Add a direct-action filter, or replace the one at this place in one step."""
        fd = _checked(program, _LIB.bpf_program__fd(self._find("program", program)))
        hook = TcHook(ctypes.sizeof(TcHook), ifindex, point)
        _create_clsact(hook)
        opts = TcOpts(ctypes.sizeof(TcOpts), fd, TC_F_REPLACE, 0, handle, priority)
        result = _LIB.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(opts))
        _checked(f"attaching {program} to interface {ifindex}", result)

    def _find(self, kind: str, name: str) -> ctypes.c_void_p:
        find: Any = getattr(_LIB, f"bpf_object__find_{kind}_by_name")
        found = find(self._object, name.encode())
        if not found:
            raise LibbpfError(f"{kind} {name} in the BPF object", ctypes.get_errno())
        return ctypes.c_void_p(found)


def _create_clsact(hook: TcHook) -> None:
    # libbpf prints the kernel's complaint about a qdisc that is there already.
    printer = _LIB.libbpf_set_print(None)
    result = _LIB.bpf_tc_hook_create(ctypes.byref(hook))
    _LIB.libbpf_set_print(ctypes.c_void_p(printer))
    if result != -errno.EEXIST:
        _checked(f"clsact on interface {hook.ifindex}", result)


def map_id(fd: int) -> int:
    """Kernel-wide id of a map."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    match = re.search(r"^map_id:\t(\d+)", text, re.MULTILINE)
    return int(match.group(1)) if match else 0


def per_cpu_sums(pin: Path, entries: int) -> list[int]:
    """Sum over the CPUs of each u64 of a pinned BPF_MAP_TYPE_PERCPU_ARRAY; 0s without a pin."""
    fd = _LIB.bpf_obj_get(os.fsencode(pin))
    if fd < 0:
        return [0] * entries
    values = (ctypes.c_uint64 * _checked("CPU count", _LIB.libbpf_num_possible_cpus()))()
    sums = []
    for index in range(entries):
        key = ctypes.c_uint32(index)
        result = _LIB.bpf_map_lookup_elem(fd, ctypes.byref(key), values)
        _checked(f"reading {pin}", result)
        sums.append(sum(values))
    os.close(fd)
    return sums
