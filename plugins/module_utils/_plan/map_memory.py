# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel memory of hash maps that are not there yet.

A bucket has 16 bytes, an element 48 and key and value, each rounded up to 8 (kernel/bpf/hashtab.c,
Linux 5.3 to 6.18). An LRU map takes all its elements when it is made: 512000 entries of IPv4
conntrack are 86.2 MB, of IPv6 119.0 MB. Without preallocation each element is a kmalloc object.
"""

from __future__ import annotations

BUCKET = 16
ELEMENT = 48
_SLABS = (96, 128, 192, 256, 512, 1024, 2048, 4096)


def hash_memory(max_entries: int, key_size: int, value_size: int, entries: int | None) -> int:
    """Bytes of a map with ``entries`` in it; None: it is preallocated, so with all of them."""
    element = ELEMENT + _rounded(key_size) + _rounded(value_size)
    buckets = BUCKET * (1 << max(0, max_entries - 1).bit_length())
    if entries is None:
        return buckets + element * max_entries
    return buckets + entries * next((slab for slab in _SLABS if slab >= element), element)


def _rounded(size: int) -> int:
    return (size + 7) // 8 * 8
