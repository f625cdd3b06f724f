# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants of a snapshot, checked before anything is looked at."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Mapping, NamedTuple

from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError
from . import inputs
from .conntrack_query import timeouts

_LONGEST_NAME = 240
"""Bytes of a file's name that leave room for what the unfinished one has around it."""


class SnapshotTask(NamedTuple):
    """The task; ``release`` is None when the node has to tell it, ``timeouts`` in seconds."""

    state: str
    path: str
    families: tuple[str, ...]
    pin_dir: str
    release: VersionSet | None
    timeouts: dict[str, int]
    overwrite: bool
    rebase_other_boot: bool


def snapshot_task(params: Mapping[str, Any]) -> SnapshotTask:
    """The parameters as a value. Raises BadInputError."""
    version = params["calico_version"]
    pin_dir = params["pin_dir"] or f"{params['bpffs']}/tc/globals"
    inputs.directory_path("pin_dir", pin_dir)
    if not params["families"]:
        raise BadInputError("families", params["families"], "is empty; name ipv4, ipv6 or both")
    return SnapshotTask(
        state=params["state"],
        path=_file_path(params["path"]),
        families=tuple(params["families"]),
        pin_dir=pin_dir,
        release=None if version is None else parse_release(version, "calico_version"),
        timeouts=timeouts(params["timeouts"] or {}),
        overwrite=params["overwrite"],
        rebase_other_boot=params["rebase_other_boot"],
    )


def _file_path(path: str) -> str:
    if not path.startswith("/"):
        raise BadInputError("path", path, "is relative, but has to be an absolute path")
    name = PurePosixPath(path).name
    if path.endswith("/") or not name or name == "..":
        raise BadInputError("path", path, "names a directory, but a snapshot is a file")
    if len(name.encode()) > _LONGEST_NAME:
        raise BadInputError("path", path, f"has a name longer than {_LONGEST_NAME} bytes")
    return path
