# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF maps: create, open, inspect, single entries."""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import c_char, c_uint32, c_uint64
from typing import Iterator

from .._errors import SyscallError, UnsupportedError
from .._uapi.bpf import NAME_LENGTH, OBJ_GET_RDONLY, Cmd, UpdateFlag
from .._uapi.maps import MapInfo, MapSpec, describe, slot_size
from . import proc
from .attr import Attr
from .objects import BpfObject, charged, open_pin, read_info
from .syscall import bpf


class _RawMapInfo(ctypes.Structure):
    """struct bpf_map_info up to map_extra (5.16), 88 bytes."""

    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("name", c_char * NAME_LENGTH),
        ("ifindex", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("btf_id", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_id", c_uint32),
        ("map_extra", c_uint64),
    ]


class Map(BpfObject):
    """An open map."""

    GET_FD = Cmd.MAP_GET_FD_BY_ID
    NEXT_ID = Cmd.MAP_GET_NEXT_ID

    @classmethod
    def create(cls, spec: MapSpec) -> Map:
        """A new, unpinned map, which lives as long as the descriptor.

        Raises SyscallError (E2BIG, EINVAL, ENOMEM, EPERM) when the kernel refuses it. Raises
        RLIMIT_MEMLOCK once on EPERM, for kernels before 5.11.
        """
        return cls(charged(lambda: _create(spec)))

    @classmethod
    def open(cls, path: str, read_only: bool = False) -> Map:
        """The map pinned at ``path``. Raises SyscallError, UnsupportedError for another object."""
        fd = open_pin(path, OBJ_GET_RDONLY if read_only else 0)
        if proc.object_kind(fd) != "map":
            os.close(fd)
            raise UnsupportedError(f"{path} is a pin of something that is not a map.")
        return cls(fd)

    def info(self) -> MapInfo:
        """Id and parameters (kernel 4.13)."""
        raw = _RawMapInfo()
        read_info(self.fd, raw)
        spec = MapSpec(
            raw.type,
            raw.key_size,
            raw.value_size,
            raw.max_entries,
            raw.map_flags,
            raw.name.decode("ascii", "replace"),
            raw.map_extra,
            raw.btf_id,
            raw.btf_key_type_id,
            raw.btf_value_type_id,
        )
        return MapInfo(raw.id, spec)

    def memory(self) -> int:
        """Bytes of kernel memory that the map is charged with (fdinfo memlock, an estimate)."""
        return int(proc.fdinfo(self.fd).get("memlock", 0))

    def frozen(self) -> bool:
        """Whether user space can no longer write (MAP_FREEZE, 5.2)."""
        return proc.fdinfo(self.fd).get("frozen") == "1"

    def freeze(self) -> None:
        """Forbid writes from user space for good (5.2)."""
        attr = Attr()
        attr.elem.map_fd = self.fd
        bpf(Cmd.MAP_FREEZE, attr)

    def lookup(self, key: bytes, size: int) -> bytes | None:
        """The value of ``size`` bytes (value_slot), or None when the key is not there."""
        value = ctypes.create_string_buffer(size)
        try:
            self._element(Cmd.MAP_LOOKUP_ELEM, key, ctypes.addressof(value))
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.raw

    def update(self, key: bytes, value: bytes, flag: UpdateFlag = UpdateFlag.ANY) -> None:
        """Write one entry. Raises SyscallError: E2BIG full, EEXIST or ENOENT by ``flag``."""
        buffer = ctypes.create_string_buffer(value, len(value))
        self._element(Cmd.MAP_UPDATE_ELEM, key, ctypes.addressof(buffer), flag)

    def delete(self, key: bytes) -> bool:
        """Remove one entry; False when it was not there."""
        try:
            self._element(Cmd.MAP_DELETE_ELEM, key, 0)
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def keys(self, key_size: int) -> Iterator[bytes]:
        """Keys in the map's order; starts again when the current one was deleted meanwhile."""
        following = ctypes.create_string_buffer(key_size)
        current: bytes | None = None
        while True:
            try:
                self._element(Cmd.MAP_GET_NEXT_KEY, current, ctypes.addressof(following))
            except SyscallError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            current = following.raw
            yield current

    def _element(self, cmd: Cmd, key: bytes | None, value: int, flags: int = 0) -> None:
        attr = Attr()
        attr.elem.map_fd = self.fd
        if key is not None:
            buffer = ctypes.create_string_buffer(key, len(key))
            attr.elem.key = ctypes.addressof(buffer)
        attr.elem.value = value
        attr.elem.flags = flags
        bpf(cmd, attr)


def _create(spec: MapSpec) -> int:
    attr = Attr()
    fields = attr.map_create
    fields.map_type = spec.type
    fields.key_size = spec.key_size
    fields.value_size = spec.value_size
    fields.max_entries = spec.max_entries
    fields.map_flags = spec.flags
    fields.map_name = spec.name.encode("ascii")[: NAME_LENGTH - 1]
    fields.map_extra = spec.map_extra
    if not spec.btf_id:
        return bpf(Cmd.MAP_CREATE, attr, describe(spec))
    fields.btf_fd = btf_fd(spec.btf_id)
    fields.btf_key_type_id = spec.btf_key_type_id
    fields.btf_value_type_id = spec.btf_value_type_id
    try:
        return bpf(Cmd.MAP_CREATE, attr, describe(spec))
    finally:
        os.close(fields.btf_fd)


def btf_fd(btf_id: int) -> int:
    """A descriptor of loaded BTF (4.18). Raises SyscallError."""
    attr = Attr()
    attr.ids.id = btf_id
    return bpf(Cmd.BTF_GET_FD_BY_ID, attr, f"BTF id {btf_id}")


def value_slot(spec: MapSpec) -> int:
    """Bytes of one value of such a map in user space on this machine."""
    return slot_size(spec.type, spec.value_size, proc.possible_cpus())
