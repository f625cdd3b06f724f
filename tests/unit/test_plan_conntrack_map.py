# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for conntrack maps: what is done, what is refused, and that a done plan plans nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    BadInputError,
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_map as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_map_state as st
from ansible_collections.bpfops.calico.plugins.module_utils._plan import (
    conntrack_map_target as target,
)
from tests.unit.conntrack_plans import CREATED, DIR, OWN, kept, pin, seen, spec, stray, wanted


def verbs(node: st.Seen, **given: Any) -> list[str]:
    return [one.verb.value for one in planner.plan(wanted(**given), node).actions]


V29, V30, V31 = ({"calico_version": version} for version in ("3.29.7", "3.30.7", "3.31.7"))
BIG = {"max_entries": 2000}
SETTLED = {"state": "settled"}
DOWN = {"downgrade": True, "running_version": "3.31.7"}
CT3, CT4 = pin("cali_v4_ct3"), pin("cali_v4_ct4", 8)
BOTH = (CT3, pin("cali_v6_ct3", 9))
ROWS: list[tuple[st.Seen, dict[str, Any], list[str]]] = [
    (seen(CT3), V29, []),
    (seen(CT3), {"max_entries": 1000}, []),
    (seen(CT3), {**V29, **BIG}, ["replace"]),
    (seen(CT4), BIG, ["replace"]),
    (seen(*BOTH), {**V29, **BIG}, ["replace", "replace"]),
    (seen(*BOTH), {**V29, **BIG, "families": ["ipv6"]}, ["replace"]),
    (seen(pin("cali_v4_ct4", entries=512000)), {**V31, "per_cpu": 128000}, []),
    (seen(pin("cali_v4_ct3", entries=512000)), {"calico_version": "3.27.5"}, []),
    (seen(CT3), {**V31, "running_version": "3.30.1"}, ["replace"]),
    (seen(CT3, CT4, kept=(kept("cali_v4_ct3", 7),)), V31, []),
    (seen(pin("cali_v4_ct2")), V29, ["replace"]),
    (seen(CT3), {**V30, "running_version": "3.29.7"}, ["replace"]),
    (
        seen(CT3, kept=(kept("cali_v4_ct3", 6, note=CREATED),)),
        {**V30, "running_version": "3.29.7"},
        [],
    ),
    (
        seen(CT3, kept=(kept("cali_v4_ct3", 7, note=CREATED),)),
        {**V30, "running_version": "3.29.7"},
        ["replace"],
    ),
    (seen(CT3, kept=(kept("cali_v4_ct3", 6, 2000),)), {**V29, **BIG}, ["restore"]),
    (seen(CT3, kept=(kept("cali_v4_ct3", 7),)), {**V29, **BIG}, ["replace"]),
    (seen(CT4, strays=(stray("cali_v4_ct4", 9),)), {}, ["adopt"]),
    (seen(CT4, strays=(stray("cali_v4_ct4", 9),)), BIG, ["adopt", "replace"]),
    (seen(CT4, leftovers=(f"{OWN}/note_old_cali_v4_ct4",)), {}, ["clean"]),
    (seen(CT4, autoscale=900), V31, []),
    (seen(CT4, autoscale=4000), V31, ["replace"]),
    (seen(CT4, autoscale=4000), {**V31, "autoscale_file": "lower"}, ["autoscale"]),
    (
        seen(CT4, autoscale=4000),
        {**V31, **BIG, "autoscale_file": "remove"},
        ["replace", "autoscale"],
    ),
    (seen(CT3, autoscale=4000), {**V29, "autoscale_file": "remove"}, []),
    (seen(CT3, records=4), {"calico_version": "3.26.4", **BIG}, ["replace", "forget"]),
    (seen(CT3, records=4), {**V29, **BIG}, ["replace"]),
    (seen(CT3, records=4), {"calico_version": "3.26.4"}, []),
    (
        seen(CT3, kept=(kept("cali_v4_ct3", 6),), users={6: ("one",)}, records=4),
        {"calico_version": "3.26.4"},
        ["forget"],
    ),
    (seen(CT3), SETTLED, []),
    (seen(CT3, kept=(kept("cali_v4_ct3", 7),)), SETTLED, ["clean"]),
    (seen(CT3, kept=(kept("cali_v4_ct3", 6),)), {**SETTLED, **V29}, ["settle"]),
    (seen(CT3, pin("cali_v4_ct3_old", 6)), SETTLED, ["settle"]),
    (seen(pin("cali_v4_ct3_old", 6)), {**SETTLED, **V29}, ["put_back"]),
    (seen(CT3, CT4), {**SETTLED, **V31}, ["settle"]),
    (seen(CT3, CT4, kept=(kept("cali_v4_ct3", 7),)), {**SETTLED, **V31}, ["settle"]),
    (seen(CT4, strays=(stray("cali_v4_ct4", 9),)), SETTLED, ["adopt", "settle"]),
    (seen(CT3, CT4), {**SETTLED, **V30}, ["settle"]),
    (seen(CT3, CT4), {**V30, **DOWN}, ["set_aside"]),
    (seen(CT3, CT4, kept=(kept("cali_v4_ct3", 7),)), {**V30, **DOWN}, ["set_aside"]),
    (seen(CT4), {**V30, **DOWN}, ["replace", "set_aside"]),
    (seen(CT3), {**V30, **DOWN}, []),
]


@pytest.mark.parametrize(("node", "given", "expected"), ROWS)
def test_actions(node: st.Seen, given: dict[str, Any], expected: list[str]) -> None:
    assert verbs(node, **given) == expected


REFUSALS: list[tuple[st.Seen, dict[str, Any], str | None, str]] = [
    (seen(), {}, None, "pin_dir: no conntrack map is pinned in /b/tc/globals"),
    (seen(CT3), {**V31, **SETTLED}, None, "cali_v4_ct4 is not there; state=sized with"),
    (seen(pin("cali_v4_ct3", live=3000)), {**V29, **BIG}, "CT_SHRINK", "the 3000 live entries"),
    (seen(pin("cali_v4_ct4", live=1990)), {**V31, **BIG}, "CT_SHRINK", "of which it takes 1980"),
    (seen(CT3), {"calico_version": "3.28.0", **BIG}, "CT_SIZE", "only of 512000; upgrade"),
    (seen(CT3), {"calico_version": "3.28", **BIG}, "CT_SIZE", "name the exact release"),
    (seen(CT3), {"calico_version": "3.27.0", "max_entries": 4}, "CT_SIZE", "#9118"),
    (seen(CT4, available=200_000), {**V31, **BIG}, None, "0 MiB are available"),
    (seen(CT3, pin("cali_v4_ct3_old")), {**V29, **BIG}, "CT_OLD_PIN", "state=settled first"),
    (seen(CT3, CT4), {**V31, **BIG}, "CT_SUPERSEDED", "state=settled first"),
    (seen(CT3, CT4), {**V30, **BIG}, "CT_NEWER", "state=settled first"),
    (seen(CT3, CT4, kept=(kept("cali_v4_ct3", 7),)), {**SETTLED, **V30}, None, "coming release"),
    (seen(CT3, kept=(kept("cali_v4_ct3", 6),)), {**V29, **BIG}, None, "of an earlier resize"),
    (seen(CT3), V31, None, "running_version: the kernel shows Calico 3.26 to 3.30"),
    (seen(CT3), {"families": ["ipv6"], **V29}, None, "no conntrack map of ipv6"),
    (seen(CT4, autoscale=9999), {"calico_version": "3.29"}, "CT_NEWER", ""),
    (
        seen(CT3, autoscale=9999),
        {"max_entries": 1000},
        None,
        "/f says 9999, and only some of Calico 3.26 to 3.30 read it",
    ),
    (
        seen(CT3, pin("cali_v4_ct3_old", 6), pending={6: st.Pending(901)}),
        SETTLED,
        "CT_SHRINK",
        "takes 1000, and has to hold 1001",
    ),
    (
        seen(CT4, strays=(stray("cali_v4_ct4", 9),), pending={9: st.Pending(900)}),
        {},
        "CT_SHRINK",
        "takes 990, and has to hold 1000",
    ),
    (
        seen(CT4, strays=(stray("cali_v4_ct4", 9),), pending={9: st.Pending(800)}),
        {"max_entries": 900},
        "CT_SHRINK",
        "for the 900 live entries",
    ),
    (
        seen(CT3._replace(spec=CT3.spec._replace(value_size=96))),
        V29,
        "CT_LAYOUT",
        "no known layout",
    ),
]


@pytest.mark.parametrize(("node", "given", "code", "sentence"), REFUSALS)
def test_refusals(node: st.Seen, given: dict[str, Any], code: str | None, sentence: str) -> None:
    with pytest.raises(RefusedError) as raised:
        planner.plan(wanted(**given), node)
    assert sentence in str(raised.value)
    assert raised.value.code == code
    assert str(raised.value).count(". ") == 0


BAD_INPUT = [
    {"max_entries": 0},
    {"per_cpu": -1},
    {"max_entries": 1, "per_cpu": 1},
    {"timeout": -0.1},
    {"bpffs": "b"},
    {"pin_dir": "b"},
    {"autoscale_path": "f"},
    {"calico_version": "latest"},
    {"running_version": "3.99"},
    {"timeouts": {"udp": -1}},
]


@pytest.mark.parametrize("given", BAD_INPUT)
def test_bad_input_names_the_parameter(given: dict[str, Any]) -> None:
    with pytest.raises(BadInputError) as raised:
        wanted(**given)
    assert str(raised.value).split(":")[0].split(".")[0] in given


def test_sizes_are_compared_with_the_memory_there_is() -> None:
    lru, sparse = spec("cali_v4_ct4", 512000), spec("cali_v4_ct3", 512000)
    target.require_memory(sparse, 0, 10 << 20)
    target.require_memory(lru, 0, 97 << 20)
    for wanted_spec, entries, available in ((lru, 0, 80 << 20), (sparse, 512000, 80 << 20)):
        with pytest.raises(RefusedError, match="MiB are available"):
            target.require_memory(wanted_spec, entries, available)


def test_sources_carry_their_note() -> None:
    """Since when changes count, and whether first words mean something else."""
    node = seen(
        CT3,
        pin("cali_v4_ct4", 8),
        kept=(kept("cali_v4_ct3", 7, note=st.Note(44, unwritten=55)), kept("cali_v4_ct4", 5)),
        strays=(stray("cali_v4_ct4", 4),),
    )
    sources = {
        one.source.id: one.source
        for one in planner.plan(wanted(**SETTLED, **V31), node).actions
        if one.verb is st.Verb.SETTLE and one.source
    }
    assert sources == {
        7: st.Source(7, (f"{OWN}/old_cali_v4_ct3", f"{DIR}/cali_v4_ct3"), 44, False),
        5: st.Source(5, (f"{OWN}/old_cali_v4_ct4",), 0, False),
        4: st.Source(4, (f"{OWN}/old_cali_v4_ct4_4",), 0, False),
    }
    (source,) = [
        one.source for one in planner.plan(wanted(**SETTLED, **V31), seen(CT3, CT4)).actions
    ]
    assert source == st.Source(7, (f"{DIR}/cali_v4_ct3",), 0, True)


def test_findings() -> None:
    node = seen(CT4, pin("cali_v4_ct4_old"), strays=(stray("cali_v4_ct4", 9),), users={9: ("p",)})
    codes = [(one.code, one.evidence) for one in planner.findings(node)]
    assert codes[0][0] == "CT_OLD_PIN"
    assert codes[1] == ("CT_SPLIT", ("Programs use it: p.",))


def test_what_is_counted() -> None:
    """Reading a table takes time: only where a decision needs it."""
    assert planner.counted(wanted(**V29), seen(CT3)) == ()
    assert planner.counted(wanted(**V29, **BIG), seen(CT3)) == (CT3,)
    assert planner.counted(wanted(**SETTLED), seen(CT3)) == ()
    old = pin("cali_v4_ct3_old", 6)
    assert planner.counted(wanted(**SETTLED), seen(CT3, old)) == (CT3,)
