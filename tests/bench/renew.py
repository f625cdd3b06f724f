# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the parts that were measured alone into the page of a whole run."""

from __future__ import annotations

from collections.abc import Collection

from tests.bench.report import NOT_MEASURED, table

_FIGURES = "Figures to reach"
TITLES = {
    "plays": "A task with nothing to do",
    "passes": "Passes",
    "delays": "Delays on the CPU in use",
    "switches": "Flows at the switch",
    "copies": "Copy of the whole map",
    "audits": "An audit",
}
"""The sections of the page by the part of the benchmark that they show."""


def renewed(old: str, new: str, parts: Collection[str]) -> str:
    """The old page with the new sections of ``parts``, and their figures."""
    before, after = _sections(old), _sections(new)
    for title in (TITLES[part] for part in TITLES if part in parts):
        before[title] = after[title]
    before[_FIGURES] = _figures(before[_FIGURES], after[_FIGURES])
    parts_of_page = [f"## {title}\n\n{text}" if title else text for title, text in before.items()]
    return "\n\n".join(parts_of_page) + "\n"


def _sections(page: str) -> dict[str, str]:
    first, *others = page.strip().split("\n## ")
    found = {"": first.strip()}
    for one in others:
        title, _, text = one.partition("\n")
        found[title] = text.strip()
    return found


def _figures(old: str, new: str) -> str:
    known = {row[0]: row for row in _rows(old)}
    heads, *rows = [row for row in _rows(new) if set(row[0]) != {"-"}]
    fresh = [known.get(row[0], row) if row[-1] == NOT_MEASURED else row for row in rows]
    return table(heads, fresh)


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
