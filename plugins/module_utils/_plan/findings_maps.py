# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about pinned maps."""

from __future__ import annotations

from typing import Iterator

from .._calico.defects import defect
from .._calico.evidence import Verdict
from .._calico.maps import maps_of, rows_fitting, rows_named
from .._calico.places import OLD_SUFFIX, is_cleaned
from .._calico.tables.map_row import CalicoMap
from .._uapi.maps import describe
from .findings_input import Finding, Node, PinnedMap
from .findings_release import is_old, own_maps, pin_name, superseded

FULL = 0.9
"""Share of max_entries from which a map counts as nearly full; felix of 3.31 doubles from here."""

_CHECKED_SIZES = ("conntrack", "nat_frontend", "nat_backend", "nat_affinity")
"""Maps that the entry programs of the releases with CT_SIZE refer to (maps 5.5)."""

_FULL_CODES = {"conntrack": "CT_FULL", "ifstate": "IFSTATE_FULL"}


def role_of(one: PinnedMap) -> str:
    """What the map is for by its pin's name, a resize's suffix left off; empty: not known."""
    name = pin_name(one)
    base = name[: -len(OLD_SUFFIX)] if is_old(one) else name
    rows = rows_named(base)
    return rows[0].role if rows else ""


def old_pins(node: Node) -> Iterator[Finding]:
    """Conntrack maps that felix would put back in place of the live ones."""
    for one in own_maps(node):
        if is_old(one) and role_of(one) == "conntrack" and one.owner.verdict is Verdict.CALICO:
            yield Finding("CT_OLD_PIN", one.path, (_sentence(one),))


def _sentence(one: PinnedMap) -> str:
    held = "" if one.entries is None else f", with {one.entries} entries in it"
    return f"{pin_name(one)} is pinned, a {describe(one.spec)}{held}."


def superseded_maps(node: Node) -> Iterator[Finding]:
    """Maps of other releases; conntrack maps are the ones that do harm."""
    for one in superseded(node):
        reason = f"The node runs Calico {node.release.releases}."
        yield Finding(_superseded_code(node, one), one.path, (_sentence(one), reason))


def _superseded_code(node: Node, one: PinnedMap) -> str:
    if role_of(one) != "conntrack":
        return "MAP_SUPERSEDED"
    return "CT_NEWER" if is_newer(node, one) else "CT_SUPERSEDED"


def is_newer(node: Node, one: PinnedMap) -> bool:
    """Whether only releases after the node's make it."""
    first = min(row.releases.spans[0].low for row in rows_named(pin_name(one)))
    return first >= node.release.releases.spans[-1].high


def layouts(node: Node) -> Iterator[Finding]:
    """Maps with a name of Calico's and parameters of no release."""
    current = {row.name for row in maps_of(node.release.releases)}
    for one in own_maps(node):
        name = pin_name(one)
        if is_old(one) or rows_fitting(one.spec._replace(name=name)):
            continue
        if name in current:
            yield Finding("CT_LAYOUT", one.path, (_sentence(one),))
        elif is_cleaned(name):
            yield Finding("MAP_UNKNOWN", one.path, (_sentence(one),))


def sizes(node: Node) -> Iterator[Finding]:
    """Sizes that the programs of this very release cannot be loaded against."""
    if not defect("CT_SIZE").affected.covers(node.release.releases):
        return
    defaults = {row.name: row for row in maps_of(node.release.releases)}
    for one in own_maps(node):
        row = defaults.get(pin_name(one))
        if row and row.role in _CHECKED_SIZES and one.spec.max_entries != row.max_entries:
            yield Finding("CT_SIZE", one.path, (_size_sentence(one, row),))


def _size_sentence(one: PinnedMap, row: CalicoMap) -> str:
    return (
        f"{pin_name(one)} has {one.spec.max_entries} entries, its programs are compiled for "
        f"{row.max_entries}."
    )


def auto_scale(node: Node) -> Iterator[Finding]:
    """The file that outweighs the configuration without a word."""
    if node.auto_size is None or not _reads_file(node):
        return
    asked = node.conntrack_size
    behind = [one for one in _conntrack(node) if one.spec.max_entries < node.auto_size]
    if asked is not None and node.auto_size > asked:
        sentence = f"The file says {node.auto_size}, the configuration {asked}."
    elif asked is None and behind:
        sizes_now = ", ".join(f"{pin_name(one)} has {one.spec.max_entries}" for one in behind)
        sentence = f"The file says {node.auto_size}, but {sizes_now}."
    else:
        return
    yield Finding("CT_AUTOSCALE_FILE", node.auto_size_path, (sentence,))


def _reads_file(node: Node) -> bool:
    return defect("CT_AUTOSCALE_FILE").affected.overlaps(node.release.releases)


def _conntrack(node: Node) -> list[PinnedMap]:
    stale = superseded(node)
    return [
        one
        for one in own_maps(node)
        if role_of(one) == "conntrack" and not is_old(one) and one not in stale
    ]


def resizes(node: Node) -> tuple[str, ...]:
    """What felix will do at its next start to maps whose size is not the configured one."""
    if node.conntrack_size is None:
        return ()
    asked = node.conntrack_size
    if node.auto_size is not None and _reads_file(node):
        asked = max(asked, node.auto_size)
    return tuple(
        f"{one.path} has {one.spec.max_entries} entries and felix asks for {asked}; it resizes "
        "the map at its next start."
        for one in _conntrack(node)
        if one.spec.max_entries != asked
    )


def fullness(node: Node) -> Iterator[Finding]:
    """Maps that cannot take much more."""
    for one in own_maps(node):
        code = _FULL_CODES.get(role_of(one))
        if code and not is_old(one) and (one.entries or 0) >= FULL * one.spec.max_entries:
            share = 100 * (one.entries or 0) / one.spec.max_entries
            evidence = f"{one.entries} of {one.spec.max_entries} entries are used, {share:.0f} %."
            yield Finding(code, one.path, (evidence,))


MAP_RULES = (old_pins, superseded_maps, layouts, sizes, auto_scale, fullness)
