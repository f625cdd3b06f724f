# SPDX-License-Identifier: GPL-3.0-or-later
"""union bpf_attr, one structure for each group of commands.

Every attribute is a zeroed buffer of 256 bytes, longer than the union of any kernel. A kernel
accepts a longer attribute when the rest is zero, and kernels 6.17 to 7.1 write the revision of a
cgroup PROG_QUERY at bytes 56 to 63 whatever size they were told, which overruns a shorter one
(introduced by kernel commit 120933984460, fixed by 21c4b99b27f3).
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_uint8, c_uint32, c_uint64

from .._uapi.bpf import NAME_LENGTH

ATTR_SIZE = 256
"""Bytes of every attribute that is passed to bpf(2)."""


class MapCreateAttr(ctypes.Structure):
    """MAP_CREATE."""

    _fields_ = [
        ("map_type", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("inner_map_fd", c_uint32),
        ("numa_node", c_uint32),
        ("map_name", c_char * NAME_LENGTH),
        ("map_ifindex", c_uint32),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("map_extra", c_uint64),
    ]


class ElemAttr(ctypes.Structure):
    """MAP_*_ELEM, MAP_GET_NEXT_KEY (value is next_key) and MAP_FREEZE."""

    _fields_ = [
        ("map_fd", c_uint32),
        ("_pad", c_uint32),
        ("key", c_uint64),
        ("value", c_uint64),
        ("flags", c_uint64),
    ]


class BatchAttr(ctypes.Structure):
    """MAP_*_BATCH; count is written back, also when the call fails."""

    _fields_ = [
        ("in_batch", c_uint64),
        ("out_batch", c_uint64),
        ("keys", c_uint64),
        ("values", c_uint64),
        ("count", c_uint32),
        ("map_fd", c_uint32),
        ("elem_flags", c_uint64),
        ("flags", c_uint64),
    ]


class ObjAttr(ctypes.Structure):
    """OBJ_PIN and OBJ_GET."""

    _fields_ = [("pathname", c_uint64), ("bpf_fd", c_uint32), ("file_flags", c_uint32)]


class IdAttr(ctypes.Structure):
    """*_GET_NEXT_ID (start id, next id) and *_GET_FD_BY_ID (id, unused, open flags)."""

    _fields_ = [("id", c_uint32), ("next_id", c_uint32), ("open_flags", c_uint32)]


class InfoAttr(ctypes.Structure):
    """OBJ_GET_INFO_BY_FD; info_len is written back."""

    _fields_ = [("bpf_fd", c_uint32), ("info_len", c_uint32), ("info", c_uint64)]


class QueryAttr(ctypes.Structure):
    """PROG_QUERY; the fields from link_ids on are for TCX (6.6)."""

    _fields_ = [
        ("target", c_uint32),
        ("attach_type", c_uint32),
        ("query_flags", c_uint32),
        ("attach_flags", c_uint32),
        ("prog_ids", c_uint64),
        ("count", c_uint32),
        ("_pad", c_uint32),
        ("prog_attach_flags", c_uint64),
        ("link_ids", c_uint64),
        ("link_attach_flags", c_uint64),
        ("revision", c_uint64),
    ]


class AttachAttr(ctypes.Structure):
    """PROG_ATTACH and PROG_DETACH; the fields from relative_fd on are for 6.6 and later."""

    _fields_ = [
        ("target_fd", c_uint32),
        ("attach_bpf_fd", c_uint32),
        ("attach_type", c_uint32),
        ("attach_flags", c_uint32),
        ("replace_bpf_fd", c_uint32),
        ("relative_fd", c_uint32),
        ("expected_revision", c_uint64),
    ]


class ProgLoadAttr(ctypes.Structure):
    """PROG_LOAD up to attach_prog_fd (5.5)."""

    _fields_ = [
        ("prog_type", c_uint32),
        ("insn_cnt", c_uint32),
        ("insns", c_uint64),
        ("license", c_uint64),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_uint64),
        ("kern_version", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_name", c_char * NAME_LENGTH),
        ("prog_ifindex", c_uint32),
        ("expected_attach_type", c_uint32),
        ("prog_btf_fd", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64),
        ("func_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("line_info", c_uint64),
        ("line_info_cnt", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
    ]


class LinkCreateAttr(ctypes.Structure):
    """LINK_CREATE; the fields from iter_info on are for iterators (5.9)."""

    _fields_ = [
        ("prog_fd", c_uint32),
        ("target_fd", c_uint32),
        ("attach_type", c_uint32),
        ("flags", c_uint32),
        ("iter_info", c_uint64),
        ("iter_info_len", c_uint32),
    ]


class IterCreateAttr(ctypes.Structure):
    """ITER_CREATE, and LINK_DETACH with the first field alone."""

    _fields_ = [("link_fd", c_uint32), ("flags", c_uint32)]


class Attr(ctypes.Union):
    """union bpf_attr, always ATTR_SIZE bytes and zero at first."""

    _fields_ = [
        ("map_create", MapCreateAttr),
        ("elem", ElemAttr),
        ("batch", BatchAttr),
        ("obj", ObjAttr),
        ("ids", IdAttr),
        ("info", InfoAttr),
        ("query", QueryAttr),
        ("attach", AttachAttr),
        ("prog_load", ProgLoadAttr),
        ("link_create", LinkCreateAttr),
        ("iter_create", IterCreateAttr),
        ("raw", c_uint8 * ATTR_SIZE),
    ]
