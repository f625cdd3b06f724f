# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels and distributions: what eBPF mode needs, and pairs that are known to break."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

from .._errors import BadInputError
from .rows import Table
from .tables import kernel_rows
from .tables.kernel_rows import FeatureFloor, KernelFloor, KernelPair, KernelVersion
from .versions import VersionSet

FLOORS = Table(kernel_rows.FLOORS, lambda row: (row.distribution, row.kind))
FEATURES = Table(kernel_rows.FEATURES, lambda row: row.feature)
PAIRS = Table(kernel_rows.PAIRS)

_FAMILIES = (("ubuntu", "Ubuntu"), ("rhel", "RedHat"), ("centos", "RedHat"))
"""Ids of os-release and the distribution of KernelFloor that they stand for."""

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-(\d+))?", re.ASCII)


class Distribution(NamedTuple):
    """What os-release tells: ``like`` are the distributions that it descends from."""

    id: str
    version_id: str
    like: tuple[str, ...] = ()


def parse_kernel(text: str) -> KernelVersion:
    """A kernel version from what uname -r prints. Raises BadInputError."""
    match = _RELEASE.match(text)
    if not match:
        raise BadInputError("kernel", text, "is not a kernel release such as 5.15.0-91-generic")
    major, minor, patch, build = (int(part or 0) for part in match.groups())
    return KernelVersion(major, minor, patch, build)


def distribution_named(identifier: str | None, like: Iterable[str] = ()) -> str:
    """The name that rows of floors have for an ID and ID_LIKE of os-release; empty for most."""
    names = (identifier, *like)
    return next((row for one, row in _FAMILIES if one in names), "")


def known_kernel(text: str) -> KernelVersion | None:
    """The version in what uname -r prints; None where there is none."""
    try:
        return parse_kernel(text)
    except BadInputError:
        return None


def oldest_kernel(release: VersionSet, distribution: str = "") -> KernelVersion | None:
    """The oldest kernel that the documentation of some of ``release`` allows."""
    rows = floors_of(release, distribution)
    kernels = (row.kernel for row in rows if row.kind == "documented" and row.kernel)
    return min(kernels, default=None)


def floors_of(release: VersionSet, distribution: str = "") -> tuple[KernelFloor, ...]:
    """The kernels that some of ``release`` needs.

    ``distribution`` as in Ansible's ansible_os_family or ansible_distribution; rows of the
    distribution hold instead of the generic ones of the same kind.
    """
    rows = FLOORS.of(release)
    own = [row for row in rows if distribution and row.distribution == distribution]
    kinds = {row.kind for row in own}
    return (*own, *(row for row in rows if not row.distribution and row.kind not in kinds))


def features_of(release: VersionSet) -> tuple[FeatureFloor, ...]:
    """Features that need a newer kernel than the release itself."""
    return FEATURES.of(release)


def bad_pairs(release: VersionSet, kernel: KernelVersion) -> tuple[KernelPair, ...]:
    """What is known to break on this kernel with some of ``release``."""
    return tuple(
        row for row in PAIRS.of(release) if any(low <= kernel < high for low, high in row.kernels)
    )
