# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Calico release runs on a node, from what its kernel shows.

Attached programs count most, for pins of other releases stay behind: felix removes none of an
older map version. So a pin of an older release says nothing, and one of a newer is a
contradiction.
"""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple

from .._uapi.maps import MapSpec, describe
from .maps import rows_fitting, rows_named
from .places import PIN_DIRECTORIES, is_interface_directory
from .preamble import layouts_of_size
from .releases import known_releases
from .rows import since
from .versions import VersionSet, union


class Rodata(NamedTuple):
    """The constants of attached entry programs: ``program`` is tc or xdp, sizes in bytes."""

    program: str
    value_size: int
    places: tuple[str, ...] = ()


class Sightings(NamedTuple):
    """What was seen on a node.

    ``used_maps`` are referred to by attached programs, ``pinned_maps`` are those below
    tc/globals (with the pin's name), ``pins`` are all other pins and directories, relative to
    the bpffs.
    """

    rodata: tuple[Rodata, ...] = ()
    used_maps: tuple[MapSpec, ...] = ()
    pinned_maps: tuple[MapSpec, ...] = ()
    pins: tuple[str, ...] = ()


class Detection(NamedTuple):
    """``shown``: the releases that the kernel's state fits; all known ones without evidence.

    ``releases`` is that, narrowed to the stated release where they agree.
    """

    shown: VersionSet
    releases: VersionSet
    evidence: tuple[str, ...]
    contradictions: tuple[str, ...]


class Clue(NamedTuple):
    """A fact that fits some releases; ``may_be_old`` marks what stays behind on upgrades."""

    releases: VersionSet
    sentence: str
    may_be_old: bool


class MarkMap(NamedTuple):
    """A map of attached programs that is no data of felix and tells a release by its name."""

    name: str
    releases: VersionSet
    source: str


MARK_MAPS: tuple[MarkMap, ...] = (
    MarkMap(
        ".rodata.prog_fl",
        since(">=3.31.7,<3.32 | >=3.32.2"),
        "programs 0, 2.1; #13142 (in the 3.32 branch after 3.32.1)",
    ),
)


def detect(seen: Sightings, stated: VersionSet | None = None) -> Detection:
    """The narrowest range of releases that fits, the evidence, and what contradicts it.

    ``stated`` is the release that the operator named.
    """
    shown, evidence, contradictions = known_releases(), [], list(_unknown(seen))
    for clue in _clues(seen):
        narrowed = shown.intersection(clue.releases)
        if not narrowed.spans:
            if not (clue.may_be_old and _is_older(clue.releases, shown)):
                contradictions.append(f"{clue.sentence}, which does not fit {shown}")
        elif narrowed != shown:
            shown = narrowed
            evidence.append(clue.sentence)
    releases = shown
    if stated is not None:
        releases = shown.intersection(stated)
        if not releases.spans:
            releases = shown
            contradictions.append(f"calico_version is {stated}, but the kernel shows {shown}")
    return Detection(shown, releases, tuple(evidence), tuple(contradictions))


def _clues(seen: Sightings) -> Iterator[Clue]:
    """The strongest first: constants, maps in use, pinned maps, other pins; each newest first."""
    yield from _newest_first(_rodata_clues(seen.rodata))
    yield from _newest_first(_map_clues(seen.used_maps, "Attached programs use", False))
    yield from _newest_first(
        [*_map_clues(seen.pinned_maps, "There is a pin of", True), *_pin_clues(seen.pins)]
    )


def _newest_first(clues: Iterable[Clue]) -> list[Clue]:
    return sorted(clues, key=lambda clue: clue.releases.spans[0].low, reverse=True)


def _is_older(releases: VersionSet, than: VersionSet) -> bool:
    return releases.spans[0].low < than.spans[0].low


def _rodata_clues(rodata: Iterable[Rodata]) -> Iterator[Clue]:
    for one in rodata:
        rows = layouts_of_size(one.program, one.value_size)
        if rows:
            releases = union(span for row in rows for span in row.releases.spans)
            yield Clue(releases, f"{_constants(one)}, as in {releases}", False)


def _constants(one: Rodata) -> str:
    where = f" on {', '.join(one.places)}" if one.places else ""
    return f"The {one.program} entry programs{where} have constants of {one.value_size} B"


def _map_clues(specs: Iterable[MapSpec], verb: str, may_be_old: bool) -> Iterator[Clue]:
    for spec in specs:
        spans = [span for row in rows_fitting(spec) for span in row.releases.spans]
        spans += [span for row in MARK_MAPS if row.name == spec.name for span in row.releases.spans]
        if spans:
            releases = union(spans)
            size = f"{spec.name} ({spec.value_size} B, {spec.max_entries} entries)"
            yield Clue(releases, f"{verb} {size}, as in {releases}", may_be_old)


def _pin_clues(pins: Iterable[str]) -> Iterator[Clue]:
    for row in PIN_DIRECTORIES:
        found = next((pin for pin in pins if _is_in(pin, row.path)), None)
        if found is not None:
            yield Clue(row.releases, f"There is {found}, as in {row.releases}", True)


def _is_in(pin: str, directory: str) -> bool:
    stem, variable, suffix = directory.partition("<interface>")
    if variable:
        place = "/".join(pin.split("/")[:2])
        return place.startswith(stem) and place.endswith(suffix) and is_interface_directory(place)
    return pin == directory or pin.startswith(directory + "/")


def _unknown(seen: Sightings) -> Iterator[str]:
    """What has a known name but a layout of no known release."""
    for one in seen.rodata:
        if not layouts_of_size(one.program, one.value_size):
            yield f"{_constants(one)}, as in no known release"
    for spec in dict.fromkeys((*seen.used_maps, *seen.pinned_maps)):
        if rows_named(spec.name) and not rows_fitting(spec):
            yield f"{spec.name} is a {describe(spec)}, as in no known release"
