# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that the lab's nodes take from the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.cluster.felix_config import config_name, effective, rendered

SIZE = "BPFMapSizeConntrack"


def felix(name: str, created: int = 0, annotations: Any = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{created}Z"}
    return {"metadata": {**metadata, "annotations": annotations}, "spec": spec}


def of(*objects: Any, release: str = "3.29.7", **environment: str) -> dict[str, str]:
    return effective(environment, objects, "node1", {"rack": "a"}, release)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("bpfEnabled", "BPFEnabled"),
        ("bpfConntrackMode", "BPFConntrackCleanupMode"),
        ("bpfMapSizePerCpuConntrack", "BPFMapSizePerCPUConntrack"),
        ("logSeverityScreen", "LogSeverityScreen"),
    ],
)
def test_names(field: str, name: str) -> None:
    assert config_name(field) == name


def test_a_node_overrides_the_default_and_the_environment_both() -> None:
    default, own = (
        felix("default", bpfMapSizeConntrack=1),
        felix("node.node1", bpfMapSizeConntrack=2),
    )
    other = felix("node.node2", bpfMapSizeConntrack=3)
    assert of(default)[SIZE] == "1"
    assert of(own, default, other)[SIZE] == "2"
    assert of(own, default, FELIX_BPFMAPSIZECONNTRACK="4")[SIZE] == "4"


def test_a_selector_counts_from_3_32_and_the_oldest_wins() -> None:
    default = felix("default", bpfMapSizeConntrack=1)
    late = felix("late", 2, nodeSelector="rack == 'a'", bpfMapSizeConntrack=3)
    early = felix("early", 1, nodeSelector="has(rack) && all()", bpfMapSizeConntrack=2)
    other = felix("other", 0, nodeSelector="rack == 'b'", bpfMapSizeConntrack=4)
    objects = (default, late, early, other)
    assert of(*objects)[SIZE] == "1"
    assert of(*objects, release="3.32.1")[SIZE] == "2"
    own = felix("node.node1", bpfMapSizeConntrack=5)
    assert of(*objects, own, release="3.32.1")[SIZE] == "5"


def test_annotations_override_fields_and_empty_values_count_for_nothing() -> None:
    annotations = {"config.projectcalico.org/BPFLogLevel": "Debug", "other/BPFEnabled": "true"}
    default = felix("default", annotations=annotations, bpfLogLevel="Off", bpfEnabled=False)
    assert of(default) == {"BPFLogLevel": "Debug", "BPFEnabled": "false"}
    own = felix("node.node1", bpfLogLevel="")
    assert of(default, own)["BPFLogLevel"] == "Debug"


def test_what_is_at_its_default_does_not_change_the_file() -> None:
    nothing = rendered({})
    assert nothing == "[global]\nBPFEnabled = false\n"
    assert rendered({SIZE: "512000", "BPFLogLevel": "Off"}) == nothing
    assert rendered({SIZE: "1000", "BPFLogFilters": "all=tcp"}) == (
        "[global]\nBPFEnabled = false\nBPFLogFilters = all=tcp\nBPFMapSizeConntrack = 1000\n"
    )
