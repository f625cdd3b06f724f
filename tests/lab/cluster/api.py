# SPDX-License-Identifier: GPL-3.0-or-later
"""The few calls to the Kubernetes API that the lab needs, over the standard library.

Paths are relative to the server, such as ``api/v1/nodes/node1``.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
Object = dict[str, Any]


class ApiError(LabError):
    """The server refused; ``status`` is HTTP's, or 0 when it did not answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """The server of a kubeconfig that the lab wrote (JSON, with a bearer token)."""

    def __init__(self, kubeconfig: Path, context: str = "admin", agent: str = "lab") -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        users = {user["name"]: user["user"] for user in config["users"]}
        self._server = cluster["server"]
        self._headers = {
            "Authorization": f"Bearer {users[context]['token']}",
            "Accept": "application/json",
            "User-Agent": agent,
        }
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def request(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Any:
        """One call; its JSON answer, or the text of one that is none."""
        request = urllib.request.Request(
            f"{self._server}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={**self._headers, "Content-Type": kind},
            method=method,
        )
        shown = f"{method} {path}"
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                text = answer.read().decode()
                is_json = answer.headers.get_content_type() == "application/json"
        except urllib.error.HTTPError as error:
            raise ApiError(f"{shown}: {_message(error)}", error.code) from error
        except OSError as error:
            raise ApiError(f"{shown}: the API server does not answer: {error}", 0) from error
        return json.loads(text) if is_json else text

    def get(self, path: str) -> Any:
        """An object or a list; ApiError with status 404 when there is none."""
        return self.request("GET", path)

    def find(self, path: str) -> Object | None:
        """An object, or None when there is none."""
        try:
            found: Object = self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def items(self, path: str) -> list[Object]:
        """The objects of a list; none where the resource itself is unknown."""
        found = self.find(path)
        return list(found["items"]) if found else []

    def merge(self, path: str, body: Object) -> Any:
        """Merge patch."""
        return self.request("PATCH", path, body, MERGE)

    def apply(self, path: str, body: Object, manager: str = "lab") -> Any:
        """Make or change an object to what ``body`` says, as `kubectl apply --server-side` does."""
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true"})
        return self.request("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {text.strip()}"
