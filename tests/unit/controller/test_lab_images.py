# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of the lab's kubelet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.lab.cluster.images import Images, full_name


def pod(*images: str, **more: Any) -> dict[str, Any]:
    first, *rest = [{"name": str(n), "image": image, **more} for n, image in enumerate(images)]
    return {"spec": {"initContainers": rest, "containers": [first]}}


def test_a_node_has_what_its_pods_have_brought(tmp_path: Path) -> None:
    fault = tmp_path / "fault"
    images = Images(fault)
    assert images.trouble(pod("calico/node:v3.29.7", "web")) == ""
    names = [one["names"][1] for one in images.listed()]
    assert names == ["docker.io/calico/node:v3.29.7", "docker.io/library/web:latest"]
    assert images.listed()[0]["names"][0].startswith("docker.io/calico/node@sha256:")
    assert "v9.9.9" in images.trouble(pod("calico/node:v9.9.9"))
    fault.touch()
    assert images.trouble(pod("docker.io/calico/node:v3.29.7")) == ""
    assert "ErrImagePull" in images.trouble(pod("calico/node:v3.29.7", imagePullPolicy="Always"))
    assert "calico/cni:v3.29.7" in images.trouble(pod("web", "calico/cni:v3.29.7"))
    again = Images(fault)
    again.remember(images.listed())
    assert again.listed() == images.listed()
    fault.unlink()
    assert images.trouble(pod("calico/cni:v3.29.7")) == ""


def test_no_more_than_fifty_are_listed(tmp_path: Path) -> None:
    images = Images(tmp_path / "fault")
    for number in range(60):
        images.trouble(pod(f"web:{number}"))
    listed = images.listed()
    assert (len(listed), listed[0]["names"][1]) == (50, full_name("web:59"))
