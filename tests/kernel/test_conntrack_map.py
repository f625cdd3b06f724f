# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map, state sized: maps get the size and layout of a release and keep their entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import iterator
from tests.kernel.conntrack_node import CtNode, fill
from tests.kernel.support import bpftool, shown
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


def shape(path: Path) -> tuple[Any, ...]:
    told = shown(path)
    names = ("type", "bytes_key", "bytes_value", "max_entries", "flags", "name")
    return tuple(told[name] for name in names)


@pytest.mark.parametrize(
    ("release", "name", "kind", "flags"),
    [(V3_29, "ct3", "hash", 1), (V3_30, "ct3", "hash", 1), (V3_31, "ct4", "lru_hash", 0)],
)
@pytest.mark.parametrize("entries", [2000, 600])
def test_another_size(
    node: CtNode, release: str, name: str, kind: str, flags: int, entries: int
) -> None:
    tables = [f"cali_v4_{name}", f"cali_v6_{name}"]
    old = [node.table(table, 1000) for table in tables]
    wanted = [fill(old[0], 500), fill(old[1], 500, (40, 128))]
    users = [node.use(old[0]), node.use(old[1])]
    params: dict[str, Any] = {"max_entries": entries, "calico_version": release}
    foretold = node.run(check=True, **params)
    assert node.own_pins() == []
    result = node.run(**params)
    assert result.actions == foretold.actions != ()
    assert (result.before, result.after) == (foretold.before, foretold.after)
    sizes = {tables[0]: (16, 88), tables[1]: (40, 128)}
    for table, content, before in zip(tables, wanted, old, strict=True):
        assert shape(node.path(table)) == (kind, *sizes[table], entries, flags, table)
        assert node.dump(table) == content
        assert shown(node.own / f"old_{table}")["id"] == rawbpf.map_id(before)
    assert node.pins() == tables
    assert [one["entries"] for one in result.facts["carried"]] == [500, 500]
    assert node.run(**params).actions == ()
    assert len(users) == 2


def test_the_size_that_is_there_changes_nothing(node: CtNode) -> None:
    fd = node.table("cali_v4_ct3", 1000)
    result = node.run(calico_version=V3_29, max_entries=1000)
    assert result.actions == ()
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(fd)
    assert node.own_pins() == []
    assert [one["family"] for one in result.facts["maps"]] == ["ipv4"]


def test_a_map_of_wrong_type_and_flags_gets_those_of_the_release(node: CtNode) -> None:
    """felix takes such a pin by its size, and then no program loads (maps 5.5)."""
    fd = node.pin("cali_v4_ct4", 1, 1, 16, 88, 1000)
    wanted = fill(fd, 100)
    node.run(calico_version=V3_31)
    assert shape(node.path("cali_v4_ct4")) == ("lru_hash", 16, 88, 1000, 0, "cali_v4_ct4")
    assert node.dump("cali_v4_ct4") == wanted


def test_the_release_is_seen_by_the_maps_that_programs_use(node: CtNode) -> None:
    node.use(node.table("cali_v4_ct4", 1000))
    result = node.run()
    assert (result.facts["release"], result.actions) == ("3.31 to 3.33", ())


def test_entries_per_cpu(node: CtNode) -> None:
    node.pin("cali_state4", 6, 0, 4, 8, 1)
    (element,) = bpftool("map", "dump", "pinned", str(node.path("cali_state4")))
    cpus = len(element["values"])  # a per-CPU map has one for each possible CPU
    node.table("cali_v4_ct4", 1000)
    node.run(calico_version=V3_31, per_cpu=700)
    assert shown(node.path("cali_v4_ct4"))["max_entries"] == 700 * cpus


def test_releases_before_3_30_have_no_size_per_cpu(node: CtNode) -> None:
    node.table("cali_v4_ct3", 1000)
    with pytest.raises(
        errors.BadInputError, match=r"per_cpu: 700 has no meaning to Calico 3\.29\.7"
    ):
        node.run(calico_version=V3_29, per_cpu=700)


REFUSED = [
    ({"max_entries": 99, "calico_version": V3_29}, "CT_SHRINK", "too small for the 100 live"),
    ({"max_entries": 2000, "calico_version": "3.27.5"}, "CT_SIZE", "#9651, #9117, #9118"),
    ({"max_entries": 2000, "calico_version": "3.28.1"}, "CT_SIZE", "upgrade to 3.28.2"),
    ({"max_entries": 2000, "calico_version": "3.28"}, "CT_SIZE", "name the exact release"),
    ({"max_entries": 2000}, "CT_SIZE", "name the exact release"),
    ({"max_entries": 2000, "calico_version": "3.40.0"}, None, "calico_version: '3.40.0'"),
    ({"max_entries": 2000, "calico_version": "new"}, None, "'new' is not a Calico version"),
    ({"max_entries": 0}, None, "max_entries: 0 is not a whole number"),
    ({"max_entries": 4294967295, "calico_version": V3_31}, None, "MiB are available"),
    ({"max_entries": 9, "per_cpu": 9}, None, "per_cpu: 9 takes the place of max_entries"),
    ({"families": ["ipv6"], "calico_version": V3_29}, None, "no conntrack map of ipv6"),
    ({"families": ["ipv6"], "calico_version": "3.26.4"}, None, "'ipv6' has no map in Calico"),
    ({"threads": 0}, None, "threads: 0"),
    ({"timeout": -1.0}, None, "timeout: -1.0 is not 0 seconds or more"),
]


@pytest.mark.parametrize(("params", "code", "sentence"), REFUSED)
def test_refused(node: CtNode, params: dict[str, Any], code: str | None, sentence: str) -> None:
    fd = node.table("cali_v4_ct3", 1000)
    wanted = fill(fd, 100)
    with pytest.raises(errors.RefusedError) as raised:
        node.run(**params)
    assert sentence in str(raised.value)
    assert raised.value.code == code
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(fd)
    assert (node.dump("cali_v4_ct3"), node.own_pins()) == (wanted, [])


@pytest.mark.parametrize(
    ("other", "code"),
    [("cali_v4_ct3_old", "CT_OLD_PIN"), ("cali_v4_ct3", "CT_SUPERSEDED"), ("cali_v4_ct9", None)],
)
def test_other_pins_are_refused(node: CtNode, other: str, code: str | None) -> None:
    node.table("cali_v4_ct4", 1000)
    node.table("cali_v4_ct3", 1000, pinned_as=other)
    with pytest.raises(errors.RefusedError) as raised:
        node.run(calico_version=V3_31, max_entries=2000)
    assert raised.value.code == code
    assert ("state=settled first" in str(raised.value)) == bool(code)
    assert node.own_pins() == []


def test_a_map_of_a_newer_release_is_refused(node: CtNode) -> None:
    node.table("cali_v4_ct3", 1000)
    node.table("cali_v4_ct4", 1000)
    with pytest.raises(errors.RefusedError) as raised:
        node.run(calico_version=V3_30, max_entries=2000)
    assert raised.value.code == "CT_NEWER"


def test_a_map_of_unknown_layout_is_refused(node: CtNode) -> None:
    node.pin("cali_v4_ct3", 1, 1, 16, 96, 1000)
    with pytest.raises(errors.RefusedError, match="no known layout") as raised:
        node.run(calico_version=V3_29, max_entries=2000)
    assert raised.value.code == "CT_LAYOUT"


def test_a_directory_off_the_bpffs_is_refused(node: CtNode, tmp_path: Path) -> None:
    for directory in (str(tmp_path), "tc/globals"):
        with pytest.raises(errors.BadInputError, match="pin_dir"):
            node.run(pin_dir=directory)


def test_a_node_without_conntrack_maps_is_refused(node: CtNode) -> None:
    for state in ("sized", "settled"):
        with pytest.raises(errors.RefusedError, match="no conntrack map is pinned"):
            node.run(calico_version=V3_29, state=state)


@pytest.mark.parametrize(
    ("choice", "left"), [("keep", "4000"), ("lower", "2000"), ("remove", None)]
)
def test_the_auto_scale_file(node: CtNode, choice: str, left: str | None) -> None:
    node.autoscale.write_text("4000\n", "ascii")
    node.table("cali_v4_ct4", 4000)
    params: dict[str, Any] = {
        "calico_version": V3_31,
        "max_entries": 2000,
        "autoscale_file": choice,
    }
    foretold = node.run(check=True, **params)
    assert node.autoscale.read_text("ascii") == "4000\n"
    result = node.run(**params)
    assert result.actions == foretold.actions
    found = node.autoscale.read_text("ascii").strip() if node.autoscale.exists() else None
    assert found == left
    assert shown(node.path("cali_v4_ct4"))["max_entries"] == (4000 if choice == "keep" else 2000)
    assert bool(result.warnings) == (choice == "keep")
    assert node.run(**params).actions == ()


def test_releases_before_3_30_read_no_auto_scale_file(node: CtNode) -> None:
    node.autoscale.write_text("4000", "ascii")
    node.table("cali_v4_ct3", 1000)
    result = node.run(calico_version=V3_29, max_entries=2000, autoscale_file="remove")
    assert shown(node.path("cali_v4_ct3"))["max_entries"] == 2000
    assert (len(result.actions), node.autoscale.exists()) == (1, True)


@pytest.mark.parametrize(
    ("release", "left"), [("3.26.4", ["other"]), (V3_29, ["cali1.json", "other"])]
)
def test_records_that_keep_the_programs_of_3_26_go_with_the_map(
    node: CtNode, release: str, left: list[str]
) -> None:
    node.records.mkdir()
    for name in ("cali1.json", "other"):
        (node.records / name).touch()
    node.table("cali_v4_ct3", 1000)
    params: dict[str, Any] = {"calico_version": release, "max_entries": 2000}
    foretold = node.run(check=True, **params)
    assert len(list(node.records.iterdir())) == 2
    assert node.run(**params).actions == foretold.actions
    assert sorted(one.name for one in node.records.iterdir()) == left
    assert node.run(**params).actions == ()


@pytest.mark.parametrize(("step", "ticks"), [(64, 64), (1024, 1024), (524288, 524288)])
def test_passes_go_by_the_wanted_step_and_end_alike(
    node: CtNode, monkeypatch: pytest.MonkeyPatch, step: int, ticks: int
) -> None:
    made: list[int] = []
    compose = iterator.carry_code

    def noted(work: Any, rule: Any) -> bytes:
        made.append(work.tick)
        return compose(work, rule)

    monkeypatch.setattr(iterator, "carry_code", noted)
    content = fill(node.table("cali_v4_ct3", 1000), 500)
    params: dict[str, Any] = {"calico_version": V3_29, "kernel_step": step}
    node.run(max_entries=2000, **params)
    node.run(state="settled", **params)
    assert node.dump("cali_v4_ct3") == content
    assert set(made) == {ticks}


@pytest.mark.parametrize("step", [63, 524289])
def test_a_step_that_cannot_be_is_refused(node: CtNode, step: int) -> None:
    node.table("cali_v4_ct3", 1000)
    with pytest.raises(errors.BadInputError, match=f"kernel_step: {step} is not"):
        node.run(calico_version=V3_29, kernel_step=step)
