# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to bring Calico's filters of each interface to one place, and to one each."""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple

from .connect_removal import LinkPin
from .findings_attach import HOOKS, duplicates, exhausted, mismatches, missing
from .findings_input import Finding, Interface, Node
from .removal import FilterAt, Step
from .tc_absent import absent_steps, loose_pins
from .tc_hooks import (
    Hook,
    Other,
    described,
    filter_at,
    hooks_of,
    jump_arrays,
    place_of,
    shown,
    unproven,
)
from .tc_places import FIRST, Place, Standing, common_place
from .tc_task import Desired, selected, unknown_names


class Spare(NamedTuple):
    """A loaded program that belongs to a hook from which its filter is gone."""

    ifindex: int
    hook: str
    prog_id: int
    name: str


class Observed(NamedTuple):
    """The node, filters that are no BPF filters by ifindex, spare programs, and felix.

    ``others`` covers the interfaces that ``unlike`` names. ``links`` are pinned TCX links that no
    hook shows. ``felix`` are sentences that tell that felix runs in eBPF mode.
    """

    node: Node
    others: Mapping[int, tuple[Other, ...]] = {}
    spares: tuple[Spare, ...] = ()
    links: tuple[LinkPin, ...] = ()
    felix: tuple[str, ...] = ()


class Change(NamedTuple):
    """What happens at one hook, in this order: clsact, then ``put``, then each of ``drop``.

    ``seen`` are all of Calico's filters there; the change is off when they are others by then.
    ``put`` calls a program that is already loaded.
    """

    interface: str
    ifindex: int
    hook: str
    seen: tuple[FilterAt, ...]
    put: FilterAt | None
    drop: tuple[FilterAt, ...]
    clsact: bool
    sentences: tuple[str, ...]


class Plan(NamedTuple):
    """Changes of the hooks, or steps that remove; ``after`` is what is shown by interface."""

    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    before: Mapping[str, dict[str, list[str]]] = {}
    after: Mapping[str, dict[str, list[str]]] = {}

    @property
    def actions(self) -> tuple[str, ...]:
        """Sentences in their order."""
        changes = (sentence for change in self.changes for sentence in change.sentences)
        return (*changes, *(step.sentence for step in self.steps))


def unlike(wanted: Desired, node: Node) -> tuple[Interface, ...]:
    """The interfaces whose filters would be changed if nothing else stood at their hooks."""
    arrays = jump_arrays(node)
    return tuple(
        one
        for one in selected(wanted, node)
        if _changes(one, hooks_of(one, arrays), wanted.lowest_preference)
    )


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The changes; none when all is as wanted. Raises RefusedError: see ``selected``."""
    node = seen.node
    chosen = selected(wanted, node)
    arrays = jump_arrays(node)
    hooks = {one.name: hooks_of(one, arrays, seen.others.get(one.ifindex, ())) for one in chosen}
    before = {name: shown(found) for name, found in hooks.items()}
    unknown = tuple(f"{name} is not on this node." for name in unknown_names(wanted, node))
    loose = tuple(loose_pins(seen.links, wanted.interfaces))
    if wanted.state == "absent":
        steps = [step for one in chosen for step in absent_steps(one, seen.others, node.pins)]
        steps += loose
        again = tuple(f"felix attaches its programs again: {one}" for one in seen.felix if steps)
        none: dict[str, dict[str, list[str]]] = {
            name: {hook: [] for hook in HOOKS} for name in hooks
        }
        return Plan((), tuple(steps), (), (*again, *unknown), before, none)
    changes = []
    for one in chosen:
        changes += _changes(one, hooks[one.name], wanted.lowest_preference)
        changes += _additions(one, hooks[one.name], seen.spares)
    warnings = [text for one in chosen for text in _warnings(one, hooks[one.name], wanted)]
    after = {name: dict(found) for name, found in before.items()}
    for change in changes:
        after[change.interface][change.hook] = _left(change, hooks[change.interface][change.hook])
    found = tuple(_findings(node, {one.name for one in chosen}))
    return Plan(tuple(changes), loose, found, (*warnings, *unknown), before, after)


def _changes(interface: Interface, hooks: Mapping[str, Hook], lowest: int) -> list[Change]:
    """Replacements and removals at the hooks of one interface."""
    if any(hook.undecided for hook in hooks.values()):
        return []
    place = _place(hooks, lowest)
    changes = (_change(interface, name, hook, place) for name, hook in hooks.items())
    return [change for change in changes if change.put or change.drop]


def _place(hooks: Mapping[str, Hook], lowest: int) -> Place | None:
    standing = tuple(
        Standing(place_of(hook.filter), hook.taken) for hook in hooks.values() if hook.filter
    )
    return common_place(standing, lowest) if standing else None


def _change(interface: Interface, name: str, hook: Hook, place: Place | None) -> Change:
    live, put = hook.filter, None
    drop = [filter_at(interface, one) for one in hook.stale]
    sentences = []
    where = f"{interface.name} {name}"
    if live and place and place_of(live) != place:
        old = filter_at(interface, live)
        put = old._replace(
            preference=place.preference, handle=place.handle, name=_name(live.name, live.prog_id)
        )
        # A stale filter at the wanted place is replaced there; it need not be deleted.
        drop = [*(one for one in drop if _at(one) != place), old]
        sentences.append(f"Move program {live.prog_id} on {where} from {place_of(live)} to {place}")
    for one in hook.stale:
        sentences.append(f"Remove the stale {described(one)} from {where}")
    own = [filter_at(interface, one) for one in hook.stale]
    seen = (*own, filter_at(interface, live)) if live else tuple(own)
    return Change(
        interface.name,
        interface.ifindex,
        name,
        seen,
        put,
        tuple(drop),
        False,
        tuple(sentences),
    )


def _at(one: FilterAt) -> Place:
    return Place(one.preference, one.handle)


def _name(program: str, prog_id: int | None) -> str:
    """A filter's name as libbpf makes it and felix looks for it (programs 1.2)."""
    return f"{program.split(':', maxsplit=1)[0]}:[{prog_id}]"


def _additions(
    interface: Interface, hooks: Mapping[str, Hook], spares: tuple[Spare, ...]
) -> Iterator[Change]:
    """Filters for hooks that have none, where their programs are still loaded."""
    stands = [place_of(hook.filter) for hook in hooks.values() if hook.filter]
    place = stands[0] if stands else FIRST
    clsact = interface.clsact is False
    for one in spares:
        hook = hooks[one.hook]
        if one.ifindex != interface.ifindex or hook.live or place.preference in hook.taken:
            continue
        put = FilterAt(
            interface.name,
            interface.ifindex,
            one.hook,
            *place,
            name=_name(one.name, one.prog_id),
            prog_id=one.prog_id,
        )
        sentence = f"Attach program {one.prog_id}, still loaded, to {interface.name} {one.hook}"
        with_qdisc = " with a clsact qdisc" if clsact else ""
        text = (f"{sentence} at {place}{with_qdisc}",)
        yield Change(interface.name, interface.ifindex, one.hook, (), put, (), clsact, text)
        clsact = False


def _left(change: Change, hook: Hook) -> list[str]:
    links = [described(one) for one in (hook.live, *hook.links) if one and one.kind != "tc"]
    if change.put:
        return [*links, f"program {change.put.prog_id} at {_at(change.put)}"]
    return [*links, *(described(one) for one in (hook.filter,) if one)]


def _warnings(interface: Interface, hooks: Mapping[str, Hook], wanted: Desired) -> Iterator[str]:
    for name, hook in hooks.items():
        yield from _hook_warnings(f"{interface.name} {name}", hook)
    if any(hook.filter for hook in hooks.values()):
        place = _place(hooks, wanted.lowest_preference)
        if place is None:
            yield (
                f"{interface.name}: other software's filters leave no preference that both of "
                "Calico's filters could have, so they stay unequal."
            )
        elif place.preference < wanted.lowest_preference:
            yield f"{interface.name}: other software's filters keep Calico's at {place}."


def _hook_warnings(where: str, hook: Hook) -> Iterator[str]:
    if hook.undecided:
        yield (
            f"{where}: several filters are Calico's, and no pinned program array tells which of "
            "them is the live one; the interface was left alone."
        )
    for one in hook.links:
        yield (
            f"{where}: program {one.prog_id} is attached by {one.kind} link {one.link_id} beside "
            "a newer tc filter of Calico's; it was left alone."
        )
    yield from unproven(where, hook.foreign)


def _findings(node: Node, names: set[str]) -> Iterator[Finding]:
    for rule in (mismatches, duplicates, missing, exhausted):
        for one in rule(node):
            if one.object.partition(" ")[0] in names:
                yield one
