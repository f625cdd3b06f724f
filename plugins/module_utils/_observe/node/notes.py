# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings that are gathered on the way, so that nothing stops the walk."""

from __future__ import annotations

import errno
from types import TracebackType

from ..._errors import BpfopsError, SyscallError

_SHOWN = 20


class Notes:
    """Sentences for the operator; of many alike the first are kept."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._left_out = 0

    def add(self, sentence: str) -> None:
        """Keep a sentence, once."""
        if sentence in self.sentences:
            return
        if len(self.sentences) < _SHOWN:
            self.sentences.append(sentence)
        else:
            self._left_out += 1

    def reading(self, what: str) -> Reading:
        """A block whose failure becomes a warning; what vanished meanwhile too."""
        return Reading(self, what)

    def result(self) -> tuple[str, ...]:
        """All sentences."""
        more = (f"{self._left_out} further warnings were left out.",) if self._left_out else ()
        return (*self.sentences, *more)


class Reading:
    """The block of Notes.reading: goes on behind its end after an expected error."""

    def __init__(self, notes: Notes, what: str) -> None:
        self.notes = notes
        self.what = what

    def __enter__(self) -> None:
        """Nothing to begin with."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, (BpfopsError, OSError)):
            return False
        if is_gone(error):
            self.notes.add(f"{self.what} vanished while it was looked at.")
        else:
            self.notes.add(f"{self.what} was left out: {error}")
        return True


def is_gone(error: Exception) -> bool:
    """Whether an object was not there any more."""
    if isinstance(error, (SyscallError, OSError)):
        return error.errno in (errno.ENOENT, errno.ENODEV)
    return False
