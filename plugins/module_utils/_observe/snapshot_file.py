# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot on the node's disk, and the boot that it is seen in."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import Any, BinaryIO, Iterator, NamedTuple

from .._errors import BadInputError
from .._kernel import files, proc
from .._plan.snapshot_facts import Sound, snapshot_facts
from .._plan.snapshot_save import SavedFile
from .._snapshot.header import MAGIC, FormatError, Origin
from .._snapshot.stream import SnapshotReader


class Opened(NamedTuple):
    """A snapshot whose checksum holds, open to be read, and what is known of it."""

    reader: SnapshotReader
    sound: Sound


def here(release: str = "") -> Origin:
    """This node and boot at this instant."""
    return Origin(proc.boot_id(), time.monotonic_ns(), time.time_ns(), proc.node_name(), release)


@contextmanager
def opened(path: str) -> Iterator[Opened]:
    """The snapshot at ``path``. Raises BadInputError for anything else, and when it is damaged."""
    with _open(path) as file:
        try:
            yield _trusted(path, file)
        except FormatError as error:
            raise BadInputError("path", path, str(error)) from error


def _open(path: str) -> BinaryIO:
    try:
        kind = files.kind_of(path)
        if kind != "file":
            what = f"is a {kind}, and a snapshot is a file" if kind else "is not there"
            raise BadInputError("path", path, what)
        return files.open_regular(path)
    except OSError as error:
        raise unusable(path, "read", error) from error


def _trusted(path: str, file: BinaryIO) -> Opened:
    if files.others_may_write(file):
        raise FormatError("can be written by others than root")
    reader = SnapshotReader(file)
    size = os.fstat(file.fileno()).st_size
    return Opened(reader, Sound(path, reader.header, reader.entries, reader.checksum, size))


def facts_at(path: str) -> dict[str, Any] | None:
    """What results say of the snapshot at ``path``; None when there is none that is sound."""
    try:
        with opened(path) as found:
            return snapshot_facts(found.sound, here())
    except BadInputError:
        return None


def saved_file(path: str) -> SavedFile:
    """What is at ``path`` before something is written there. Raises BadInputError."""
    try:
        kind = files.kind_of(path)
        temporary = files.temporary_of(path)
        leftover = temporary if files.kind_of(temporary) else None
    except OSError as error:
        raise unusable(path, "read", error) from error
    if kind != "file":
        return SavedFile(kind, leftover=leftover)
    with _open(path) as file:
        if file.read(len(MAGIC)) != MAGIC:
            return SavedFile(kind, fault="is no snapshot of a conntrack table", foreign=True)
        try:
            return SavedFile(kind, _trusted(path, file).sound, leftover=leftover)
        except FormatError as error:
            return SavedFile(kind, fault=str(error), leftover=leftover)


def unusable(path: str, verb: str, error: OSError) -> BadInputError:
    """What the operator is told of a file that cannot be read or written."""
    return BadInputError("path", path, f"cannot be {verb}: {error.strerror or error}")


def free_bytes(path: str) -> int:
    """Bytes free where ``path`` is to be. Raises BadInputError: no such directory."""
    directory = os.path.dirname(path)
    try:
        if files.kind_of(directory) is None:
            raise BadInputError("path", path, f"has no directory: {directory} is not there")
        return files.free_bytes(directory)
    except OSError as error:
        raise unusable(path, "written", error) from error
