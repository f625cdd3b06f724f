# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that knows AnsibleModule: runs the work and turns errors into failures."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence

from ansible.module_utils.basic import AnsibleModule

from ._errors import BadInputError, BpfopsError, UnverifiedError
from ._kernel.lock import node_lock
from ._kernel.proc import require_bpf_rights


class Result(NamedTuple):
    """What a module gives back; ``changed`` follows from the actions."""

    actions: tuple[str, ...] = ()
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = {}
    warnings: tuple[str, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The arguments for exit_json, which takes warnings another way."""
        result = {
            **self.facts,
            "changed": bool(self.actions),
            "actions": list(self.actions),
            "findings": list(self.findings),
        }
        if self.before is not None or self.after is not None:
            result["diff"] = {"before": self.before or {}, "after": self.after or {}}
        return result


def run_module(
    work: Callable[[Mapping[str, Any], bool], Result],
    argument_spec: Mapping[str, Any],
    needs_bpf: Callable[[Mapping[str, Any]], bool] = lambda params: True,
    **keywords: Any,
) -> None:
    """Run ``work(params, check_mode)`` and exit; every expected error becomes a failure.

    The rights to use BPF are asked for first, unless ``needs_bpf(params)`` says otherwise.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **keywords)
    try:
        if needs_bpf(module.params):
            require_bpf_rights()
        result = work(module.params, module.check_mode)
    except BpfopsError as error:
        module.fail_json(**error.as_failure())
    except (OSError, MemoryError) as error:
        module.fail_json(msg=f"{type(error).__name__}: {error}.")
    for warning in result.warnings:
        module.warn(warning)
    module.exit_json(**result.as_dict())


class Steps(NamedTuple):
    """What a declarative module does; ``converge`` fixes the order.

    ``plan`` is pure. ``unfinished`` reads the node again and says what is not as planned.
    """

    observe: Callable[[], Any]
    plan: Callable[[Any], Any]
    execute: Callable[[Any], Mapping[str, Any]]
    unfinished: Callable[[Any], Sequence[str]]
    show: Callable[[Any, Any], Result]


def converge(steps: Steps, check_mode: bool, lock_timeout: float) -> Result:
    """Observe, plan, execute, verify, show; check mode stops after the plan and takes no lock.

    Raises RefusedError when the plan or the lock is refused, UnverifiedError when reading back
    does not show what was planned.
    """
    if lock_timeout < 0:
        raise BadInputError("lock_timeout", lock_timeout, "is not 0 seconds or more")
    if check_mode:
        seen = steps.observe()
        return steps.show(seen, steps.plan(seen))
    with node_lock(lock_timeout):
        seen = steps.observe()
        plan = steps.plan(seen)
        facts = steps.execute(plan) if plan.actions else {}
        missing = steps.unfinished(plan) if plan.actions else ()
        if missing:
            raise UnverifiedError(f"Done, but reading back shows {'; '.join(missing)}.")
        result = steps.show(seen, plan)
        return result._replace(facts={**result.facts, **facts})
