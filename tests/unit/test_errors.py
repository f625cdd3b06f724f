# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors tell the operator the command, the errno and what it means there."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.meanings import meaning
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.syscall import command_error
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import Cmd


def test_a_failed_command_says_all_three() -> None:
    error = command_error(Cmd.OBJ_GET, errno.ENOENT, "/sys/fs/bpf/x")
    assert str(error) == (
        "bpf(BPF_OBJ_GET) on /sys/fs/bpf/x failed with ENOENT: nothing is pinned there."
    )
    assert error.as_failure() == {
        "msg": str(error),
        "call": "bpf(BPF_OBJ_GET)",
        "errno": "ENOENT",
    }


@pytest.mark.parametrize(
    ("number", "name"), [(errno.EPERM, "EPERM"), (524, "ENOTSUPP"), (4000, "4000")]
)
def test_names_of_errnos(number: int, name: str) -> None:
    assert errors.errno_name(number) == name


def test_the_same_errno_means_different_things() -> None:
    assert meaning(Cmd.MAP_UPDATE_ELEM, errno.E2BIG) == "the map is full"
    assert "larger than the kernel allows" in meaning(Cmd.MAP_CREATE, errno.E2BIG)
    assert meaning(Cmd.MAP_FREEZE, errno.EINVAL).startswith("the kernel does not know")
    assert meaning(Cmd.MAP_FREEZE, errno.EFBIG) == "File too large"


def test_refusals_carry_their_code() -> None:
    assert errors.RefusedError("No.", "CT_SIZE").as_failure() == {"msg": "No.", "code": "CT_SIZE"}
    assert errors.RefusedError("No.").as_failure() == {"msg": "No."}
    assert str(errors.BadInputError("path", "x", "is relative")) == "path: 'x' is relative."
    assert "python3-pyroute2" in str(errors.MissingLibraryError("pyroute2", "Work on tc"))
