# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the steps of a removal: each looks once more before it touches anything."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Callable, Iterable

from .._errors import SyscallError
from .._kernel import interfaces, proc, sysctl, tc, xdp
from .._kernel.attachments import detach_cgroup
from .._kernel.links import Link
from .._kernel.maps import Map
from .._kernel.objects import BpfObject, open_pin
from .._kernel.programs import Program
from .._plan.removal import (
    CgroupAt,
    ClsactAt,
    DeviceAt,
    DirectoryAt,
    FileAt,
    FilterAt,
    LinkAt,
    PinAt,
    SettingAt,
    Step,
    Target,
    XdpAt,
)

_PARENTS = {"ingress": tc.INGRESS, "egress": tc.EGRESS}
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})
_IN_USE = frozenset({errno.EBUSY, errno.ENOTEMPTY})
_OBJECTS: dict[str, type[Any]] = {"map": Map, "program": Program, "link": Link}


def carry_out(
    steps: Iterable[Step], before: Callable[[Step], None] = lambda step: None
) -> tuple[str, ...]:
    """Do the steps in their order; sentences on those that could not be done as planned.

    ``before`` is called before each step and may raise to stop. Raises SyscallError,
    MissingLibraryError.
    """
    notes = []
    for step in steps:
        before(step)
        if not _attempt(step.target):
            notes.append(f"{step.object} was gone or in use, or something else was in its place.")
    return tuple(notes)


def _attempt(target: Target) -> bool:
    """Whether the object was there as planned, and was removed."""
    try:
        return _DO[type(target)](target)
    except (SyscallError, OSError) as error:
        if error.errno in _GONE | _IN_USE:
            return False
        raise


def _same(found: tc.Filter, wanted: FilterAt) -> bool:
    return (found.parent, found.prio, found.handle, found.name, found.prog_id) == (
        _PARENTS[wanted.hook],
        wanted.preference,
        wanted.handle,
        wanted.name,
        wanted.prog_id,
    )


def _filter(wanted: FilterAt) -> bool:
    for found in interfaces.held(wanted.ifindex)[0]:
        if _same(found, wanted):
            tc.delete_filter(wanted.ifindex, found)
            return True
    return False


def _clsact(wanted: ClsactAt) -> bool:
    """The qdisc goes in one call, so that an interrupted run never leaves it without evidence."""
    found, others = interfaces.held(wanted.ifindex)
    if not found:
        return False
    known = all(any(_same(one, filter_at) for filter_at in wanted.filters) for one in found)
    if others or not known:
        done = [_attempt(one) for one in wanted.filters]
        return all(done)
    tc.delete_clsact(wanted.ifindex)
    return True


def _link(wanted: LinkAt) -> bool:
    """The pins go first: if this process ends now, the link ends with it and none is severed."""
    with Link.from_id(wanted.link_id) as link:
        if link.info().prog_id != wanted.prog_id:
            return False
        for pin in wanted.pins:
            _attempt(PinAt(pin, "link", wanted.link_id))
        try:
            link.detach()
        except SyscallError as error:
            if error.errno != errno.EINVAL:  # before 5.9; it ends with its last descriptor
                raise
    return True


def _xdp(wanted: XdpAt) -> bool:
    mode = xdp.MODE_NAMES.get(wanted.mode)
    if mode is None:
        return False
    with Program.from_id(wanted.prog_id) as program:
        try:
            xdp.detach_only(wanted.ifindex, mode, program.fd)
        except SyscallError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
    return True


def _cgroup(wanted: CgroupAt) -> bool:
    with Program.from_id(wanted.prog_id) as program:
        if program.info().name != wanted.name:
            return False
    return detach_cgroup(wanted.cgroup, wanted.attach_type, wanted.prog_id)


def _unpin(wanted: PinAt) -> bool:
    with BpfObject(open_pin(wanted.path)) as opened:
        kind = proc.object_kind(opened.fd)
    if kind != wanted.kind or _id_at(wanted) != wanted.object_id:
        return False
    Path(wanted.path).unlink()
    return True


def _id_at(wanted: PinAt) -> int:
    with _OBJECTS[wanted.kind](open_pin(wanted.path)) as opened:
        return int(opened.info().id)


def _directory(wanted: DirectoryAt) -> bool:
    Path(wanted.path).rmdir()
    return True


def _file(wanted: FileAt) -> bool:
    Path(wanted.path).unlink()
    return True


def _device(wanted: DeviceAt) -> bool:
    """Both ends are looked at again: a name alone says nothing."""
    by_name = {one.name: one for one in interfaces.devices()}
    device, peer = by_name.get(wanted.name), by_name.get(wanted.peer)
    if device is None or peer is None or device.kind != "veth":
        return False
    if (device.peer, peer.peer) != (peer.ifindex, device.ifindex):
        return False
    interfaces.delete(device.ifindex)
    return True


def _setting(wanted: SettingAt) -> bool:
    if sysctl.read(wanted.name) is None:
        return False
    sysctl.write(wanted.name, wanted.value)
    return True


_DO: dict[type[Any], Callable[[Any], bool]] = {
    FilterAt: _filter,
    ClsactAt: _clsact,
    LinkAt: _link,
    XdpAt: _xdp,
    CgroupAt: _cgroup,
    PinAt: _unpin,
    DirectoryAt: _directory,
    FileAt: _file,
    DeviceAt: _device,
    SettingAt: _setting,
}
