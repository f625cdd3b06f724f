# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a node's conntrack maps before an operation."""

from __future__ import annotations

from .gate_row import RESIZE, RESTARTS, UPGRADE, Gate

ROWS: tuple[Gate, ...] = (
    Gate(
        "CT_MISSING",
        (RESIZE,),
        "there_is_a_map",
        "Each family that is asked for has a conntrack map.",
        "",
        "maps 6.1",
    ),
    Gate(
        "CT_SIZE",
        (RESIZE,),
        "size_is_loadable",
        "The release loads its programs against a conntrack map of that size.",
        "preflight_allow_size_mismatch",
        "maps 5.5; ops 5b",
    ),
    Gate(
        "CT_SHRINK", (RESIZE,), "entries_fit", "The live entries fit in.", "", "maps 5.3; ops 0.6"
    ),
    Gate(
        "CT_SHRINK",
        (RESIZE,),
        "entries_have_room",
        "There is a quarter more room than live entries, so that none is evicted by the copy.",
        "preflight_allow_little_headroom",
        "maps 1.2; ops 9.1",
    ),
    Gate(
        "CT_PER_CPU",
        (RESIZE,),
        "no_size_per_cpu",
        "No size for each CPU outweighs the wanted one.",
        "preflight_allow_per_cpu_size",
        "maps 1.4; ops 1.5",
    ),
    Gate(
        "CT_AUTOSCALE_FILE",
        (RESIZE,),
        "no_larger_file",
        "No auto-scale file asks for a larger map than the wanted one.",
        "preflight_allow_larger_auto_scale",
        "maps 1.4; ops 0.7",
    ),
    Gate(
        "CT_MEMORY",
        (RESIZE,),
        "memory_suffices",
        "There is memory for the new maps beside the old ones.",
        "preflight_allow_memory_shortage",
        "maps 1.2; ops 1.5",
    ),
    Gate(
        "CT_OLD_PIN",
        RESTARTS,
        "no_old_pin",
        "No conntrack map of an unfinished resize is pinned beside.",
        "preflight_allow_old_pin",
        "maps 5.2",
    ),
    Gate(
        "CT_SUPERSEDED",
        (RESIZE, UPGRADE),
        "no_older_conntrack",
        "No conntrack map of an older release is pinned beside.",
        "preflight_allow_other_conntrack",
        "maps 5.7",
    ),
    Gate(
        "CT_NEWER",
        (RESIZE, UPGRADE),
        "no_newer_conntrack",
        "No conntrack map of a newer release is pinned beside.",
        "preflight_allow_other_conntrack",
        "maps 5.4",
    ),
    Gate(
        "CT_LAYOUT",
        (RESIZE, UPGRADE),
        "layout_is_known",
        "The conntrack maps have the layout of a known release.",
        "",
        "maps 0.12, 6.2",
    ),
    Gate(
        "CT_DELTA_V4",
        (RESIZE,),
        "both_families_settle",
        "felix would settle the conntrack maps of both families itself.",
        "",
        "maps 5.6",
    ),
)
