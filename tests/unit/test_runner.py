# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: the order of the steps, and every expected error as a failure."""

from __future__ import annotations

import errno
import json
import sys
from typing import Any, Callable

import pytest

pytest.importorskip("ansible.module_utils.basic", reason="the runner's tests need ansible-core")

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils import _runner
from ansible_collections.bpfops.calico.plugins.module_utils._runner import Result, Steps

Work = Callable[[Any, bool], Result]


def answer(
    work: Work,
    capsys: Any,
    monkeypatch: Any,
    rights: Callable[[], None] = lambda: None,
    **keywords: Any,
) -> dict[str, Any]:
    """What the module prints when it does ``work``."""

    class Module:
        def __init__(self, **keywords: Any) -> None:
            self.params: dict[str, Any] = {"state": "read"}
            self.check_mode = False
            self.warnings: list[str] = []

        def warn(self, text: str) -> None:
            self.warnings.append(text)

        def fail_json(self, **result: Any) -> None:
            print(json.dumps({"failed": True, **result}))
            raise SystemExit(1)

        def exit_json(self, **result: Any) -> None:
            print(json.dumps({**result, "warned": self.warnings}))
            raise SystemExit(0)

    monkeypatch.setattr(_runner, "AnsibleModule", Module)
    monkeypatch.setattr(_runner, "require_bpf_rights", rights)
    with pytest.raises(SystemExit):
        _runner.run_module(work, {}, **keywords)
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    "error",
    [
        errors.BadInputError("path", "x", "is relative"),
        errors.SyscallError("bpf(BPF_OBJ_GET)", errno.EPERM, "not permitted"),
        errors.UnverifiedError("Reading back shows nothing."),
        errors.MissingLibraryError("pyroute2", "Work on tc"),
        PermissionError(errno.EACCES, "Permission denied", "/run/x"),
        MemoryError("out of memory"),
    ],
)
def test_expected_errors_become_failures(
    error: Exception, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(params: Any, check_mode: bool) -> Result:
        raise error

    result = answer(work, capsys, monkeypatch)
    assert result["failed"]
    assert result["msg"]
    assert "Traceback" not in result["msg"]


def test_a_missing_library_is_one_sentence(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(params: Any, check_mode: bool) -> Result:
        raise errors.MissingLibraryError("pyroute2", "Work on tc")

    message = answer(work, capsys, monkeypatch)["msg"]
    assert message == (
        f"Work on tc needs the Python library pyroute2 on the node, for {sys.executable}; "
        "install it with the distribution's package python3-pyroute2 or with pip."
    )


def test_rights_are_checked_before_the_work(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise errors.RefusedError("BPF maps need root or CAP_BPF.")

    def work(params: Any, check_mode: bool) -> Result:
        raise AssertionError("the work was begun")

    result = answer(work, capsys, monkeypatch, refuse)
    assert result["msg"] == "BPF maps need root or CAP_BPF."
    result = answer(
        lambda params, check: Result(),
        capsys,
        monkeypatch,
        refuse,
        needs_bpf=lambda params: params["state"] != "read",
    )
    assert "msg" not in result


def test_changed_follows_from_the_actions(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Result(("Did it",), {"a": 1}, {"a": 2}, {"fact": 3}, ("careful",))
    result = answer(lambda params, check: done, capsys, monkeypatch)
    assert result == {
        "changed": True,
        "actions": ["Did it"],
        "findings": [],
        "diff": {"before": {"a": 1}, "after": {"a": 2}},
        "fact": 3,
        "warned": ["careful"],
    }
    result = answer(lambda params, check: Result(), capsys, monkeypatch)
    assert result == {"changed": False, "actions": [], "findings": [], "warned": []}


class Log:
    """Steps that write down when they are called."""

    def __init__(self, actions: tuple[str, ...] = ("act",), missing: tuple[str, ...] = ()) -> None:
        self.calls: list[str] = []
        self.actions = actions
        self.missing = missing

    def steps(self) -> Steps:
        return Steps(
            observe=lambda: self.calls.append("observe"),
            plan=self.plan,
            execute=self.execute,
            unfinished=self.unfinished,
            show=lambda seen, planned: Result(tuple(planned.actions)),
        )

    def plan(self, seen: Any) -> Log:
        self.calls.append("plan")
        return self

    def execute(self, planned: Any) -> dict[str, Any]:
        self.calls.append("execute")
        return {"done": True}

    def unfinished(self, planned: Any) -> tuple[str, ...]:
        self.calls.append("verify")
        return self.missing


class NoLock:
    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, timeout: float) -> NoLock:
        return self

    def __enter__(self) -> None:
        self.log.calls.append("lock")

    def __exit__(self, *error: object) -> None:
        self.log.calls.append("unlock")


@pytest.mark.parametrize(
    ("log", "check_mode", "expected"),
    [
        (Log(), True, "observe plan"),
        (Log(), False, "lock observe plan execute verify unlock"),
        (Log(actions=()), False, "lock observe plan unlock"),
    ],
)
def test_order_of_the_steps(
    log: Log, check_mode: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runner, "node_lock", NoLock(log))
    result = _runner.converge(log.steps(), check_mode, 0)
    assert " ".join(log.calls) == expected
    assert result.facts == ({"done": True} if "execute" in expected else {})


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_negative_timeout_is_refused(check_mode: bool) -> None:
    log = Log()
    with pytest.raises(errors.BadInputError, match="lock_timeout: -1 is not 0 seconds or more"):
        _runner.converge(log.steps(), check_mode, -1)
    assert log.calls == []


def test_what_reading_back_does_not_show_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(missing=("max_entries 5 -> 7",))
    monkeypatch.setattr(_runner, "node_lock", NoLock(log))
    with pytest.raises(errors.UnverifiedError, match="max_entries 5 -> 7"):
        _runner.converge(log.steps(), False, 0)
    assert log.calls[-1] == "unlock"
