# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of the FelixConfiguration tables."""

from __future__ import annotations

from typing import NamedTuple

from ..versions import VersionSet


class ConfigField(NamedTuple):
    """A field of FelixConfiguration with one default.

    ``default`` is the value that holds when the field is not set, an empty string for none.
    ``values`` lists what an enumeration takes (``any_case``: felix does not mind the case);
    ``minimum`` and ``maximum`` bound a number. Without any of them the facts give no rule.
    ``certain`` is False where the first release that has the field was inferred.
    """

    name: str
    releases: VersionSet
    kind: str
    default: str | int | bool
    source: str
    values: tuple[str, ...] = ()
    any_case: bool = False
    minimum: int | None = None
    maximum: int | None = None
    note: str = ""
    certain: bool = True
