# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of Calico's selector language that chooses nodes by their labels.

``has(key)``, ``==``, ``!=``, ``in``, ``not in``, ``!``, ``&&``, ``||``, parentheses and ``all()``.
Whatever else Calico knows is refused, since a wrong guess would name a wrong value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ...module_utils._errors import RefusedError

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"[^"]*"|'[^']*')
      | (?P<sign>==|!=|&&|\|\||[!(){},])
      | (?P<word>[A-Za-z0-9_./-]+)
    )""",
    re.VERBOSE,
)


def parse(selector: str) -> Test:
    """The test that a selector is; an empty one chooses no node. Raises RefusedError."""
    if not selector.strip():
        return lambda labels: False
    return _Parser(selector).whole()


class _Parser:
    """Recursive descent: alternatives of conjunctions of terms."""

    def __init__(self, selector: str) -> None:
        self.selector = selector
        self.tokens = self._tokens()
        self.place = 0

    def _tokens(self) -> list[str]:
        found, position, end = [], 0, len(self.selector.rstrip())
        while position < end:
            match = _TOKEN.match(self.selector, position)
            if not match:
                raise self._strange(self.selector[position:].strip())
            found.append(match[0].strip())
            position = match.end()
        return found

    def _strange(self, where: str) -> RefusedError:
        return RefusedError(
            f"The selector {self.selector!r} is not understood at {where or 'its end'!r}; "
            "has(), all(), ==, !=, in, not in, !, && and || are."
        )

    def _next(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1] if self.place <= len(self.tokens) else ""

    def _take(self, wanted: str) -> bool:
        if self.tokens[self.place : self.place + 1] != [wanted]:
            return False
        self.place += 1
        return True

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._strange(" ".join(self.tokens[self.place :]))

    def whole(self) -> Test:
        test = self._alternatives()
        if self.place < len(self.tokens):
            raise self._strange(" ".join(self.tokens[self.place :]))
        return test

    def _alternatives(self) -> Test:
        tests = [self._conjunction()]
        while self._take("||"):
            tests.append(self._conjunction())
        return lambda labels: any(test(labels) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._term()]
        while self._take("&&"):
            tests.append(self._term())
        return lambda labels: all(test(labels) for test in tests)

    def _term(self) -> Test:
        if self._take("!"):
            test = self._term()
            return lambda labels: not test(labels)
        if self._take("("):
            test = self._alternatives()
            self._expect(")")
            return test
        key = self._next()
        if key in ("has", "all") and self._take("("):
            return self._call(key)
        return self._comparison(self._key(key))

    def _call(self, name: str) -> Test:
        key = self._key(self._next()) if name == "has" else ""
        self._expect(")")
        return (lambda labels: key in labels) if key else (lambda labels: True)

    def _key(self, token: str) -> str:
        if not token or not re.fullmatch(r"[A-Za-z0-9_./-]+", token):
            raise self._strange(token)
        return token

    def _comparison(self, key: str) -> Test:
        sign = self._next()
        if sign == "==":
            value = self._text()
            return lambda labels: labels.get(key) == value
        # As in Calico, a node without the label has a value other than any.
        if sign == "!=":
            value = self._text()
            return lambda labels: labels.get(key) != value
        inverse = sign == "not"
        if inverse:
            sign = self._next()
        if sign != "in":
            raise self._strange(f"{key} {sign}".strip())
        values = self._set()
        return lambda labels: (labels.get(key) in values) != inverse

    def _set(self) -> frozenset[str | None]:
        self._expect("{")
        values: list[str | None] = []
        while not self._take("}"):
            if values:
                self._expect(",")
            values.append(self._text())
        return frozenset(values)

    def _text(self) -> str:
        token = self._next()
        if token[:1] not in ("'", '"') or not token:
            raise self._strange(token)
        return token[1:-1]
