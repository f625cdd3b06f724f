# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point of ``make bench``: measures, prints the page, and writes it.

``ONLY="audits plays"`` measures these parts alone and renews their sections of the page.
The status says whether everything could run, whatever the figures are.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.bench import maps
from tests.bench.audits import measure_audits
from tests.bench.copies import measure_copies
from tests.bench.lateness import measure_delays
from tests.bench.passes import measure_passes
from tests.bench.plays import measure_plays
from tests.bench.renew import TITLES, renewed
from tests.bench.report import page
from tests.bench.resizes import measure_switches
from tests.bench.results import Results
from tests.bench.scale import FULL, QUICK
from tests.bench.tools import (
    BUILD,
    REPOSITORY,
    BenchError,
    compile_programs,
    fingerprint,
    say,
)


def main() -> int:
    """Run the stages that can run; the exit status."""
    quick = os.environ.get("QUICK", "") not in ("", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results(QUICK if quick else FULL)
    parts = os.environ.get("ONLY", "").split() or list(TITLES)
    try:
        _measure(results, parts)
    except KeyboardInterrupt:
        say("bench: interrupted.")
        return 130
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        return 1
    text = page(results, "make bench QUICK=1" if quick else "make bench")
    # The figures of a quick run, or of a part, are not worth keeping.
    partial = quick or results.failed
    target = BUILD / "benchmarks.md" if partial else REPOSITORY / "docs" / "benchmarks.md"
    if len(parts) < len(TITLES) and not partial:
        text = renewed(target.read_text("utf-8"), text, parts)
    target.write_text(text, "utf-8")
    print(text)
    say(f"Written to {target.relative_to(REPOSITORY)}.")
    return 1 if results.failed else 0


def _measure(results: Results, parts: list[str]) -> None:
    unknown = sorted(set(parts) - set(TITLES))
    if unknown:
        raise BenchError(f"ONLY: {unknown[0]!r} is none of {', '.join(TITLES)}.")
    if os.geteuid():
        raise BenchError("The benchmark needs root: it creates BPF maps and mounts a bpffs.")
    compile_programs()
    code = fingerprint()
    if "plays" in parts:
        _stage(results, "plays", measure_plays)  # the lab has to be in the machine's own mounts
    maps.enter_private_mounts()
    for name, measure in (
        ("passes", measure_passes),
        ("delays", measure_delays),
        ("switches", measure_switches),
        ("copies", measure_copies),
        ("audits", measure_audits),
    ):
        if name in parts:
            _stage(results, name, measure)
    if fingerprint() != code:
        results.failed.append("The code of the collection changed while it was measured.")


def _stage(results: Results, name: str, measure: Callable[..., Any]) -> None:
    try:
        measure(results.scale, getattr(results, name))
    except (BenchError, OSError) as error:
        say(f"bench: {name}: {error}")
        results.failed.append(f"{name}: {error}")


if __name__ == "__main__":
    sys.exit(main())
