# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that was run, for the reader, without secrets."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

HIDDEN = "HIDDEN"
"""A word that a shell needs no quotes for."""

_SECRET = re.compile(
    r"pass(?!ive|ed)|secret|token|credential|api_?key|private_?key(?!_file)|auth(?!or)",
    re.IGNORECASE,
)
_OPTION = "--extra-vars"


def command(arguments: Sequence[str]) -> str:
    """What to type; values of extra variables whose names look like secrets are ``HIDDEN``."""
    shown = [os.path.basename(arguments[0])] if arguments else []
    rest = list(arguments[1:])
    while rest:
        word = rest.pop(0)
        if word in ("-e", _OPTION) and rest:
            shown += [word, variables(rest.pop(0))]
        elif word.startswith(f"{_OPTION}="):
            shown.append(f"{_OPTION}={variables(word.partition('=')[2])}")
        elif re.match(r"-e[^-]", word):
            shown.append("-e" + variables(word[2:]))
        else:
            shown.append(word)
    return shlex.join(shown)


def variables(text: str) -> str:
    """The value of ``--extra-vars`` without secrets: key=value, JSON, YAML or a file's name."""
    if text.startswith("@"):
        return text
    if text.lstrip().startswith(("{", "[")):
        return _data(text)
    try:
        words = shlex.split(text)
    except ValueError:
        return _unless_secret(text)
    if not any(_SECRET.search(word.partition("=")[0]) for word in words):
        return text
    return shlex.join(_word(word) for word in words)


def _word(word: str) -> str:
    name, equals, _ = word.partition("=")
    return f"{name}={HIDDEN}" if equals and _SECRET.search(name) else word


def _data(text: str) -> str:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return _unless_secret(text)
    hidden = masked(found)
    return text if hidden == found else json.dumps(hidden, default=str)


def _unless_secret(text: str) -> str:
    return HIDDEN if _SECRET.search(text) else text


def masked(value: Any) -> Any:
    """A copy in which what looks like a secret by its name is ``HIDDEN``."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if _SECRET.search(str(key)) else masked(one) for key, one in value.items()
        }
    return [masked(one) for one in value] if isinstance(value, list) else value
