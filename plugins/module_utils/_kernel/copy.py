# SPDX-License-Identifier: GPL-3.0-or-later
"""The first copy of a map: every entry, streamed, into a map that nothing else writes yet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from .._uapi.bpf import BUCKETED_TYPES
from .readers import (
    DEFAULT_BATCH,
    BatchReader,
    Reader,
    Side,
    chunks,
    has_batch,
    new_chunk,
    open_reader,
)
from .writers import ChunkWriter


def copy_entries(
    old: Side,
    new: Side,
    batch_size: int = DEFAULT_BATCH,
    threads: int = 1,
    clear_word: bool = False,
) -> int:
    """Write every entry of ``old`` into ``new``; the number written.

    With ``clear_word`` the first 8 bytes of every value become 0.

    Memory is one chunk of ``batch_size`` entries a thread, however large the map. More than one
    thread splits the buckets of a hash map and has no effect on other types. Entries that change
    meanwhile need a delta pass afterwards. Raises SyscallError, with E2BIG when ``new`` is full.
    """
    if threads == 1 or old.spec.type not in BUCKETED_TYPES or not has_batch(old.map, old.spec):
        return _pump(open_reader(old.map, old.spec, batch_size), new, clear_word)
    readers = [
        BatchReader(old.map, new_chunk(old.spec, batch_size), start, stop)
        for start, stop in bucket_ranges(old.spec.max_entries, threads)
    ]
    # ctypes gives the interpreter lock back during a call, so the copies overlap in the kernel.
    with ThreadPoolExecutor(threads) as pool:
        copies = [pool.submit(_pump, reader, new, clear_word) for reader in readers]
    return sum(copy.result() for copy in copies)


def bucket_ranges(max_entries: int, parts: int) -> list[tuple[int, int | None]]:
    """Start and stop buckets of ``parts`` equal shares; the last one runs to the end.

    A hash map has as many buckets as max_entries rounded up to a power of two
    (kernel/bpf/hashtab.c), and the cursor of a batch call is a bucket number. Should a kernel
    number them otherwise, a share would miss entries and the delta pass would find them.
    """
    buckets = 1 << (max_entries - 1).bit_length()
    cuts = [buckets * part // parts for part in range(parts)]
    stops: list[int | None] = [*cuts[1:], None]
    return list(zip(cuts, stops))


def _pump(reader: Reader, new: Side, clear_word: bool) -> int:
    writer, written = ChunkWriter(new.map), 0
    for chunk in chunks(reader, new.spec):
        if clear_word:
            chunk.clear_words()
        writer.write(chunk)
        written += chunk.count
    return written
