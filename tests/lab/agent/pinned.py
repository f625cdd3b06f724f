# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins a release's maps and treats those that are there as felix does."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from pathlib import Path

from . import bpf, map_rows, plan, upgrade
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
        self._create(plan.specs(self._plan))

    def bootstrap(self) -> None:
        """Do as the init container of 3.31 and later: all maps with their default sizes."""
        self._create(plan.specs(self._plan, defaults=True))
        for fd in (*self.fds.values(), *self._olds.values()):
            os.close(fd)

    def _create(self, specs: list[tuple[MapRow, bpf.MapSpec]]) -> None:
        for row, spec in specs:
            try:
                self._ensure(row, spec)
            except MapError:
                for name in self.fds:
                    (PINS / name).unlink()
                raise

    def copy_delta(self) -> None:
        """What changed in the old conntrack maps since; the old value wins, `_old` goes.

        The upgrade of the map's version runs once more before; its failure ends the copy.
        """
        for row, spec in plan.specs(self._plan):
            if row.size_key == map_rows.CONNTRACK_SIZE and self._gets_delta(spec.name):
                with contextlib.suppress(MapError):
                    self._upgrade(spec, self.fds[spec.name])
                    self._copy_changes(spec.name)

    def _copy_changes(self, name: str) -> None:
        old = self._olds.pop(name, None)
        if old is None:
            return
        new = self.fds[name]
        now = bpf.as_dict(new)
        changed = ((k, v) for k, v in bpf.entries(old) if now.get(k) != v)
        bpf.write(new, changed)
        _old(PINS / name).unlink()
        os.close(old)

    def _gets_delta(self, name: str) -> bool:
        if not self._plan.ipv6:
            return True
        return name.split("_")[1] in self._plan.release.delta_with_ipv6

    def _ensure(self, row: MapRow, spec: bpf.MapSpec) -> None:
        fd, old = self._made(row, spec)
        self.fds[spec.name] = fd
        if old is not None:
            self._olds[spec.name] = old

    def _made(
        self, row: MapRow, spec: bpf.MapSpec, *, upgrades: bool = True
    ) -> tuple[int, int | None]:
        """The map at the pin, and the one that it replaces if its entries may still change."""
        pin = PINS / spec.name
        _restore_old(pin)
        fd, old = self._usable(pin, spec), None
        if fd is not None and bpf.info(fd).max_entries == spec.max_entries:
            return fd, None
        if fd is None:
            fd = bpf.create(spec)
            bpf.pin(fd, pin)
        else:
            fd, old = self._resize(row, spec, fd)
        if upgrades:
            self._upgrade(spec, fd)
        return fd, old

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

    def _resize(self, row: MapRow, spec: bpf.MapSpec, old: int) -> tuple[int, int | None]:
        pin = PINS / spec.name
        pin.rename(_old(pin))
        new = bpf.create(spec)
        bpf.pin(new, pin)
        source = bpf.entries(old)
        bpf.write(new, itertools.islice(source, spec.max_entries))
        if next(source, None) is not None:
            raise MapError(f"{spec.name}: new map cannot hold all the data from the old map.")
        if row.by_bpf:
            return new, old
        _old(pin).unlink()
        os.close(old)
        return new, None

    def _upgrade(self, spec: bpf.MapSpec, target: int) -> None:
        """Write everything of an earlier version's map into this one, whatever it has."""
        mine = upgrade.version_of(spec.name)
        found = mine and upgrade.other_version(PINS, mine)
        if not mine or not found:
            return
        if found > mine:
            raise MapError(f"{spec.name}: downgrade not supported {found} {mine}.")
        row = map_rows.CT2
        if found != 2:
            # From 3.31 on felix takes the new map's parameters for the old one's:
            # it empties nothing, migrates nothing, and makes the new map once more.
            row = map_rows.CT4
        source, _ = self._made(row, self._source(row, spec), upgrades=False)
        everything = list(bpf.entries(source))
        os.close(source)
        bpf.write(target, upgrade.converted(everything, found))

    def _source(self, row: MapRow, spec: bpf.MapSpec) -> bpf.MapSpec:
        """An earlier version's map, with the new map's size."""
        shape = plan.spec(row, self._plan.release, "v4")
        return shape._replace(max_entries=spec.max_entries)


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
