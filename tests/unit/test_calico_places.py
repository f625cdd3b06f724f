# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels, places on the node and release lines, against the fact sheets."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import kernels, places, releases
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    parse_range,
    parse_release,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4.18.0-193.el8.x86_64", (4, 18, 0, 193)),
        ("5.15.0-91-generic", (5, 15, 0, 91)),
        ("6.12.53+deb13-amd64", (6, 12, 53, 0)),
        ("6.6", (6, 6, 0, 0)),
    ],
)
def test_kernel_versions(text: str, wanted: tuple[int, int, int, int]) -> None:
    assert kernels.parse_kernel(text) == wanted


def test_refuses_what_is_no_kernel() -> None:
    with pytest.raises(BadInputError, match="kernel: 'Linux' is not a kernel release"):
        kernels.parse_kernel("Linux")


@pytest.mark.parametrize(
    ("release", "distribution", "wanted"),
    [
        ("3.30.7", "", {"enforced": "5.3.0", "documented": "5.3.0", "advised": "5.8.0"}),
        ("3.31.0", "Debian", {"enforced": "5.3.0", "documented": "5.10.0", "advised": "6.6.0"}),
        ("3.28.5", "RedHat", {"enforced": "4.18.0-193", "documented": "4.18.0-193"}),
        ("3.32.1", "RedHat", {"enforced": "4.18.0-193", "documented": "4.18.0-305"}),
    ],
)
def test_kernel_floors(release: str, distribution: str, wanted: dict[str, str]) -> None:
    rows = kernels.floors_of(parse_release(release), distribution)
    found = {row.kind: str(row.kernel) for row in rows}
    assert {kind: found[kind] for kind in wanted} == wanted
    assert len(found) == len(rows)


@pytest.mark.parametrize(
    ("release", "distribution", "version"),
    [
        ("3.30", "Ubuntu", "20.04"),
        ("3.31", "Ubuntu", "22.04"),
        ("3.30", "RedHat", "8.2"),
        ("3.32", "RedHat", "8.4"),
    ],
)
def test_distribution_floors(release: str, distribution: str, version: str) -> None:
    rows = kernels.floors_of(parse_release(release), distribution)
    assert [row.distribution_version for row in rows if row.kind == "documented"] == [version]


@pytest.mark.parametrize(
    ("release", "kernel", "bad"),
    [
        ("3.29.6", "6.12.53", True),
        ("3.29.7", "6.12.53", False),
        ("3.30.4", "6.17.5", True),
        ("3.30.5", "6.17.5", False),
        ("3.31.2", "6.18.1", True),
        ("3.31.3", "6.18.1", False),
        ("3.28.5", "6.12.52", False),
        ("3.28.5", "6.12.53", True),
        ("3.32.0", "6.17.5", False),
    ],
)
def test_bad_pairs(release: str, kernel: str, bad: bool) -> None:
    rows = kernels.bad_pairs(parse_release(release), kernels.parse_kernel(kernel))
    assert ("#11302" in {number for row in rows for number in row.upstream}) is bad


def test_feature_floors() -> None:
    rows = {row.feature: str(row.kernel) for row in kernels.features_of(parse_release("3.32"))}
    assert (rows["TCX"], rows["Log rules"], rows["XDP for IPv6"]) == ("6.6.0", "5.16.0", "5.18.0")


@pytest.mark.parametrize(
    ("release", "there", "missing"),
    [
        ("3.26.4", {"tc/<interface>_igr"}, {"tc/globals/old_jumps", "ctlb", "tcx"}),
        ("3.28.4", {"tc/globals/old_jumps"}, {"tc/<interface>_igr", "ctlb"}),
        ("3.28.5", {"ctlb"}, {"tcx"}),
        ("3.30.0", set(), {"ctlb"}),
        ("3.31.0", {"ctlb", "tcx", "tc/globals"}, {"netkit", "calico_connect4"}),
    ],
)
def test_pin_directories(release: str, there: set[str], missing: set[str]) -> None:
    paths = {row.path for row in places.pin_directories_of(parse_release(release))}
    assert there <= paths
    assert not missing & paths


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("cali_v4_ct3", 3),
        ("cali_v4_ct4_old", 4),
        ("cali_v4_ct3_old2", 3),
        ("cali_v4_ct12", 12),
        ("cali_v4_ct_nats", None),
        ("cali_v4_ct", None),
        ("cali_v4_ct3x", None),
        ("cali_v6_ct3", None),
        ("my_cali_v4_ct3", None),
    ],
)
def test_names_that_felix_takes_for_a_conntrack_map(name: str, version: int | None) -> None:
    assert places.parsed_conntrack_version(name) == version


def test_names_that_felix_deletes() -> None:
    deleted = ["cali_v4_ct3", "calico_connect_v4", "xdp_cali_jump3"]
    kept = ["bpfops_ct", "xcali_", "cilium_x"]
    assert [name for name in deleted + kept if places.is_cleaned(name)] == deleted


def test_interface_directories() -> None:
    assert places.is_interface_directory("tc/cali123_igr")
    assert not places.is_interface_directory("tc/globals")
    assert not places.is_interface_directory("tc/a/b_igr")


def test_the_auto_scale_file() -> None:
    def path(release: str) -> list[str]:
        found = places.places_of(parse_release(release))
        return [row.path for row in found if row.purpose == "conntrack_size"]

    assert path("3.29.7") == []
    assert path("3.30.0") == ["/var/lib/calico/bpf_ct_map_size"]


def test_release_lines() -> None:
    assert str(releases.known_releases()) == "3.26 to 3.33"
    assert [line.operator for line in releases.LINES] == [
        "", "1.32.7", "1.34.13", "1.36.16", "1.38.13", "1.40.15", "1.42.3", "",
    ]  # fmt: skip
    assert [line.ipv6 for line in releases.LINES[:3]] == ["none", "single", "dual"]
    assert [line.released for line in releases.LINES] == [True] * 7 + [False]
    assert len(releases.lines_of(parse_range(">=3.28.3,<3.31"))) == 3


def test_every_row_has_a_source() -> None:
    sources = [
        *(row.source for row in kernels.FLOORS),
        *(row.source for row in kernels.FEATURES),
        *(row.source for row in kernels.PAIRS),
        *(row.source for row in places.PIN_DIRECTORIES),
        *(row.source for row in places.DEVICES),
        *(row.source for row in places.PLACES),
        *(row.source for row in places.RESIDUES),
        *(row.source for row in places.FOREIGN),
        *(row.source for row in releases.LINES),
    ]
    assert len(sources) > 60
    assert all(sources)
