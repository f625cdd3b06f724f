# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroup2 tree: where processes of a node are found and ended.

cgroup.kill needs kernel 5.14; older kernels get signals one by one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.settings import Settings
from tests.lab.shell import run, wait_for


def root(settings: Settings) -> Path:
    """Mount point of cgroup2; mounted privately below the state directory if nobody has."""
    mounted = _mounts("cgroup2")
    if mounted:
        return Path(mounted[0][1])
    target = settings.state / "cgroup2"
    target.mkdir(parents=True, exist_ok=True)
    try:
        run("mount", "-t", "cgroup2", settings.cgroup, str(target))
    except LabError as error:
        raise LabError(f"The lab needs cgroup2, and it cannot be mounted: {error}") from error
    return target


def unmount_private(settings: Settings) -> None:
    """Undo what ``root`` mounted; the mount is known by its source name."""
    for source, target in _mounts("cgroup2"):
        if source == settings.cgroup:
            run("umount", target)


def tree(settings: Settings) -> Path | None:
    """The lab's directory, if there is a cgroup2 mount and the lab has one."""
    for _, target in _mounts("cgroup2"):
        if (Path(target) / settings.cgroup).is_dir():
            return Path(target) / settings.cgroup
    return None


def processes(top: Path) -> list[int]:
    """Host pids of everything below ``top``."""
    pids: list[int] = []
    for file in top.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            pids += [int(line) for line in file.read_text().split()]
    return pids


def destroy(top: Path) -> None:
    """Kill every process below ``top`` and remove the directories."""
    if not top.is_dir():
        return
    _kill(top)
    wait_for(lambda: not _kill_again(top), 120, f"the processes in {top} to end")
    # A directory stays busy for a moment after its last process has gone.
    wait_for(lambda: _remove(top), 10, f"{top} to become removable")


def _kill(top: Path) -> None:
    try:
        (top / "cgroup.kill").write_text("1")
    except FileNotFoundError:
        _kill_again(top)


def _kill_again(top: Path) -> list[int]:
    pids = processes(top)
    for pid in pids:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return pids


def _remove(top: Path) -> bool:
    directories = [top, *(path for path in top.rglob("*") if path.is_dir())]
    for directory in sorted(directories, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):
            directory.rmdir()
    return not top.exists()


def _mounts(kind: str) -> list[tuple[str, str]]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [
        (fields[0], fields[1].encode().decode("unicode_escape"))
        for fields in lines
        if fields[2] == kind
    ]
