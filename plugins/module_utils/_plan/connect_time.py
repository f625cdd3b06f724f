# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs: what it takes to have none, and whether the right ones are there."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, NamedTuple

from .._calico.connect_time import HOOKS, settings_of, variants_of, wanted_hooks
from .._calico.evidence import Verdict
from .._calico.versions import VersionSet
from .._errors import BadInputError, RefusedError, UnverifiedError
from .connect_removal import KIND, LinkPin, detachments, left_alone, method, pins_of, place, severed
from .felix_mode import Agent, evidence
from .findings_input import ConnectTime, Finding, Node
from .removal import LeftAlone, Step

_CLUSTERS = {("ipv4",): "ipv4", ("ipv6",): "ipv6", ("ipv4", "ipv6"): "dual"}


class Desired(NamedTuple):
    """The task's parameters; empty where the release's default is meant."""

    state: str
    load_balancing: str
    host_nat: str
    families: tuple[str, ...]
    report_only: bool


class Observed(NamedTuple):
    """The node, pinned links that none of its hooks shows, and Calico's processes."""

    node: Node
    link_pins: tuple[LinkPin, ...] = ()
    agents: tuple[Agent, ...] = ()


class Plan(NamedTuple):
    """Steps in order, what stays although it may be Calico's, and what is not as expected."""

    actions: tuple[Step, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    expected: tuple[str, ...] | None = None


def desired(params: Mapping[str, Any]) -> Desired:
    """The parameters as a value. Raises BadInputError for one that can never work."""
    families = tuple(sorted(set(params["families"])))
    if not families:
        raise BadInputError("families", [], "has to name ipv4, ipv6 or both")
    return Desired(
        params["state"],
        params["load_balancing"] or "",
        params["host_nat"],
        families,
        params["on_mismatch"] == "report",
    )


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The steps to no programs, or what there is to say of those expected.

    Raises RefusedError when nobody can tell what is expected.
    """
    _require_cgroups(seen.node)
    if wanted.state == "absent":
        return _absent(seen)
    return _present(wanted, seen)


def _require_cgroups(node: Node) -> None:
    if not node.cgroup_mounted:
        raise RefusedError(
            "cgroup_root: no cgroup2 file system is mounted, so there is no telling what is "
            "attached; mount one, at any place, or name it.",
            "CGROUP_MISSING",
        )


def _absent(seen: Observed) -> Plan:
    node = seen.node
    steps = (*detachments(node.connect_time, node.pins), *severed(seen.link_pins, KIND))
    running = evidence(seen.agents) if steps else ()
    warnings = tuple(
        f"felix runs in eBPF mode here and attaches what its configuration asks for again when it "
        f"starts: {one}"
        for one in running
    )
    return Plan(steps, tuple(left_alone(node.connect_time, seen.link_pins)), warnings)


def _present(wanted: Desired, seen: Observed) -> Plan:
    node = seen.node
    expected = expected_sections(wanted, node.release.releases)
    found = tuple(
        finding
        for root in node.cgroups[:1] or ("",)
        for finding in _differences(root, expected, node.connect_time)
    )
    cut = tuple(
        Finding("CTLB_SEVERED", one.path, (f"Link {one.link_id} has no cgroup.",))
        for one in seen.link_pins
        if one.severed and one.owner.verdict is Verdict.CALICO
    )
    stays = tuple(left_alone(node.connect_time, seen.link_pins))
    return Plan((), stays, (), (*found, *cut), expected)


def expected_sections(wanted: Desired, release: VersionSet) -> tuple[str, ...]:
    """The hooks at which a program is expected. Raises RefusedError when releases differ."""
    defaults = {row.load_balancing for row in settings_of(release) if row.default}
    asked = wanted.load_balancing or (defaults.pop() if len(defaults) == 1 else "")
    hooks = wanted_hooks(release, asked, wanted.host_nat)
    families = _families(wanted.families, release)
    if hooks is None or families is None:
        raise RefusedError(
            f"calico_version: Calico {release} does not tell which connect-time programs are "
            f"expected with load_balancing {wanted.load_balancing or 'not set'} and families "
            f"{' and '.join(wanted.families)}; name the release exactly."
        )
    return tuple(
        hook.section for hook in HOOKS if hook.attach_type in hooks and hook.family in families
    )


def _families(asked: tuple[str, ...], release: VersionSet) -> frozenset[int] | None:
    """Families of the hooks that a cluster of these address families has programs on."""
    rows = [row for row in variants_of(release) if row.cluster == _CLUSTERS[asked]]
    covered = [row for row in rows if row.releases.overlaps(release)]
    return frozenset(row.family for row in covered) or None


def _differences(
    root: str, expected: tuple[str, ...], programs: Iterable[ConnectTime]
) -> Iterator[Finding]:
    """One finding for all that is missing, doubled or too much."""
    own = [one for one in programs if one.owner.verdict is Verdict.CALICO]
    evidence_of = []
    for hook in HOOKS:
        here = [one for one in own if one.section == hook.section]
        places = [f"{place(one)} has program {one.program.id} ({method(one)})" for one in here]
        if hook.section in expected and not here:
            evidence_of.append(f"{hook.section} has no program of Calico.")
        elif hook.section not in expected and here:
            evidence_of.append(f"{', '.join(places)}, where none is expected.")
        elif len(here) > 1:
            evidence_of.append(f"{', '.join(places)}, where one is expected.")
    if evidence_of:
        yield Finding("CTLB_UNEXPECTED", root, tuple(evidence_of))


def require_expected(wanted: Desired, planned: Plan, facts: Mapping[str, Any]) -> None:
    """Raise UnverifiedError when present was asked for and is not what is there."""
    if wanted.report_only or not planned.findings:
        return
    said = " ".join(sentence for one in planned.findings for sentence in one.evidence)
    raise UnverifiedError(
        f"The connect-time programs are not those that are expected: {said} "
        "felix attaches them when it starts; this module only removes.",
        facts,
    )


def program_facts(one: ConnectTime, node: Node) -> dict[str, Any]:
    """A program as results show it."""
    return {
        "cgroup": one.cgroup,
        "hook": one.section,
        "program_id": one.program.id,
        "name": one.program.evidence.name,
        "method": method(one),
        "link_id": one.link_id,
        "pins": list(pins_of(one.link_id, node.pins)) if one.link_id else [],
        "owner": one.owner.verdict.value,
        "owner_reasons": list(one.owner.reasons),
    }


def after(planned: Plan, node: Node) -> list[dict[str, Any]]:
    """The programs that are left when the plan has been carried out."""
    gone = {step.object for step in planned.actions}
    return [
        program_facts(one, node)
        for one in node.connect_time
        if f"{place(one)} program {one.program.id}" not in gone
    ]
