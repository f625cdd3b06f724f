# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates of the preflight as the page shows them."""

from __future__ import annotations

from typing import Any

from . import text


def gate_view(gate: dict[str, Any]) -> dict[str, Any]:
    """A gate with every key."""
    return {
        "code": text.value(gate.get("code")),
        "passed": bool(gate.get("passed")),
        "severity": text.value(gate.get("severity")),
        "says": text.value(gate.get("says")),
        "evidence": text.texts(gate.get("evidence")),
        "upstream": [text.upstream(one) for one in text.texts(gate.get("upstream"))],
        "remedy": text.texts(gate.get("remedy")),
        "override": text.texts(gate.get("override")),
    }
