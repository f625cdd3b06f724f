# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled programs of a plan, loaded with the maps that are pinned."""

from __future__ import annotations

from pathlib import Path

from . import bpf, config, map_rows, plan
from .libbpf import BpfObject, MapShape
from .map_rows import MapRow
from .pinned import PINS
from .plan import Plan
from .releases import MAIN, MAIN_26, MainProgram, Preamble

DIRECTORY = Path(__file__).resolve().parent / "bpf"
TCX = (46, 47)
CONNECTION_MAPS = ("cali_ct", "cali_nat_fe", "cali_nat_be", "cali_nat_aff", "cali_arp")
SERVICE_MAPS = ("cali_nat_fe", "cali_nat_be", "cali_routes")
CONNECT_TIME_MAPS = (
    *("cali_nat_fe", "cali_nat_be", "cali_nat_aff"),
    *("cali_routes", "cali_ct_nats", "cali_srmsg"),
)
ROWS = {
    "cali_nat_fe": map_rows.NAT_FE,
    "cali_nat_be": map_rows.NAT_BE,
    "cali_nat_aff": map_rows.NAT_AFF,
    "cali_arp": map_rows.ARP,
    "cali_routes": map_rows.ROUTES,
    "cali_ct_nats": map_rows.CT_NATS,
    "cali_srmsg": map_rows.SRMSG,
}


class Loader:
    """Opens objects of one plan; ``tc_type`` is the expected attach type of each hook."""

    def __init__(self, wanted: Plan) -> None:
        self._plan = wanted
        # One program array takes one type only: releases that share it use none.
        self.tc_types = TCX if wanted.tcx and wanted.release.by_hook else (0, 0)

    def main(self, family: str, hook: int) -> int:
        """The program that tracks a family's connections, for pods' traffic of one tc hook."""
        release = self._plan.release
        name = MAIN if release.preamble.jumps else MAIN_26
        services = self._plan.services
        form = MainProgram(hook, release.rst_seen, family, name, services)
        loaded = BpfObject(DIRECTORY / form.path())
        row = self._row("cali_ct")
        self._bind(loaded, f"cali_{family}_ct3", row, sized=True, family=family)
        for symbol in SERVICE_MAPS if services else ():
            self._bind(loaded, symbol, self._row(symbol), sized=True, family=family)
        loaded.set_map(config.COUNTERS_PIN.name, config.COUNTERS_PIN)
        if family == "v4":
            loaded.set_map(config.DENIED_PIN.name, config.DENIED_PIN)
        loaded.set_attach_type(name, self.tc_types[hook])
        loaded.load()
        return loaded.program_fd(name)

    def preamble(
        self, layout: Preamble, hook: int, data: bytes, jump_pins: dict[str, Path]
    ) -> BpfObject:
        """Load an interface's own program around these globals.

        Raises LibbpfError when a pinned map has not the size that the release expects.
        """
        release = self._plan.release
        loaded = BpfObject(DIRECTORY / layout.object_path(hook))
        loaded.set_globals(data)
        loaded.set_attach_type(layout.entries[hook], self.tc_types[hook])
        for symbol, path in jump_pins.items():
            self._shape_as_pinned(loaded, symbol, path)
        self._bind(loaded, "cali_state", self._row("cali_state"), sized=True)
        for symbol in CONNECTION_MAPS:
            self._bind(loaded, symbol, self._row(symbol), sized=release.sizes_in_preamble)
        loaded.load()
        return loaded

    def connect_time(self) -> BpfObject:
        """Open, but do not load, the programs for connect, sendmsg and recvmsg."""
        loaded = BpfObject(DIRECTORY / "connect_time.o")
        for symbol in CONNECT_TIME_MAPS:
            self._bind(loaded, symbol, self._row(symbol), sized=True)
        return loaded

    def _bind(
        self, loaded: BpfObject, symbol: str, row: MapRow, *, sized: bool, family: str = ""
    ) -> None:
        spec = plan.spec(row, self._plan.release, family or self._plan.families[0])
        entries = spec.max_entries if sized else row.max_entries
        shape = MapShape(spec.type, spec.key, spec.value, entries, spec.flags)
        loaded.shape_map(symbol, PINS / spec.name, shape)

    def _row(self, symbol: str) -> MapRow:
        if symbol in ROWS:
            return ROWS[symbol]
        prefix = {"cali_ct": "cali_%_ct", "cali_state": "cali_state"}[symbol]
        rows = (*self._plan.release.common, *self._plan.release.family)
        return next(row for row in rows if row.name[:-1] == prefix)

    def _shape_as_pinned(self, loaded: BpfObject, symbol: str, path: Path) -> None:
        fd = bpf.opened(path)
        if fd is None:
            raise OSError(f"{path} is not pinned.")
        found = bpf.info(fd)
        shape = MapShape(found.type, found.key, found.value, found.max_entries, 0)
        loaded.shape_map(symbol, path, shape)
