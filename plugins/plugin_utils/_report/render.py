# SPDX-License-Identifier: GPL-3.0-or-later
"""The page from the report and the templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import text
from .page import page

PAGE = "report.html.j2"


def render(report: dict[str, Any], templates: Path) -> str:
    """The HTML of a report. Everything that is put in is escaped, whatever template it is in."""
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=text.number,
        size=text.size,
        percent=text.percent,
        counted=text.counted,
        of=text.of_severity,
    )
    return environment.get_template(PAGE).render(page(report))
