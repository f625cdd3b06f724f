# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs on the cgroup roots of a node."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import islice
from typing import Iterator, Mapping, Sequence

from ..._calico import ownership
from ..._calico.connect_time import HOOKS, ConnectHook
from ..._calico.versions import VersionSet
from ..._errors import SyscallError
from ..._kernel.attachments import Attached, cgroup_programs
from ..._kernel.bpffs import filesystem_magic
from ..._kernel.links import Link, LinkInfo
from ..._plan.findings_input import ConnectTime
from ..._uapi.bpf import CGROUP2_MAGIC, AttachType
from .notes import Notes
from .programs import Programs

_MOST_CGROUPS = 10000
"""Cgroups below the roots that are looked at; a pod has about three."""


class Roots:
    """One look at the cgroups. ``links`` tells the pin of a link by its id.

    ``roots`` keeps those that are cgroup2 directories.
    """

    def __init__(
        self, roots: Sequence[str], programs: Programs, links: Mapping[int, str], notes: Notes
    ) -> None:
        self.programs = programs
        self.links = links
        self.notes = notes
        self.roots = tuple(root for root in roots if self._is_cgroup2(root))
        self._links: tuple[LinkInfo, ...] | None = None

    def all(self, release: VersionSet | None) -> tuple[ConnectTime, ...]:
        """The programs at the connect-time hooks, whoever owns them."""
        return tuple(one for root in self.roots for one in self._programs(root, release))

    def below(self, release: VersionSet | None) -> tuple[ConnectTime, ...]:
        """The same in the cgroups below the roots that have one for connections of IPv4."""
        found: list[ConnectTime] = []
        for path in islice(self._cgroups_below(), _MOST_CGROUPS):
            with suppress(SyscallError, OSError):  # gone, or a kind that takes no programs
                if cgroup_programs(path, AttachType.CGROUP_INET4_CONNECT).prog_ids:
                    found.extend(self._programs(path, release))
        return tuple(found)

    def _cgroups_below(self) -> Iterator[str]:
        for root in self.roots:
            for place, directories, _ in os.walk(root):
                paths = (os.path.join(place, name) for name in directories)
                yield from (path for path in paths if path not in self.roots)

    def _programs(self, root: str, release: VersionSet | None) -> Iterator[ConnectTime]:
        for hook in HOOKS:
            with self.notes.reading(f"{hook.section} of {root}"):
                yield from self._hook(root, hook, release)

    def _is_cgroup2(self, root: str) -> bool:
        with self.notes.reading(root):
            if filesystem_magic(root) == CGROUP2_MAGIC:
                return True
            self.notes.add(f"{root} was left out: it is no directory of a cgroup2 file system.")
        return False

    def _hook(
        self, root: str, hook: ConnectHook, release: VersionSet | None
    ) -> Iterator[ConnectTime]:
        links: dict[int, list[int]] | None = None
        for prog_id, seen in _programs(root, hook):
            program = self.programs.loaded(prog_id)
            if program is None:
                continue
            if links is None and not seen.legacy:
                links = self._links_at(root, hook)
            mine = links.get(prog_id) if links else None
            link_id = mine.pop(0) if mine else None
            pin = self.links.get(link_id, "") if link_id else ""
            owner = ownership.cgroup_program(
                ownership.CgroupProgram(
                    hook.attach_type, program.evidence, True, link_id is not None, pin
                ),
                release,
            )
            yield ConnectTime(root, hook.section, seen.legacy, owner, program, link_id)

    def _links_at(self, root: str, hook: ConnectHook) -> dict[int, list[int]]:
        """Ids of the links to a hook by program: the kernel's query does not name them."""
        if self._links is None:
            self._links = _cgroup_links()
        cgroup = os.stat(root).st_ino
        found: dict[int, list[int]] = {}
        for link in self._links:
            if (link.cgroup_id, link.attach_type) == (cgroup, hook.attach_type):
                found.setdefault(link.prog_id, []).append(link.id)
        return found


def _programs(root: str, hook: ConnectHook) -> Iterator[tuple[int, Attached]]:
    try:
        seen = cgroup_programs(root, hook.attach_type)
    except SyscallError as error:
        if error.errno == errno.EINVAL:  # a hook that this kernel does not have
            return
        raise
    for prog_id in seen.prog_ids:
        yield prog_id, seen


def _cgroup_links() -> tuple[LinkInfo, ...]:
    found = []
    for link_id in Link.ids():
        try:
            with Link.from_id(link_id) as opened:
                info = opened.info()
        except SyscallError:  # gone
            continue
        if info.cgroup_id:
            found.append(info)
    return tuple(found)
