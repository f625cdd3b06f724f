# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of the collection: one root, so that one place turns them into a module failure."""

from __future__ import annotations

import errno
import sys
from typing import Any, Mapping

ENOTSUPP = 524
"""A kernel-internal errno (include/linux/errno.h) that bpf(2) returns; libc has no name for it."""


def errno_name(number: int) -> str:
    """The symbolic name of an errno, with the one that bpf(2) adds to those of libc."""
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, str(number))


class BpfopsError(Exception):
    """Root of all errors raised on purpose; the text is one sentence for the operator."""

    def as_failure(self) -> dict[str, Any]:
        """The arguments for fail_json."""
        return {"msg": str(self)}


class SyscallError(BpfopsError):
    """A system call or netlink request failed.

    The text carries the command, its object, the errno name and what that errno means there.
    """

    def __init__(self, call: str, number: int, meaning: str, subject: str = "") -> None:
        self.call = call
        self.errno = number
        self.subject = subject
        self.meaning = meaning
        target = f" on {subject}" if subject else ""
        super().__init__(f"{call}{target} failed with {errno_name(number)}: {meaning}.")

    def as_failure(self) -> dict[str, Any]:
        return {"msg": str(self), "call": self.call, "errno": errno_name(self.errno)}


class UnsupportedError(BpfopsError):
    """This kernel, machine or Python cannot do it; the text names what would be needed."""


class RefusedError(BpfopsError):
    """The operation is possible but unsafe or contradictory, and nothing was changed.

    ``code`` is the finding code where there is one.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        self.code = code
        super().__init__(message)

    def as_failure(self) -> dict[str, Any]:
        failure = {"msg": str(self)}
        if self.code:
            failure["code"] = self.code
        return failure


class BusyError(RefusedError):
    """Another run works on the node; nothing speaks against trying again."""


class BadInputError(RefusedError):
    """A parameter has a value that can never work."""

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        self.parameter = parameter
        super().__init__(f"{parameter}: {value!r} {allowed}.")


class UnverifiedError(BpfopsError):
    """The work was done or tried, and reading back did not show the wanted result.

    ``facts`` are what the module would have returned.
    """

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        self.facts = dict(facts or {})
        super().__init__(message)

    def as_failure(self) -> dict[str, Any]:
        return {**self.facts, "msg": str(self)}


class MissingLibraryError(UnsupportedError):
    """A Python library that only some operations need is not on the node."""

    def __init__(self, library: str, purpose: str) -> None:
        self.library = library
        super().__init__(
            f"{purpose} needs the Python library {library} on the node, for {sys.executable}; "
            f"install it with the distribution's package python3-{library} or with pip."
        )
