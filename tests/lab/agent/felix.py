# SPDX-License-Identifier: GPL-3.0-or-later
"""One start of a release: maps, programs, attachments, and what is cleaned up after."""

from __future__ import annotations

import os
import re
import socket
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import bpf, config, filters, host, pinned, plan, records
from .connect_time import ConnectTime
from .filters import Interface, Place
from .libbpf import BpfObject, LibbpfError
from .map_rows import JUMP_26
from .objects import Loader
from .pinned import PINS, Maps
from .plan import Plan
from .releases import ENTRY_26, ENTRY_26_HOST, MAIN, MAIN_26, Preamble
from .workloads import SUBPROGRAMS, IfState, Workload, globals_of

# Direction of the policy at tc ingress and egress.
HOOK_LETTERS = {False: ("E", "I"), True: ("I", "E")}
DIRECTORIES_26 = ("igr", "egr")


class UnequalError(Exception):
    """felix up to 3.30 takes no workload for ready whose two filters differ."""


class Felix:
    """What a start has loaded and must hold until it ends.

    ``unequal``: the interfaces whose filters differ, which are dirty for no other reason.
    """

    def __init__(self, wanted: Plan) -> None:
        self.plan = wanted
        self.maps = Maps(wanted)
        self.dirty: list[str] = []
        self.unequal: list[Workload] = []
        self.workloads: list[Workload] = []
        self._connect_time = ConnectTime(wanted)
        self._loader = Loader(wanted)
        self._mains: dict[tuple[bool, str, int], int] = {}
        self._main_programs: dict[tuple[str, int], int] = {}

    def start(self) -> dict[str, Any]:
        """Do all of it; an interface that fails stays as it was and is called dirty."""
        self.maps.create()
        self._main_programs = {
            (family, hook): self._loader.main(family, hook)
            for family in self.plan.families
            for hook in (0, 1)
        }
        if self.plan.release.repinned:
            self._fill_programs()
        self._connect_time.attach(self._loader)
        state = IfState(self.plan, self.maps.fds[self.plan.release.ifstate.name])
        self.workloads = state.assign(interfaces(), host.prepare(self.plan))
        for one in self.workloads:
            state.write(one)
            self._try_to_attach(one)
        self.maps.copy_delta()
        if not self.dirty and "lingering_old_jumps" not in self.plan.defects:
            pinned.remove_old_jumps()
        return self._report()

    def retry(self) -> None:
        """Attach once more where filters differ, as any update of the dataplane makes felix do."""
        again, self.unequal = self.unequal, []
        for one in again:
            self.dirty.remove(one.interface.name)
            self._try_to_attach(one)
        if not self.dirty:
            pinned.remove_old_jumps()

    def program(self, one: Workload, hook: int) -> BpfObject:
        """Load the interface's own program for one hook."""
        data = globals_of(self.plan, one, hook, self._mains)
        layout = self.layout(one)
        return self._loader.preamble(layout, hook, data, self._jump_pins(one, hook))

    def layout(self, one: Workload) -> Preamble:
        """Layout and names of the interface's own programs."""
        whole = self.plan.preamble
        return ENTRY_26_HOST if whole is ENTRY_26 and one.host else whole

    def _try_to_attach(self, one: Workload) -> None:
        try:
            places = [self._program(one, hook) for hook in (0, 1)]
            self._compare(one, *places)
        except (LibbpfError, UnequalError) as error:
            print(f"lab-agent: {one.interface.name}: {error}", file=sys.stderr)
            self.dirty.append(one.interface.name)
        else:
            if self.plan.tcx:
                filters.remove_clsact(one.interface)

    def _compare(self, one: Workload, ingress: Place | None, egress: Place | None) -> None:
        if not self.plan.release.compares_filters or one.host or ingress == egress:
            return
        self.unequal.append(one)
        raise UnequalError(
            f"ingress qdisc info {ingress} does not equal egress qdisc info {egress}"
        )

    def _program(self, one: Workload, hook: int) -> Place | None:
        keeps_records = self.plan.release.preamble is ENTRY_26
        if keeps_records and records.current(one.interface, hook):
            return None
        self._fill_jump_map(one, hook)
        place = self._attach(one, hook)
        if keeps_records:
            records.write(one.interface, hook)
        return place

    def _attach(self, one: Workload, hook: int) -> Place | None:
        loaded = self.program(one, hook)
        program = loaded.program_fd(self.layout(one).entries[hook])
        place = None
        if self.plan.tcx:
            filters.attach_tcx(program, one.interface, hook)
        else:
            place = filters.attach(program, one.interface, hook, self.plan.release.attach)
        loaded.close()
        return place

    def _fill_programs(self) -> None:
        """Load each family's and hook's programs into consecutive slots."""
        free: dict[str, int] = {}
        for hook in (0, 1):
            name = self.plan.release.jump_maps[hook][0]
            for of_host in (False, True) if self.plan.host else (False,):
                for family in self.plan.families:
                    first = free.get(name, 0)
                    self._mains[of_host, family, hook] = first
                    for place, program in enumerate(self._programs(of_host, family, hook)):
                        bpf.set_program(self.maps.fds[name], first + place, program)
                        free[name] = first + place + 1

    def _programs(self, of_host: bool, family: str, hook: int) -> list[int]:
        """The host's packets pass; flows are tracked at the pods' interfaces."""
        kind = self._loader.tc_types[hook]
        main = self._main_programs[family, hook]
        if of_host:
            main = bpf.load_pass(MAIN, kind)
        return [main, *(bpf.load_pass(name, kind) for _, name in SUBPROGRAMS)]

    def _jump_pins(self, one: Workload, hook: int) -> dict[str, Path]:
        progs, jump = self.plan.release.jump_maps[hook]
        if self.plan.release.preamble is ENTRY_26:
            directory = f"{one.interface.name.replace('.', '')}_{DIRECTORIES_26[hook]}"
            return {"cali_jump": PINS.parent / directory / jump}
        return {"cali_jump": PINS / jump, "cali_progs": PINS / progs}

    def _fill_jump_map(self, one: Workload, hook: int) -> None:
        if self.plan.release.preamble is ENTRY_26:
            self._fill_jump_map_26(self._jump_pins(one, hook)["cali_jump"], one, hook)
        kind = self._loader.tc_types[hook]
        progs, jump = self.plan.release.jump_maps[hook]
        for (family, of_hook), slot in one.policies.items():
            if of_hook == hook:
                name = f"p{family[1]}{HOOK_LETTERS[one.host][hook]}_{one.interface.name}"
                self._put(jump, slot, bpf.load_pass(name, kind))
        if one.logs:
            logging = bpf.load_log_filter(self.maps.fds[progs], kind)
            self._put(jump, one.filters[hook], logging)

    def _put(self, jump: str, slot: int, program: int) -> None:
        bpf.set_program(self.maps.fds[jump], slot, program)
        os.close(program)

    def _fill_jump_map_26(self, pin: Path, one: Workload, hook: int) -> None:
        fd = bpf.opened(pin)
        if fd is None:
            fd = bpf.create(plan.spec(JUMP_26, self.plan.release, "v4"))
            bpf.pin(fd, pin)
        bpf.set_program(fd, 2, bpf.load_pass("calico_tc_norm_"))
        main = self._main_programs["v4", hook]
        bpf.set_program(fd, 3, bpf.load_pass(MAIN_26) if one.host else main)
        os.close(fd)

    def conntrack_maps(self) -> dict[str, int]:
        """Name and descriptor of each family's conntrack map, IPv4 first."""
        return {name: fd for name, fd in self.maps.fds.items() if re.match(r"cali_v\d_ct\d", name)}

    def conntrack(self) -> tuple[str, int]:
        """Name and descriptor of the conntrack map, of IPv4 if there are two."""
        return next(iter(self.conntrack_maps().items()))

    def _report(self) -> dict[str, Any]:
        found = bpf.info(self.conntrack()[1])
        return {
            "release": self.plan.release.version,
            "conntrack_map_id": found.id,
            "max_entries": found.max_entries,
            "interfaces": sorted(one.interface.name for one in self.workloads if not one.host),
            "host_interfaces": sorted(one.interface.name for one in self.workloads if one.host),
            **self.trouble(),
        }

    def trouble(self) -> dict[str, list[str]]:
        """Interfaces that are not ready, and those of them whose filters differ."""
        unequal = [one.interface.name for one in self.unequal]
        return {"dirty": sorted(self.dirty), "unequal": sorted(unequal)}


def interfaces(pattern: str = config.INTERFACES) -> list[Interface]:
    """The workloads' interfaces, or all that match."""
    return [
        Interface(number, name) for number, name in socket.if_nameindex() if fnmatch(name, pattern)
    ]
