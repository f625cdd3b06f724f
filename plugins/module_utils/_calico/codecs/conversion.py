# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of one release as another release expects them.

From ct3 to ct4 nothing changes. What does: the value of ct2, and the meaning of bytes 0 to 7.
"""

from __future__ import annotations

from .conntrack import Opaque, decode_value, encode_value
from .conntrack_layout import V2, V3_IPV4, FirstWord
from .fields import Buffer, LayoutError


def v2_to_v3(raw: Buffer, target: FirstWord) -> bytes:
    """The 88-byte value (ct3 and ct4) for a 64-byte one of ct2; the key stays as it is.

    The time of creation is kept for releases up to 3.29, and becomes "no RST" (0) for later ones.
    Counters begin at 0; flags above the 16 bits that ct2 has, and padding, are dropped. Raises
    LayoutError for any other size. Facts: calico-maps 2.3.
    """
    value = decode_value(raw, V2)
    body = value.body
    if not isinstance(body, Opaque):
        body = body._replace(padding=b"")
    created = value.first_word if target is FirstWord.CREATED else 0
    fresh = value._replace(first_word=created, flags=value.flags & 0xFFFF, body=body, padding=b"")
    return encode_value(fresh, V3_IPV4)


def words_of(values: memoryview, count: int, stride: int) -> memoryview:
    """``count`` values of ``stride`` bytes as 64-bit words.

    Raises LayoutError when the stride is no multiple of 8 or the buffer is too short.
    """
    if stride % 8 or count * stride > len(values):
        raise LayoutError(
            f"{count} values of {stride} bytes are not in a buffer of {len(values)} bytes."
        )
    return values[: count * stride].cast("B").cast("Q")
