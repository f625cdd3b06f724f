# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a task on the conntrack maps, checked as far as that goes without the node."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from .._calico.releases import known_releases
from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError
from . import inputs
from .conntrack_query import timeouts
from .map_task import MAX_U32

MOST_DELTA_PASSES = 8
"""Passes before the swap end earlier, as soon as they gain nothing on the writers."""

KEEP, LOWER, REMOVE = "keep", "lower", "remove"
"""What becomes of an auto-scale file that asks for more than the task."""


class Task(NamedTuple):
    """The task. ``families`` None: those that are there; ``per_cpu`` entries for each CPU.

    ``release`` is the running or the coming one, ``running`` the one whose programs write the
    table now; None where the kernel shall tell. ``timeouts`` are those configured, in seconds.
    """

    state: str
    bpffs: str
    pin_dir: str
    families: tuple[int, ...] | None = None
    max_entries: int | None = None
    per_cpu: int | None = None
    release: VersionSet | None = None
    running: VersionSet | None = None
    autoscale: str = KEEP
    autoscale_path: str = ""
    records_dir: str = ""
    downgrade: bool = False
    timeouts: Mapping[str, int] = {}
    timeout: float = 0
    batch_size: int = 256
    kernel_step: int = 1024

    @property
    def own_dir(self) -> str:
        """Where this collection keeps references to maps; felix reads no name in it."""
        return f"{self.bpffs}/bpfops"


def task(params: Mapping[str, Any]) -> Task:
    """The parameters as a value. Raises BadInputError for one that can never work."""
    bpffs = params["bpffs"].rstrip("/") or "/"
    pin_dir = (params["pin_dir"] or f"{bpffs}/tc/globals").rstrip("/")
    for name, path in (
        ("bpffs", bpffs),
        ("pin_dir", pin_dir),
        ("autoscale_path", params["autoscale_path"]),
        ("records_dir", params["records_dir"]),
    ):
        inputs.directory_path(name, path)
    for name, size in (("max_entries", params["max_entries"]), ("per_cpu", params["per_cpu"])):
        if size is not None:
            inputs.in_range(name, size, 1, MAX_U32)
    if params["max_entries"] is not None and params["per_cpu"] is not None:
        raise BadInputError("per_cpu", params["per_cpu"], "takes the place of max_entries")
    if params["timeout"] < 0:
        raise BadInputError("timeout", params["timeout"], "is not 0 seconds or more")
    return Task(
        state=params["state"],
        bpffs=bpffs,
        pin_dir=pin_dir,
        families=_families(params["families"]),
        max_entries=params["max_entries"],
        per_cpu=params["per_cpu"],
        release=_release("calico_version", params["calico_version"]),
        running=_release("running_version", params["running_version"]),
        autoscale=params["autoscale_file"],
        autoscale_path=params["autoscale_path"],
        records_dir=params["records_dir"].rstrip("/"),
        downgrade=_downgrade(params),
        timeouts=timeouts(params["timeouts"] or {}),
        timeout=params["timeout"],
        batch_size=params["batch_size"],
        kernel_step=params["kernel_step"],
    )


def _families(names: list[str] | None) -> tuple[int, ...] | None:
    return None if names is None else tuple(sorted({int(name[-1]) for name in names}))


def _release(parameter: str, text: str | None) -> VersionSet | None:
    if text is None:
        return None
    release, known = parse_release(text, parameter), known_releases()
    if not known.covers(release):
        raise BadInputError(parameter, text, f"is not among the releases {known}")
    return release


def _downgrade(params: Mapping[str, Any]) -> bool:
    if params["downgrade"] and params["calico_version"] is None:
        raise BadInputError("downgrade", True, "needs calico_version, the release to go back to")
    return bool(params["downgrade"])


def copy_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """How to copy, by the names of the executor's options. Raises BadInputError."""
    for parameter, high in (("batch_size", 16384), ("threads", 64)):
        inputs.in_range(parameter, params[parameter], 1, high)
    inputs.in_range("kernel_step", params["kernel_step"], 64, 524288)
    names = ("batch_size", "threads", "kernel_step")
    return {"delta_passes": MOST_DELTA_PASSES, **{name: params[name] for name in names}}
