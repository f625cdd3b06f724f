# SPDX-License-Identifier: GPL-3.0-or-later
"""Classifier programs that do nothing but call on through a program array."""

from __future__ import annotations

import errno
from typing import Sequence

from .._errors import SyscallError
from .._uapi.bpf import ProgType
from .assembler import Assembler, Helper, Reg, Size
from .maps import Map
from .programs import Program, ProgSpec

SKB_CB = 48
"""Offset of cb[0], the first of five words, in struct __sk_buff (include/uapi/linux/bpf.h)."""


def passing_on(array: Map, words: Sequence[int], verdict: int) -> bytes:
    """Code that calls the program of ``array`` whose index is in the packet's ``cb``.

    The ``words`` of cb are tried in their order; where no call succeeds the result is ``verdict``.
    """
    code = Assembler()
    code.move(Reg.R6, Reg.R1)
    for word in words:
        code.move(Reg.R1, Reg.R6)
        code.map_pointer(Reg.R2, array.fd)
        code.load(Size.W, Reg.R3, Reg.R6, SKB_CB + 4 * word)
        code.call(Helper.TAIL_CALL)
    code.move(Reg.R0, verdict)
    code.leave()
    return code.assemble()


def load_for(array: Map, code: bytes, name: str, attach_types: Sequence[int]) -> Program:
    """Load a classifier that calls into ``array``, with the first attach type that it takes.

    From 6.12 on a program array takes programs of one expected attach type, which the kernel
    tells nobody. Raises SyscallError.
    """
    for number, attach_type in enumerate(attach_types):
        try:
            return Program.load(ProgSpec(ProgType.SCHED_CLS, code, name, attach_type))
        except SyscallError as error:
            if error.errno != errno.EINVAL or number == len(attach_types) - 1:
                raise
    raise ValueError("no attach type was given")
