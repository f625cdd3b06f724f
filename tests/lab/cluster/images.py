# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that a node's kubelet has, and pulls."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.lab.cluster import pod_status
from tests.lab.cluster.api import Object

LISTED = 50  # as many as kubelet lists by default
BACK_OFF = "Back-off pulling image"


class Images:
    """By name, the newest first; nothing can be pulled while the file ``fault`` exists."""

    def __init__(self, fault: Path) -> None:
        self._fault = fault
        self._names: list[str] = []

    def remember(self, listed: list[Object]) -> None:
        """Take over what the node has listed before a restart of kubelet."""
        self._names = [one["names"][-1] for one in listed]

    def trouble(self, pod: Object) -> str:
        """Pull what a pod needs; why an image cannot be had, or an empty text."""
        spec = pod["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            image = container["image"]
            if full_name(image) in self._names and container.get("imagePullPolicy") != "Always":
                continue
            if pod_status.is_unknown(image):
                return f'{BACK_OFF} "{image}"'
            if self._fault.exists():
                return f'{BACK_OFF} "{image}": ErrImagePull: the lab lets no image be pulled'
            self._names = [full_name(image), *(n for n in self._names if n != full_name(image))]
        return ""

    def listed(self) -> list[Object]:
        """``status.images`` of the node: a digest, made up, and the tag."""
        return [{"names": [_digest(name), name], "sizeBytes": 1} for name in self._names[:LISTED]]


def full_name(image: str) -> str:
    """With registry and tag, as a container runtime has it."""
    host, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in host and ":" not in host:
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _digest(name: str) -> str:
    made_up = hashlib.sha256(name.encode()).hexdigest()
    return f"{name.rpartition(':')[0]}@sha256:{made_up}"
