# SPDX-License-Identifier: GPL-3.0-or-later
"""A map's parameters as a plain value, and how they are named."""

from __future__ import annotations

from typing import NamedTuple

from .bpf import PER_CPU_TYPES, MapFlag, MapType

MAP_TYPES = {kind.name.lower(): kind for kind in MapType}
"""Map types by the name that bpftool gives them."""

MAP_FLAGS = {f"BPF_F_{flag.name}": flag for flag in MapFlag}
"""Map creation flags by their name in linux/bpf.h."""

DECLARABLE_FLAGS = {
    name: flag
    for name, flag in MAP_FLAGS.items()
    if flag not in (MapFlag.NUMA_NODE, MapFlag.RDONLY, MapFlag.WRONLY)
}
"""Flags that describe a map wherever it is: BPF_F_RDONLY and BPF_F_WRONLY restrict only the
descriptor of the creator, and BPF_F_NUMA_NODE needs a number that the kernel does not report."""


class MapSpec(NamedTuple):
    """Parameters of a map. Sizes in bytes; ``flags`` is a mask of BPF_F_* bits.

    ``btf_id`` with the two type ids describes key and value; it is 0 without BTF.
    """

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    name: str = ""
    map_extra: int = 0
    btf_id: int = 0
    btf_key_type_id: int = 0
    btf_value_type_id: int = 0


class MapInfo(NamedTuple):
    """What the kernel tells about a map: its id and the parameters it was created with."""

    id: int
    spec: MapSpec


def slot_size(map_type: int, value_size: int, possible_cpus: int) -> int:
    """Bytes of a value as user space exchanges it.

    Per-CPU types have one value, rounded up to 8 bytes, for each possible CPU.
    """
    if map_type in PER_CPU_TYPES:
        return (value_size + 7) // 8 * 8 * possible_cpus
    return value_size


def type_name(map_type: int) -> str:
    """bpftool's name of a map type, or the number of one that is not known here."""
    try:
        return MapType(map_type).name.lower()
    except ValueError:
        return str(map_type)


def flag_names(flags: int) -> list[str]:
    """The names of the bits in ``flags``; bits without a known name as one hexadecimal number."""
    names = [name for name, flag in MAP_FLAGS.items() if flags & flag]
    unknown = flags & ~sum(MAP_FLAGS.values())
    return names + ([hex(unknown)] if unknown else [])


def describe(spec: MapSpec) -> str:
    """A map's parameters in a few words, for messages."""
    return (
        f"{type_name(spec.type)} map of {spec.max_entries} entries, key {spec.key_size} B, "
        f"value {spec.value_size} B, flags {spec.flags:#x}"
    )
