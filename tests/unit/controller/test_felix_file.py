# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that reads felix's configuration file."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.felix_file import FilterModule

felix_file = FilterModule().filters()["felix_file"]


def values(text: str, *fields: str) -> dict[str, str | None]:
    return {one["field"]: one["value"] for one in felix_file(text, fields)}


def test_fields_are_named_as_the_file_names_them() -> None:
    fields = ["bpfMapSizeConntrack", "bpfMapSizePerCpuConntrack", "logSeverityScreen"]
    assert [one["option"] for one in felix_file("", fields)] == [
        "BPFMapSizeConntrack",
        "BPFMapSizePerCPUConntrack",
        "LogSeverityScreen",
    ]


@pytest.mark.parametrize("name", ["BPFMapSizeConntrack", "bpfmapsizeconntrack"])
def test_the_case_of_a_name_does_not_matter(name: str) -> None:
    assert values(f"[global]\n {name} = 5 \n", "bpfMapSizeConntrack") == {
        "bpfMapSizeConntrack": "5"
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[global]\n",
        "[other]\nBPFMapSizeConntrack = 5\n",
        "[global]\n#BPFMapSizeConntrack=5\n",
    ],
)
def test_what_is_not_set_is_null(text: str) -> None:
    assert values(text, "bpfMapSizeConntrack") == {"bpfMapSizeConntrack": None}


def test_a_percent_sign_is_nothing_special() -> None:
    assert values("[global]\nLogPrefix = 5%d\n", "logPrefix") == {"logPrefix": "5%d"}


def test_a_text_that_is_no_configuration_is_one_sentence() -> None:
    with pytest.raises(AnsibleFilterError, match=r"is no felix.cfg: [^\n]+$"):
        felix_file("stray\n", ["bpfEnabled"])
