# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates about releases, the ways between them, and kernels: one function for each rule."""

from __future__ import annotations

from typing import Any, Mapping

from .._calico.defects import defect
from .._calico.gates import paths_of
from .._calico.kernels import bad_pairs, distribution_named, floors_of, parse_kernel
from .._calico.releases import known_releases
from .._calico.tables.gate_row import Gate
from .._calico.tables.kernel_rows import KernelFloor, KernelVersion
from .._calico.versions import Span, VersionSet
from .gates_input import (
    CLOSED,
    NAME_IT,
    NOTE,
    PASS,
    Answer,
    Asked,
    Rule,
    affected,
    conntrack_maps,
    found,
    shown,
    suspicion,
)


def told_release(asking: Asked, gate: Gate) -> Answer:
    """What the operator says of the release, and all that the kernel shows, fit together.

    Where only leftovers are removed, those of several releases are no reason against it.
    """
    seen, said = asking.facts["release"], asking.operation.release
    evidence = shown(found(asking.facts, gate.code))
    if said and not said.overlaps(asking.running_seen):
        evidence = (*evidence, f"calico_version is {said}, but the kernel shows {seen}.")
    outcome = NOTE if asking.goes_off and not asking.operation.restart else CLOSED
    return Answer(outcome, evidence=evidence) if evidence else PASS


def not_downwards(asking: Asked, gate: Gate) -> Answer:
    """Older than all that may run; older than some of them is a note."""
    target = asking.loading.spans[0].low
    newer = asking.running.intersection(VersionSet((Span(asking.loading.spans[-1].high, _END),)))
    if not newer.spans or asking.running == known_releases():
        return PASS
    evidence = [f"The release is {asking.running}, wanted is {target}."]
    if newer != asking.running:
        return Answer(NOTE, f"{target} may be older than the running release.", tuple(evidence))
    evidence += [f"{one.path} is pinned." for one in conntrack_maps(asking.facts) if not one.old]
    return Answer(CLOSED, evidence=tuple(evidence))


_END = known_releases().spans[-1].high


def path_is_good(asking: Asked, gate: Gate) -> Answer:
    """The ways that are known to break; none when the release does not change."""
    if asking.running == asking.loading:
        return PASS
    ways = paths_of(gate.code, asking.running, asking.loading)
    if not ways:
        return PASS
    bad = asking.running.intersection(ways[0].running)
    for way in ways[1:]:
        bad = VersionSet((*bad.spans, *asking.running.intersection(way.running).spans))
    says = f"{asking.loading} is not safe to go to from {bad}: {defect(gate.code).title}"
    remedy = "" if bad == asking.running else f"{defect(gate.code).advice} {NAME_IT}"
    return Answer(CLOSED, says, (f"The release is {asking.running}.",), remedy)


def path_is_noted(asking: Asked, gate: Gate) -> Answer:
    """What the way does to connections, which the role upgrade takes care of."""
    if asking.running == asking.loading:
        return PASS
    if not paths_of(gate.code, asking.running, asking.loading):
        return PASS
    return Answer(NOTE, evidence=(f"From {asking.running} to {asking.loading}.",))


def release_is_spared(asking: Asked, gate: Gate) -> Answer:
    """A defect of the release that is started next; it goes on with a note."""
    bad = affected(asking.loading, gate.code)
    return Answer(NOTE, evidence=(suspicion(asking.loading, bad),)) if bad.spans else PASS


def debug_loads(asking: Asked, gate: Gate) -> Answer:
    """The same for the log level Debug alone."""
    return release_is_spared(asking, gate) if asking.operation.to == "Debug" else PASS


def release_is_affected(asking: Asked, gate: Gate) -> Answer:
    """A release without the defect has nothing to repair, unless an older one left it."""
    if affected(asking.running, gate.code).spans:
        return PASS
    title = defect(gate.code).title
    says = f"This release does not have the defect; only an older one can have left it: {title}"
    return Answer(NOTE, says, (f"The release is {asking.running}.",))


def kernel_is_new_enough(asking: Asked, gate: Gate) -> Answer:
    """felix's own floor and the documented one close; the advised one is a note."""
    if asking.goes_off:
        return PASS
    kernel = parse_kernel(asking.facts["kernel"]["release"])
    low = [row for row in _floors(asking) if row.kernel and kernel < row.kernel]
    evidence = tuple(dict.fromkeys(_floor_sentence(asking, row, kernel) for row in low))
    if any(row.kind != "advised" for row in low):
        return Answer(CLOSED, evidence=evidence)
    advised = f"{asking.loading} is advised for newer kernels."
    return Answer(NOTE, advised, evidence) if evidence else PASS


def _floors(asking: Asked) -> tuple[KernelFloor, ...]:
    distribution: Mapping[str, Any] = asking.facts.get("distribution") or {}
    name = distribution_named(distribution.get("id"), distribution.get("id_like") or ())
    return floors_of(asking.loading, name)


def _floor_sentence(asking: Asked, row: KernelFloor, kernel: KernelVersion) -> str:
    where = f" on {row.distribution}" if row.distribution else ""
    return f"The kernel is {kernel}; Calico {row.releases} has {row.kernel} {row.kind}{where}."


def kernel_fits(asking: Asked, gate: Gate) -> Answer:
    """Known-bad pairs; those whose effect is sure enough close."""
    if asking.goes_off:
        return PASS
    text = asking.facts["kernel"]["release"]
    pairs = bad_pairs(asking.loading, parse_kernel(text))
    told = [row for row in pairs if row.closes] or list(pairs)
    if not told:
        return PASS
    numbers = tuple(dict.fromkeys(number for row in told for number in row.upstream))
    evidence = tuple(f"Kernel {text} with Calico {row.releases}: {row.title}." for row in told)
    if not told[0].closes:
        return Answer(NOTE, evidence=evidence, upstream=numbers)
    sure = all(row.releases.covers(asking.loading) for row in told)
    remedy = "" if sure else f"{defect(gate.code).advice} {NAME_IT}"
    return Answer(CLOSED, evidence=evidence, upstream=numbers, remedy=remedy)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        told_release,
        not_downwards,
        path_is_good,
        path_is_noted,
        release_is_spared,
        debug_loads,
        release_is_affected,
        kernel_is_new_enough,
        kernel_fits,
    )
}
