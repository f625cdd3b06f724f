# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack maps that are pinned on a node, and the release that the pins show."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from .._calico.detect import Detection, Sightings, detect
from .._calico.maps import rows_named
from .._calico.rows import require_known
from .._calico.versions import VersionSet
from .._errors import BadInputError, RefusedError, SyscallError
from .._kernel import bpffs
from .._kernel.maps import Map
from .._uapi.maps import MapInfo, MapSpec

_CONNTRACK = re.compile(r"cali_v([46])_ct\d+", re.ASCII)


def pinned_maps(pin_dir: str) -> dict[str, MapSpec]:
    """The maps of felix and others pinned in ``pin_dir``, by path.

    A pin that vanishes meanwhile is passed. Raises BadInputError for a directory that is not on a
    bpffs, and RefusedError for a conntrack map of a version that is not known.
    """
    found = {path: info.spec for path, info in maps_in(pin_dir, "pin_dir").items()}
    _require_known_versions(found)
    return found


def maps_in(directory: str, parameter: str) -> dict[str, MapInfo]:
    """The maps pinned below a directory, by path; a pin that vanishes meanwhile is passed.

    Raises BadInputError when the directory is not on a bpffs.
    """
    if not bpffs.on_bpffs(directory):
        raise BadInputError(parameter, directory, "is not on a bpffs, where pins live")
    found = {}
    for path in bpffs.walk(directory):
        try:
            if bpffs.kind_at(path) == "map":
                with Map.open(path, read_only=True) as opened:
                    found[path] = opened.info()
        except (SyscallError, OSError):
            continue
    return found


def family_of(path: str) -> str | None:
    """``ipv4`` or ``ipv6`` for the pin of a conntrack map, None for any other."""
    match = _CONNTRACK.fullmatch(PurePosixPath(path).name)
    return f"ipv{match[1]}" if match else None


def detected(pinned: dict[str, MapSpec], stated: VersionSet | None) -> Detection:
    """The releases that the pins fit. Raises BadInputError for a stated one that is not known."""
    if stated is not None:
        require_known(stated)
    specs = tuple(spec._replace(name=PurePosixPath(path).name) for path, spec in pinned.items())
    return detect(Sightings(pinned_maps=specs), stated)


def _require_known_versions(pinned: dict[str, MapSpec]) -> None:
    # A later version may have other fields in as many bytes.
    for path in pinned:
        if family_of(path) and not rows_named(PurePosixPath(path).name):
            raise RefusedError(f"{path} is a conntrack map of a version that is not known here.")
