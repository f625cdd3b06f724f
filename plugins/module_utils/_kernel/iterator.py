# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over two maps that run in the kernel, as a BPF iterator over one of them.

Needs the iterator target bpf_map_elem (kernel 5.9), BTF of the kernel, and CAP_BPF with
CAP_PERFMON, or CAP_SYS_ADMIN. The kernel walks the map in chunks and returns to user space
between them.

The walk takes no bucket lock, unlike a read by batch. So a pass can miss an entry of the map that
it walks when bpf_map_update_elem replaces the entry (which puts it in front of its bucket) while
the program is at another entry of the same bucket, or when such another entry is deleted between
two chunks; it can also see an entry twice. Writing through a pointer from a look-up, as data
planes do for each packet, is no danger. What one pass misses the next one finds; a pass that must
be complete by itself is one after the writers are gone, or one from user space.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from contextlib import ExitStack
from types import TracebackType
from typing import Callable, Iterator, NamedTuple

from .._errors import SyscallError
from .._uapi.bpf import ARRAY_TYPES, LRU_TYPES, AttachType, Cmd, MapType, ProgType
from .attr import Attr
from .btf import VMLINUX, function_id, may_have_special_fields
from .links import Link
from .maps import Map
from .pass_programs import (
    ABSENT,
    MAX_ENTRY_BYTES,
    NAME,
    Counts,
    Work,
    carry_code,
    memory_spec,
    missing_code,
    read_counts,
)
from .programs import Program, ProgSpec
from .readers import Side
from .rules import Rule
from .syscall import bpf

DEFAULT_STEP = 1024
"""Entries between two returns to user space: they hold the CPU for about 1 ms at most."""

_TYPES = frozenset({MapType.HASH, MapType.LRU_HASH, MapType.ARRAY})
_FUNCTION = "bpf_iter_bpf_map_elem"
_OUTPUT_BYTES = 2048  # of one read, half of the smallest buffer that a kernel has for it
_MOST_RECORDS = 64
_MOST_STEP = 1 << 19  # the kernel gives up a read (EAGAIN) after 2**20 entries without output


class Missing(NamedTuple):
    """Entries seen, and the keys among them that the other map does not have."""

    seen: int
    keys: list[bytes]


def carry(
    source: Side,
    target: Side,
    rule: Rule,
    step: int = DEFAULT_STEP,
    btf_path: str = VMLINUX,
) -> Counts | None:
    """Bring ``target`` up to ``source`` by ``rule``, with exact counts; None when it cannot.

    It cannot when the kernel has no BTF or refuses the program, for other types than hash, LRU
    hash and array, for maps of different layout, entries over MAX_ENTRY_BYTES, values with locks
    or timers, and a target that this process must not write; then nothing has changed.

    An entry that something else inserts or deletes between look-up and write is left to it. An
    entry that the kernel refuses (E2BIG: ``target`` is full) is counted and the pass goes on.
    The source's LRU order stays as it is; entries looked up in an LRU target count as used.
    Raises SyscallError when the walk itself fails.
    """
    if not _alike(source, target) or not (rule.dry_run or _writable(target.map)):
        return None
    limit = None
    if target.spec.type in ARRAY_TYPES:
        limit = min(source.spec.max_entries, target.spec.max_entries)
    pace = _Pace(_power_of_two(step), 1, limit)
    counts = _run(
        source, target, pace, lambda work: carry_code(work, rule), lambda output: None, btf_path
    )
    if counts is None or limit is None:
        return counts
    return counts._replace(seen=min(counts.seen, limit))


def missing_keys(
    source: Side, target: Side, step: int = DEFAULT_STEP, btf_path: str = VMLINUX
) -> Missing | None:
    """The keys of ``target`` that ``source`` does not have; None as for ``carry``.

    Also None for arrays, which miss nothing, and for an LRU ``source``, where each look-up by a
    program counts as use and so changes what is evicted. They come as a list, as a deletion
    during the walk could make it pass over others. Raises SyscallError when the walk fails.
    """
    if not _alike(source, target) or source.spec.type in LRU_TYPES | ARRAY_TYPES:
        return None
    record = target.spec.key_size + 1
    records = max(1, min(step, _MOST_RECORDS, _OUTPUT_BYTES // record))
    pace = _Pace(_power_of_two(step // records), records * record)
    keys: list[bytes] = []
    counts = _run(
        target,
        source,
        pace,
        missing_code,
        lambda output: keys.extend(_absent(output, record)),
        btf_path,
    )
    return None if counts is None else Missing(counts.seen, keys)


class _Pace(NamedTuple):
    """Entries to a tick, bytes to read at a time, and the number of an array's indexes."""

    tick: int
    size: int
    limit: int | None = None


def _run(
    walked: Side,
    other: Side,
    pace: _Pace,
    compose: Callable[[Work], bytes],
    consume: Callable[[bytes], None],
    btf_path: str,
) -> Counts | None:
    """Walk a map with a program that looks into another; None when it cannot be started."""
    function = function_id(_FUNCTION, btf_path)
    if function is None:
        return None
    with ExitStack() as stack:
        try:
            memory = stack.enter_context(Map.create(memory_spec(walked.spec)))
            work = Work(walked.spec, other.map.fd, memory.fd, pace.tick, pace.limit)
            walk = stack.enter_context(Walk.start(walked.map, compose(work), function))
        except SyscallError:
            return None
        for output in walk.read(pace.size):
            consume(output)
        return read_counts(memory.lookup(bytes(4), memory_spec(walked.spec).value_size) or b"")


def _absent(output: bytes, record: int) -> Iterator[bytes]:
    for place in range(0, len(output), record):
        if output[place + record - 1] == ABSENT:
            yield output[place : place + record - 1]


def _power_of_two(number: int) -> int:
    return 1 << max(1, min(number, _MOST_STEP)).bit_length() - 1


def _alike(source: Side, target: Side) -> bool:
    specs = (source.spec, target.spec)
    layouts = {(spec.key_size, spec.value_size, spec.type in ARRAY_TYPES) for spec in specs}
    return (
        all(spec.type in _TYPES for spec in specs)
        and len(layouts) == 1
        and source.spec.key_size + source.spec.value_size <= MAX_ENTRY_BYTES
        and _access(source.map) != os.O_WRONLY
        and _access(target.map) != os.O_WRONLY
        and not any(spec.btf_id and may_have_special_fields(spec.btf_id) for spec in specs)
    )


def _access(opened: Map) -> int:
    return fcntl.fcntl(opened.fd, fcntl.F_GETFL) & os.O_ACCMODE


def _writable(opened: Map) -> bool:
    # A program could write what the descriptor or a freeze denies to user space.
    return _access(opened) == os.O_RDWR and not opened.frozen()


class Walk:
    """A program that runs over the entries of a map, by an iterator that ends with the block."""

    def __init__(self, link: Link, fd: int) -> None:
        self._link = link
        self._fd = fd

    @classmethod
    def start(cls, over: Map, code: bytes, function: int) -> Walk:
        """Load and attach a program; ``function`` is the type id of its target's function.

        Raises SyscallError when the kernel refuses it.
        """
        spec = ProgSpec(ProgType.TRACING, code, NAME, AttachType.TRACE_ITER, function)
        with Program.load(spec) as program:
            link = _attach(program, over)
        attr = Attr()
        attr.iter_create.link_fd = link.fd
        try:
            return cls(link, bpf(Cmd.ITER_CREATE, attr))
        except SyscallError:
            link.close()
            raise

    def __enter__(self) -> Walk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        self._link.close()

    def read(self, size: int) -> Iterator[bytes]:
        """Let the program run until it has written ``size`` bytes, again and again to the end.

        Raises SyscallError.
        """
        while True:
            try:
                output = os.read(self._fd, size)
            except BlockingIOError:  # very many entries without output
                continue
            except OSError as error:
                number = error.errno or 0
                raise SyscallError("read", number, os.strerror(number), "a map iterator") from error
            if not output:
                return
            yield output


def _attach(program: Program, over: Map) -> Link:
    attr, which = Attr(), ctypes.c_uint32(over.fd)
    attr.link_create.prog_fd = program.fd
    attr.link_create.attach_type = AttachType.TRACE_ITER
    attr.link_create.iter_info = ctypes.addressof(which)
    attr.link_create.iter_info_len = ctypes.sizeof(which)
    return Link(bpf(Cmd.LINK_CREATE, attr))
