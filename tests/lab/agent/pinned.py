# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins a release's maps and treats those that are there as felix does."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from pathlib import Path

from . import bpf, plan
from .map_rows import MapRow
from .plan import Plan

PINS = Path("/sys/fs/bpf/tc/globals")
OLD_JUMPS = PINS / "old_jumps"


class MapError(Exception):
    """A map cannot be made as felix would have it; the text is a sentence."""


class Maps:
    """All maps of a plan, open; and those whose entries still have to be copied."""

    def __init__(self, wanted: Plan) -> None:
        self.fds: dict[str, int] = {}
        self._olds: dict[str, int] = {}
        self._plan = wanted

    def create(self) -> None:
        """Make or take over each map; a failure unpins those before it, as in felix."""
        _keep_jump_maps(self._plan)
        for row, spec in plan.specs(self._plan):
            try:
                self._ensure(row, spec)
            except MapError:
                for name in self.fds:
                    (PINS / name).unlink()
                raise

    def copy_delta(self) -> None:
        """What changed in the old conntrack maps since; the old value wins, `_old` goes."""
        for name, old in self._olds.items():
            if self._gets_delta(name):
                new = self.fds[name]
                now = bpf.as_dict(new)
                changed = ((k, v) for k, v in bpf.entries(old) if now.get(k) != v)
                bpf.write(new, changed)
                _old(PINS / name).unlink()
            os.close(old)
        self._olds.clear()

    def _gets_delta(self, name: str) -> bool:
        if not self._plan.ipv6:
            return True
        return name.split("_")[1] in self._plan.release.delta_with_ipv6

    def _ensure(self, row: MapRow, spec: bpf.MapSpec) -> None:
        pin = PINS / spec.name
        _restore_old(pin)
        fd = self._usable(pin, spec)
        if fd is None:
            fd = bpf.create(spec)
            bpf.pin(fd, pin)
            self._refuse_downgrade(row)
        elif bpf.info(fd).max_entries != spec.max_entries:
            fd = self._resize(row, spec, fd)
        self.fds[spec.name] = fd

    def _usable(self, pin: Path, spec: bpf.MapSpec) -> int | None:
        fd = bpf.opened(pin)
        if fd is None or not self._plan.release.checks_sizes:
            return fd
        found = bpf.info(fd)
        if (found.key, found.value) == (spec.key, spec.value):
            return fd
        os.close(fd)
        pin.unlink()
        return None

    def _resize(self, row: MapRow, spec: bpf.MapSpec, old: int) -> int:
        pin = PINS / spec.name
        pin.rename(_old(pin))
        new = bpf.create(spec)
        bpf.pin(new, pin)
        source = bpf.entries(old)
        bpf.write(new, itertools.islice(source, spec.max_entries))
        if next(source, None) is not None:
            raise MapError(f"{spec.name}: new map cannot hold all the data from the old map.")
        if row.by_bpf:
            self._olds[spec.name] = old
        else:
            _old(pin).unlink()
            os.close(old)
        return new

    def _refuse_downgrade(self, row: MapRow) -> None:
        if row.name == "cali_%_ct3" and (PINS / "cali_v4_ct4").exists():
            raise MapError("cali_v4_ct3: downgrade not supported 4 3.")


def jump_pins() -> list[tuple[str, Path]]:
    """Name and place of every map in old_jumps."""
    return [(path.name, path) for path in OLD_JUMPS.glob("*/*")]


def remove_old_jumps() -> None:
    """Unpin the jump maps of the run before; programs that use them drop from now on."""
    for _, path in jump_pins():
        path.unlink()
    for directory in (*OLD_JUMPS.glob("*"), OLD_JUMPS):
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()


def _keep_jump_maps(wanted: Plan) -> None:
    there = [row.name for row in wanted.release.repinned if (PINS / row.name).exists()]
    if not there:
        return
    OLD_JUMPS.mkdir(mode=0o700, exist_ok=True)
    target = Path(tempfile.mkdtemp(dir=OLD_JUMPS))
    for name in there:
        (PINS / name).rename(target / name)


def _restore_old(pin: Path) -> None:
    if _old(pin).exists():
        _old(pin).rename(pin)


def _old(pin: Path) -> Path:
    return pin.with_name(f"{pin.name}_old")
