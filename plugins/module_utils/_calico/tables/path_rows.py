# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways from release to release that are known to break."""

from __future__ import annotations

from ..rows import since
from .gate_row import Path

PATHS: tuple[Path, ...] = (
    Path("UPGRADE_VXLAN", since(">=3.30,<3.30.7"), since(">=3.31"), "ops 0.14, 3.4"),
    Path(
        "UPGRADE_VXLAN",
        since("<3.30"),
        since(">=3.31"),
        "ops 0.14, 3.4 (the fix is in 3.30.7; that older lines lack it is inferred)",
        certain=False,
    ),
    Path("VXLAN_VNI", since(">=3.26"), since(">=3.31,<3.31.4"), "ops 0.14, 3.4"),
    Path("TC_MISMATCH", since(">=3.26"), since(">=3.28,<3.28.5 | >=3.29,<3.29.5"), "ops 3.4, 5d"),
    Path("CT_NOT_CARRIED", since("<3.31"), since(">=3.31"), "maps 5.7"),
    Path("CT_CREATED_AS_RST", since("<3.30"), since("3.30"), "maps 0.3, 3.2"),
)
"""What breaks when nodes go from a release of ``running`` to one of ``target``."""
