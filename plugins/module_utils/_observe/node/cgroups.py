# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs on the cgroup roots of a node."""

from __future__ import annotations

import errno
import os
from typing import Iterator, Mapping, Sequence

from ..._calico import ownership
from ..._calico.connect_time import HOOKS, ConnectHook
from ..._calico.versions import VersionSet
from ..._errors import SyscallError
from ..._kernel.attachments import Attached, cgroup_programs
from ..._kernel.bpffs import filesystem_magic
from ..._kernel.links import Link, LinkInfo
from ..._plan.findings_input import ConnectTime
from ..._uapi.bpf import CGROUP2_MAGIC
from .notes import Notes
from .programs import Programs


class Roots:
    """One look at the cgroups. ``links`` tells the pin of a link by its id."""

    def __init__(
        self, roots: Sequence[str], programs: Programs, links: Mapping[int, str], notes: Notes
    ) -> None:
        self.roots = roots
        self.programs = programs
        self.links = links
        self.notes = notes
        self._links: tuple[LinkInfo, ...] | None = None

    def all(self, release: VersionSet | None) -> tuple[ConnectTime, ...]:
        """The programs at the connect-time hooks, whoever owns them."""
        found: list[ConnectTime] = []
        for root in self.roots:
            for hook in HOOKS if self._is_cgroup2(root) else ():
                with self.notes.reading(f"{hook.section} of {root}"):
                    found.extend(self._hook(root, hook, release))
        return tuple(found)

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
