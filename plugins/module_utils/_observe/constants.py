# SPDX-License-Identifier: GPL-3.0-or-later
"""The constants of one loaded entry program, read again and decoded whole."""

from __future__ import annotations

from .._calico.codecs.fields import LayoutError
from .._calico.codecs.preamble import Globals, decode_preamble
from .._kernel.maps import Map
from .._plan.findings_input import Loaded
from .node.programs import is_constants

_ZERO = bytes(4)


def globals_of(loaded: Loaded) -> tuple[Globals, ...]:
    """The globals of each family; none when the layout is not known. Raises SyscallError."""
    for map_id in loaded.map_ids:
        with Map.from_id(map_id) as opened:
            spec = opened.info().spec
            if is_constants(spec, "tc"):
                raw = opened.lookup(_ZERO, spec.value_size)
                return _decoded(raw) if raw else ()
    return ()


def _decoded(raw: bytes) -> tuple[Globals, ...]:
    try:
        return decode_preamble(raw)
    except LayoutError:
        return ()
