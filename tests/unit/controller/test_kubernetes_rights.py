# SPDX-License-Identifier: GPL-3.0-or-later
"""The ClusterRole of the documentation grants every right that a run asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.rights import needed

DOCS = Path(__file__).resolve().parents[3] / "docs" / "kubernetes.md"
STEPS = ["configure", "restart", "dataplane", "kube_proxy", "drain", "image", "pull", "lease"]


def granted() -> set[tuple[str, str, str]]:
    """Verb, resource and group of each right in the documented role."""
    (role,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", DOCS.read_text(), re.DOTALL)
    return {
        (verb, resource, group)
        for rule in yaml.safe_load(role)["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("group", ["crd.projectcalico.org", "projectcalico.org"])
def test_what_is_asked_for_is_documented(step: str, group: str) -> None:
    asked = {(one.verb, one.resource, one.group) for one in needed(group, True, [step])}
    assert asked - granted() == set()


def test_images_ask_for_pods_of_their_own() -> None:
    before = {str(one) for one in needed("projectcalico.org", True, ["image"])}
    assert "create pods" not in before
    assert "create pods" in {str(one) for one in needed("projectcalico.org", True, ["pull"])}
