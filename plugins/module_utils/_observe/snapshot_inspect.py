# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a snapshot, without a look at the node's maps."""

from __future__ import annotations

from typing import Any

from .._calico.codecs.conntrack_layout import conntrack_layout
from .._calico.conntrack_expiry import expiry_of
from .._calico.conntrack_tally import (
    Tally,
    by_protocol,
    by_tcp_state,
    by_type,
    counted,
    histogram,
)
from .._calico.releases import known_releases
from .._kernel import proc
from .._plan.snapshot_facts import snapshot_facts
from .._plan.snapshot_restore import saved_release
from .._plan.snapshot_task import SnapshotTask
from .._snapshot.stream import SnapshotReader
from .conntrack import buckets
from .conntrack_pins import family_of
from .snapshot_file import here, opened


def inspect_snapshot(task: SnapshotTask) -> dict[str, Any]:
    """The header, and the totals of each table of the task's families at the time of saving.

    Raises BadInputError for a file that is no sound snapshot, LayoutError.
    """
    with opened(task.path) as found:
        tallies = _tallies(task, found.reader)
        return {
            "snapshot": snapshot_facts(found.sound, here()),
            "totals": [
                _totals(found.reader.header.tables[number].name, tally)
                for number, tally in tallies.items()
            ],
        }


def _tallies(task: SnapshotTask, reader: SnapshotReader) -> dict[int, Tally]:
    header = reader.header
    release = task.release or saved_release(header) or known_releases()
    expiry = expiry_of(release, task.timeouts, proc.netfilter_seconds)
    tallies = {
        number: Tally(
            conntrack_layout(table.key_size, table.value_size),
            expiry.rules,
            expiry.timeouts,
            header.origin.monotonic,
        )
        for number, table in enumerate(header.tables)
        if family_of(table.name) in task.families
    }
    for block in reader.blocks():
        if block.table in tallies:
            tallies[block.table].add(block.keys, block.values, block.entries)
    return tallies


def _totals(name: str, tally: Tally) -> dict[str, Any]:
    groups = list(counted(tally))
    return {
        "name": name,
        "by_protocol": by_protocol(groups),
        "by_type": by_type(groups),
        "by_tcp_state": by_tcp_state(groups),
        "idle": buckets(histogram((group.group.age, group.entries) for group in groups)),
    }
