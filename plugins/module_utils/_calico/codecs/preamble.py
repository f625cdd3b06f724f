# SPDX-License-Identifier: GPL-3.0-or-later
"""The read-only data with which Calico's entry program of an interface is loaded.

Layouts are in preamble_layout; for XDP: calico-programs 2.1 (``cali_xdp_globals``).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .fields import Address, Buffer, LayoutError, Packing, address, trimmed, unknown_size
from .preamble_layout import NO_SLOT, preamble_layout

JUMPS = 40
_JUMPS = Packing("preamble's jumps", {4 * JUMPS: f"<{JUMPS}I"})
_XDP = Packing("XDP preamble's read-only data", {80: "<16s16I", 160: "<16s16I16s16I"})
_NAME_SIZE = 16


class Globals(NamedTuple):
    """The globals of one family; None or nothing where the release has no such field.

    Addresses are 4 or 16 bytes as stored: ``ip`` reads them. ``log_filter_jmp`` and ``jumps`` are
    slots of the jump maps, 0xffffffff for none. ``profiling`` is padding before 3.30.
    """

    family: int
    host_ip: bytes
    tunnel_mtu: int
    vxlan_port: int
    intf_ip: bytes
    ext_to_svc_mark: int
    psnat_start: int
    psnat_len: int
    host_tunnel_ip: bytes
    flags: int
    wg_port: int
    profiling: int
    natin_idx: int
    natout_idx: int
    raw_iface_name: bytes
    overlay_tunnel_id: int | None = None
    log_filter_jmp: int | None = None
    jumps: tuple[int, ...] = ()
    dscp: int | None = None
    istio_dscp: int | None = None
    maglev_lut_size: int | None = None
    ipfrag_timeout: int | None = None
    host_ifindex: int | None = None
    padding: bytes = b""

    def ip(self, stored: bytes) -> Address:
        """One of the addresses: IPv4 ones stand at the begin of a field that has room for IPv6."""
        return address(stored[: 4 if self.family == 4 else 16])

    @property
    def log_filter(self) -> int | None:
        """The jump map's slot of the log filter; None when there is none."""
        return None if self.log_filter_jmp == NO_SLOT else self.log_filter_jmp

    @property
    def iface_name(self) -> str:
        """The interface's name, without the dashes that fill the field up."""
        return iface_name(self.raw_iface_name)

    def is_for(self, interface: str) -> bool:
        """Whether these globals name that interface; exact even for a name that ends in a dash."""
        return names_interface(self.raw_iface_name, interface)


class XdpGlobals(NamedTuple):
    """The globals of one family of an XDP preamble; 80 bytes."""

    family: int
    raw_iface_name: bytes
    jumps: tuple[int, ...]

    @property
    def iface_name(self) -> str:
        """The interface's name, without the dashes that fill the field up."""
        return iface_name(self.raw_iface_name)

    def is_for(self, interface: str) -> bool:
        """Whether these globals name that interface; exact even for a name that ends in a dash."""
        return names_interface(self.raw_iface_name, interface)


def padded_name(interface: str) -> bytes:
    """The 16 bytes of a name: 15 with dashes up to the end, then NUL. Raises LayoutError."""
    name = interface.encode()
    if not 0 < len(name) < _NAME_SIZE:
        raise LayoutError(f"{interface!r} is no interface name of 1 to 15 bytes.")
    return name.ljust(_NAME_SIZE - 1, b"-") + b"\0"


def iface_name(raw: bytes) -> str:
    """The name in 16 bytes without filling. Dashes at the name's own end are lost: see is_for."""
    return raw.partition(b"\0")[0].decode("ascii", "backslashreplace").rstrip("-")


def names_interface(raw: bytes, interface: str) -> bool:
    """Whether 16 bytes are that name, filled with dashes or with NULs."""
    return raw in (padded_name(interface), interface.encode().ljust(_NAME_SIZE, b"\0"))


def decode_preamble(raw: Buffer) -> tuple[Globals, ...]:
    """The globals of each family in a tc entry program's rodata, IPv4 first.

    Raises LayoutError unless the size is 56, 220, 256, 512, 528, 536 or 552 bytes.
    """
    layout = preamble_layout(len(raw))
    names = [name for name, _format in layout.part]
    parts = struct.iter_unpack(layout.part_format, raw)
    return tuple(
        _globals(family, dict(zip(names, fields))) for family, fields in zip(layout.families, parts)
    )


def _globals(family: int, fields: dict[str, int | bytes]) -> Globals:
    jumps = fields.pop("jumps", None)
    padding = fields.pop("padding", b"")
    slots = _JUMPS.unpack(jumps) if isinstance(jumps, bytes) else ()
    kept = trimmed(padding) if isinstance(padding, bytes) else b""
    return Globals(family, jumps=slots, padding=kept, **fields)  # type: ignore[arg-type]


def encode_preamble(parts: tuple[Globals, ...], size: int) -> bytes:
    """The rodata of ``size`` bytes. Raises LayoutError when families or fields do not fit it."""
    layout = preamble_layout(size)
    families = tuple(part.family for part in parts)
    if families != layout.families:
        raise LayoutError(
            f"preamble of {size} bytes: families {families} are not {layout.families}."
        )
    packing = Packing("preamble's read-only data", {layout.part_size: layout.part_format})
    names = [name for name, _format in layout.part]
    return b"".join(
        packing.pack(layout.part_size, *(_stored(part, name) for name in names)) for part in parts
    )


def _stored(part: Globals, name: str) -> int | bytes | None:
    value: int | bytes | None = getattr(part, name)
    if name != "jumps":
        return value
    if len(part.jumps) != JUMPS:
        raise LayoutError(f"preamble: {len(part.jumps)} jumps where {JUMPS} are.")
    return _JUMPS.pack(4 * JUMPS, *part.jumps)


def decode_xdp_preamble(raw: Buffer) -> tuple[XdpGlobals, ...]:
    """The globals of each family in an XDP entry program's rodata of 80 or 160 bytes.

    80 bytes are 3.27's, which attaches XDP for IPv4 only. Raises LayoutError for another size.
    """
    fields = _XDP.unpack(raw)
    parts = (fields[:17], fields[17:]) if len(raw) == 160 else (fields,)
    return tuple(XdpGlobals(family, part[0], part[1:]) for family, part in zip((4, 6), parts))


def encode_xdp_preamble(parts: tuple[XdpGlobals, ...]) -> bytes:
    """The rodata of one or two families. Raises LayoutError when a field does not fit."""
    if not parts:
        raise unknown_size("XDP preamble's read-only data", 0, _XDP.formats)
    fields = [field for part in parts for field in (part.raw_iface_name, *part.jumps)]
    return _XDP.pack(80 * len(parts), *fields)
