# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned maps, their fill and their users, for whoever only wants to look."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Sequence

from .._errors import BadInputError, SyscallError
from .._kernel import bpffs
from .._kernel.maps import Map
from .._kernel.programs import ProgInfo, map_users
from .._kernel.readers import count_entries
from .._plan.migration import COPYABLE_TYPES
from .._uapi.bpf import ProgType
from .bpf_map import open_facts


class Listing(NamedTuple):
    """The maps found, and a sentence for each pin that could not be read."""

    maps: list[dict[str, Any]]
    warnings: list[str]


def list_maps(paths: Sequence[str], directories: Sequence[str], count: bool) -> Listing:
    """Maps at ``paths`` and pinned below ``directories``; other objects there are passed.

    A path that vanishes or cannot be opened becomes a warning. Raises BadInputError for a
    directory that is not on a bpffs, and SyscallError when the loaded programs cannot be listed
    (CAP_SYS_ADMIN).
    """
    found = Listing([], [])
    for path in [*paths, *_pins_below(directories)]:
        try:
            _add(found, path, count, required=path in paths)
        except (SyscallError, OSError) as error:
            found.warnings.append(f"{path} was left out: {error}")
    users = map_users() if found.maps else {}
    for facts in found.maps:
        facts["users"] = [_user(program) for program in users.get(facts["id"], [])]
    return found


def _pins_below(directories: Sequence[str]) -> Iterator[str]:
    for directory in directories:
        if not bpffs.on_bpffs(directory):
            raise BadInputError("directories", directory, "is not on a bpffs, where pins live")
        yield from bpffs.walk(directory)


def _add(found: Listing, path: str, count: bool, required: bool) -> None:
    kind = bpffs.kind_at(path)
    if kind != "map":
        if required:
            found.warnings.append(f"{path} was left out: {kind or 'nothing'} instead of a map.")
        return
    with Map.open(path, read_only=True) as opened:
        info = opened.info()
        countable = count and info.spec.type in COPYABLE_TYPES
        entries = count_entries(opened, info.spec) if countable else None
        found.maps.append({**open_facts(path, opened, info), "entries": entries})


def _user(program: ProgInfo) -> dict[str, Any]:
    try:
        kind = ProgType(program.type).name.lower()
    except ValueError:
        kind = str(program.type)
    return {"id": program.id, "type": kind, "name": program.name, "tag": program.tag}
