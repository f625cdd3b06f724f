# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts pass-through programs into slots and takes them out, and resets felix's indices."""

from __future__ import annotations

import errno
import struct
from functools import partial
from typing import Callable, Iterator

from .._calico.codecs.ifstate import NONE, decode_ifstate, encode_ifindex, encode_ifstate
from .._calico.pass_through import CB_WORDS, DROP, name_of
from .._errors import SyscallError
from .._kernel.maps import Map
from .._kernel.tail_call import load_for, passing_on
from .._observe.log_filter import held_in
from .._plan.log_filter import Clear, Pass, Plan, Reset, Slot
from .._uapi.bpf import AttachType, UpdateFlag

_TYPES = {
    ("tcx", "ingress"): AttachType.TCX_INGRESS,
    ("tcx", "egress"): AttachType.TCX_EGRESS,
    ("netkit", "ingress"): AttachType.NETKIT_PEER,
    ("netkit", "egress"): AttachType.NETKIT_PRIMARY,
}


def carry_out(plan: Plan) -> tuple[str, ...]:
    """Silence first, then the entries, then what is no longer needed.

    Sentences on what was gone, or had changed, by then. Raises SyscallError.
    """
    notes: list[str] = []
    for silent in plan.passes:
        _attempt(notes, str(silent.call.slot), partial(_pass, silent))
    for reset in plan.resets:
        what = f"the entry of {reset.before.interface}"
        _attempt(notes, what, partial(_reset, reset))
    for clear in plan.clears:
        _attempt(notes, str(clear.own.slot), partial(_clear, clear))
    return tuple(dict.fromkeys(notes))


def _attempt(notes: list[str], what: str, step: Callable[[], bool]) -> None:
    try:
        if not step():
            notes.append(f"{what} was changed by something else meanwhile and was left alone.")
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
        notes.append(f"{what} was gone by then.")


def _pass(step: Pass) -> bool:
    """Whether the slot was still empty and is filled now."""
    call = step.call
    first = _TYPES.get((call.kind, call.hook), 0)
    types = dict.fromkeys((int(first), 0, *map(int, _TYPES.values())))
    name = name_of(call.slot.number)
    with Map.from_id(call.slot.map_id) as jump, Map.from_id(call.programs) as programs:
        code = passing_on(programs, CB_WORDS, DROP)
        with load_for(programs, code, name, tuple(types)) as program:
            if held_in(call.slot) is not None:
                return False
            jump.update(struct.pack("<I", call.slot.number), struct.pack("<I", program.fd))
    return True


def _reset(step: Reset) -> bool:
    """Whether the entry was still that interface's; only its two filter fields change."""
    key = encode_ifindex(step.ifindex)
    with Map.from_id(step.map_id) as opened:
        size = opened.info().spec.value_size
        raw = opened.lookup(key, size)
        found = decode_ifstate(raw) if raw else None
        if found is None or found.name != step.before.interface:
            return False
        reset = found._replace(filter_ingress=NONE, filter_egress=NONE)
        opened.update(key, encode_ifstate(reset, size), UpdateFlag.EXIST)
    return True


def _clear(step: Clear) -> bool:
    """Whether the program was still in its slot."""
    if held_in(step.own.slot) != step.own.prog_id:
        return False
    with Map.from_id(step.own.slot.map_id) as jump:
        jump.delete(struct.pack("<I", step.own.slot.number))
    return True


def unfinished(plan: Plan) -> Iterator[str]:
    """What is not as planned, read again."""
    for silent in plan.passes:
        if _held(silent.call.slot) is None:
            yield f"{silent.call.slot} is empty"
    for reset in plan.resets:
        if not _is_reset(reset):
            yield f"the entry of {reset.before.interface} in {reset.path} has a log filter"
    for clear in plan.clears:
        if _held(clear.own.slot) == clear.own.prog_id:
            yield f"{clear.own.slot} holds program {clear.own.prog_id}"


def _held(slot: Slot) -> int | None:
    """The program in a slot; None too where the array is gone."""
    try:
        return held_in(slot)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
        return None


def _is_reset(step: Reset) -> bool:
    try:
        with Map.from_id(step.map_id) as opened:
            raw = opened.lookup(encode_ifindex(step.ifindex), opened.info().spec.value_size)
    except SyscallError as error:
        return error.errno == errno.ENOENT
    found = decode_ifstate(raw) if raw else None
    if found is None or found.name != step.before.interface:
        return True  # the interface is gone
    return (found.filter_ingress, found.filter_egress) == (NONE, NONE)
