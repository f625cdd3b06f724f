# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of this collection that stand where Calico's entry programs call a log filter.

Before the call the entry program puts the slots of its main program into the packet's cb: without
logging into the first word, with logging into the second. A log filter tail-calls one of them; an
entry program whose call fails goes on in the same order and drops the packet in the end
(programs 2.4, 2.5).
"""

from __future__ import annotations

import re

CB_WORDS = (0, 1)
"""The words of cb with the slot of the main program, in the order of the entry program."""

DROP = 2
"""TC_ACT_SHOT, the entry program's own verdict when there is no main program."""

_PREFIX = "bpfops_pass"
_NAME = re.compile(_PREFIX + r"(\d{1,4})", re.ASCII)
SLOTS = 10000
"""Log filters stand in the first slots of a jump map (programs 2.3)."""


def name_of(slot: int) -> str:
    """The kernel name, at most 15 bytes, which says in which slot the program stands."""
    return f"{_PREFIX}{slot}"


def slot_of(name: str) -> int | None:
    """The slot of a program by its name; None for any other program."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None
