# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a task on a pinned map, checked as far as that goes without the node."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from .._errors import BadInputError
from .._uapi.bpf import MapType
from .._uapi.maps import MAP_FLAGS, MAP_TYPES
from . import inputs

MAX_U32 = 2**32 - 1
MAX_KEY_SIZE = 512  # MAX_BPF_STACK, kernel/bpf/hashtab.c
MAX_VALUE_SIZE = 4 << 20  # KMALLOC_MAX_SIZE
KEYLESS_TYPES = frozenset(
    {MapType.QUEUE, MapType.STACK, MapType.RINGBUF, MapType.BLOOM_FILTER, MapType.USER_RINGBUF}
)


class Desired(NamedTuple):
    """The task's parameters; None where the task leaves a parameter as it is."""

    path: str
    state: str
    on_mismatch: str
    type: int | None = None
    key_size: int | None = None
    value_size: int | None = None
    max_entries: int | None = None
    flags: int | None = None
    name: str | None = None
    keep_old_pin: str | None = None
    merge_from: str | None = None
    timestamp_offset: int | None = None


def desired(params: Mapping[str, Any]) -> Desired:
    """The parameters as a value. Raises BadInputError for one that can never work."""
    flags = params["flags"]
    wanted = Desired(
        path=params["path"],
        state=params["state"],
        on_mismatch=params["on_mismatch"],
        type=None if params["type"] is None else MAP_TYPES[params["type"]],
        key_size=params["key_size"],
        value_size=params["value_size"],
        max_entries=params["max_entries"],
        flags=None if flags is None else sum(MAP_FLAGS[flag] for flag in set(flags)),
        name=params["name"],
        keep_old_pin=params["keep_old_pin"],
        merge_from=params["merge_from"],
        timestamp_offset=params["timestamp_offset"],
    )
    _check_paths(wanted)
    _check_sizes(wanted)
    return wanted


def _check_paths(wanted: Desired) -> None:
    inputs.pin_path("path", wanted.path)
    for parameter, path in (
        ("keep_old_pin", wanted.keep_old_pin),
        ("merge_from", wanted.merge_from),
    ):
        if path is not None:
            inputs.pin_path(parameter, path)
            inputs.distinct(parameter, path, wanted.path)
    if wanted.name is not None:
        inputs.map_name("name", wanted.name)
    if wanted.merge_from and wanted.on_mismatch == "recreate":
        raise BadInputError(
            "merge_from", wanted.merge_from, "goes with on_mismatch=migrate or fail only"
        )


def _check_sizes(wanted: Desired) -> None:
    smallest = 0 if wanted.type in KEYLESS_TYPES else 1
    for parameter, value, low, high in (
        ("max_entries", wanted.max_entries, 1, MAX_U32),
        ("key_size", wanted.key_size, smallest, MAX_KEY_SIZE),
        ("value_size", wanted.value_size, smallest, MAX_VALUE_SIZE),
        ("timestamp_offset", wanted.timestamp_offset, 0, MAX_VALUE_SIZE),
    ):
        if value is not None:
            inputs.in_range(parameter, value, low, high)


def migration_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """How to migrate, by the names of the executor's options. Raises BadInputError."""
    for parameter, high in (("batch_size", 16384), ("threads", 64), ("delta_passes", 100)):
        inputs.in_range(parameter, params[parameter], 1, high)
    names = ("batch_size", "threads", "delta_passes", "keep_old_pin", "timestamp_offset")
    return {name: params[name] for name in names}
