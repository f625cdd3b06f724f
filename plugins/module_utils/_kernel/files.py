# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular files of the node that only root may read, replaced as a whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import BinaryIO, Iterator

_BUFFER_BYTES = 1 << 18
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISLNK, "symbolic link"),
)


def kind_of(path: str) -> str | None:
    """file, directory, symbolic link or special file; None when there is nothing."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "special file")


def temporary_of(path: str) -> str:
    """Where the new content is until it is complete."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.bpfops")


@contextmanager
def replaced(path: str) -> Iterator[BinaryIO]:
    """A new file, mode 0600, that takes the place of ``path`` once the block is through.

    After an error nothing is left and ``path`` is as it was; a kill leaves ``temporary_of(path)``,
    which has to be removed first. A symbolic link at ``path`` is replaced, never followed. Raises
    OSError, with EEXIST for anything in the place of the unfinished file.
    """
    temporary = temporary_of(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(fd, "wb", _BUFFER_BYTES) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(path)


def _sync_directory(path: str) -> None:
    """Let the new name survive a power failure, too."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_regular(path: str) -> BinaryIO:
    """Open a file to read; never through a symbolic link, and never waiting for a pipe.

    Raises OSError, also for anything but a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("not a regular file")
    return os.fdopen(fd, "rb", _BUFFER_BYTES)


def others_may_write(file: BinaryIO) -> bool:
    """Whether a user other than root and this process's own can change the file."""
    seen = os.fstat(file.fileno())
    return seen.st_uid not in (0, os.geteuid()) or bool(seen.st_mode & 0o022)


def free_bytes(directory: str) -> int:
    """Bytes that this process may still write into the file system. Raises OSError."""
    seen = os.statvfs(directory)
    return seen.f_bavail * seen.f_frsize
