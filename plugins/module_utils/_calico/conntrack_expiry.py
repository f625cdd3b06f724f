# SPDX-License-Identifier: GPL-3.0-or-later
"""A release's rules and timers of expiry, from the tables to the values that judge entries."""

from __future__ import annotations

from typing import Callable, Mapping, NamedTuple

from .codecs.conntrack_layout import FirstWord
from .conntrack_liveness import SECOND, Rules, Timeouts
from .conntrack_timeouts import Timer, conntrack_rules_of, timers_of
from .versions import VersionSet


class Expiry(NamedTuple):
    """What decides when entries of a release expire.

    ``certain`` is False when the releases that come into question judge differently; then the
    rules are those of the newest of them.
    """

    rules: Rules
    timeouts: Timeouts
    certain: bool


def expiry_of(
    release: VersionSet,
    configured: Mapping[str, int],
    sysctl: Callable[[str], int | None] = lambda name: None,
) -> Expiry:
    """The rules of ``release``, its timers replaced by those that are ``configured`` (seconds).

    ``sysctl`` reads a file below /proc/sys/net/netfilter, for timers that follow it by default.
    Raises BadInputError for a release that is not known.
    """
    rules = {rule.name: rule.value for rule in conntrack_rules_of(release)}
    timers = {timer.name: timer for timer in timers_of(release)}
    seconds = {name: _seconds(timer, sysctl) for name, timer in timers.items()}
    seconds.update(configured)
    timeouts = Timeouts(*(seconds[name] * SECOND for name in Timeouts._fields))
    judged = Rules(FirstWord(rules["first_word"]), rules["icmpv6_timer"] == "icmp")
    return Expiry(judged, timeouts, len(rules) == len(conntrack_rules_of(release)))


def _seconds(timer: Timer, sysctl: Callable[[str], int | None]) -> int:
    found = sysctl(timer.sysctl) if timer.auto else None
    return timer.default if found is None else found
