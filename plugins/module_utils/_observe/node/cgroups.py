# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs on the cgroup roots of a node."""

from __future__ import annotations

import errno
from typing import Iterator, Mapping, Sequence

from ..._calico import ownership
from ..._calico.connect_time import HOOKS, ConnectHook
from ..._calico.versions import VersionSet
from ..._errors import SyscallError
from ..._kernel.attachments import Attached, cgroup_programs
from ..._kernel.bpffs import filesystem_magic
from ..._kernel.links import Link
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
        self._by_program: dict[int, list[tuple[int, int | None]]] | None = None

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
        for prog_id, seen in _programs(root, hook):
            program = self.programs.loaded(prog_id)
            if program is None:
                continue
            link_id = None if seen.legacy else self._link_of(prog_id, hook)
            pin = self.links.get(link_id, "") if link_id else ""
            owner = ownership.cgroup_program(
                ownership.CgroupProgram(
                    hook.attach_type, program.evidence, True, link_id is not None, pin
                ),
                release,
            )
            yield ConnectTime(root, hook.section, seen.legacy, owner, program)

    def _link_of(self, prog_id: int, hook: ConnectHook) -> int | None:
        """The link that attaches a program: the kernel's query does not name it."""
        if self._by_program is None:
            self._by_program = _links()
        for link_id, attach_type in self._by_program.get(prog_id, ()):
            if attach_type == hook.attach_type:
                return link_id
        return None


def _programs(root: str, hook: ConnectHook) -> Iterator[tuple[int, Attached]]:
    try:
        seen = cgroup_programs(root, hook.attach_type)
    except SyscallError as error:
        if error.errno == errno.EINVAL:  # a hook that this kernel does not have
            return
        raise
    for prog_id in seen.prog_ids:
        yield prog_id, seen


def _links() -> dict[int, list[tuple[int, int | None]]]:
    found: dict[int, list[tuple[int, int | None]]] = {}
    for link_id in Link.ids():
        try:
            with Link.from_id(link_id) as opened:
                info = opened.info()
        except SyscallError:  # gone
            continue
        found.setdefault(info.prog_id, []).append((link_id, info.attach_type))
    return found
