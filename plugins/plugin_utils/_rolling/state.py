# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier run has left of itself on a node."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = "bpfops.calico.run"
VERSION = 1


def run_id(operation: str, parameters: Any) -> str:
    """The same for runs that do the same."""
    text = json.dumps([operation, parameters], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def earlier(text: str, run: str) -> dict[str, Any]:
    """How far the same run has come before, by the file's ``text``.

    ``earlier`` is ``none``, ``running`` (it was cut off), ``failed`` or ``finished``; ``ended`` and
    ``step`` say when, and what it did last. A file of another run, of another version, or one
    that is not whole counts as none.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not _is_of(found, run):
        return {"run": run, "earlier": "none", "began": "", "ended": "", "step": ""}
    steps = [one for one in found.get("steps") or [] if isinstance(one, dict)]
    return {
        "run": run,
        "earlier": found["outcome"],
        "began": str(found.get("began") or ""),
        "ended": str(found.get("ended") or ""),
        "step": str(steps[-1].get("name") or "") if steps else "",
    }


def _is_of(found: dict[str, Any], run: str) -> bool:
    mark = (found.get("format"), found.get("version"), found.get("run"))
    known = found.get("outcome") in ("running", "failed", "finished")
    return mark == (FORMAT, VERSION, run) and known
