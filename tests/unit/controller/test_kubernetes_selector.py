# SPDX-License-Identifier: GPL-3.0-or-later
"""Calico's selectors, as far as the control understands them."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.selector import parse

LABELS = {"zone": "a", "node.kubernetes.io/pool": "big", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", False),
        ("all()", True),
        ("! all()", False),
        ("has(zone)", True),
        ("has(empty)", True),
        ("!has(zone)", False),
        ("has(other)", False),
        ("zone == 'a'", True),
        ('zone=="b"', False),
        ("other == 'a'", False),
        ("zone != 'b'", True),
        ("zone != 'a'", False),
        ("other != 'a'", True),
        ("zone in {'a', 'b'}", True),
        ("zone in {'b'}", False),
        ("zone in {}", False),
        ("other in {'a'}", False),
        ("zone not in {'a'}", False),
        ("zone not in {'b', 'c'}", True),
        ("other not in {'a'}", True),
        ("node.kubernetes.io/pool == 'big'", True),
        ("zone == 'b' || has(zone) && zone == 'a'", True),
        ("(zone == 'a' || has(other)) && !has(zone)", False),
        ("zone == 'a' || has(other) && !has(zone)", True),
        ("!(has(other) || zone == 'b') && has(empty)", True),
        ("!!has(zone)", True),
    ],
)
def test_nodes_are_chosen(selector: str, chosen: bool) -> None:
    assert parse(selector)(LABELS) is chosen


@pytest.mark.parametrize(
    ("selector", "where"),
    [
        ("zone starts with 'a'", "zone starts"),
        ("zone contains 'a'", "zone contains"),
        ("global()", "global ("),
        ("zone == a", "a"),
        ("zone ==", "its end"),
        ("zone = 'a'", "= 'a'"),
        ("has(zone", "its end"),
        ("has()", ")"),
        ("zone in ('a')", "( 'a' )"),
        ("zone in {'a' 'b'}", "'b' }"),
        ("zone not like 'a'", "zone like"),
        ("has(zone) has(zone)", "has ( zone )"),
        ("zone == 'a", "'a"),
        ("&& has(zone)", "&&"),
    ],
)
def test_what_is_not_understood_is_refused(selector: str, where: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(selector)
    assert repr(selector) in str(caught.value)
    assert f"at {where!r}" in str(caught.value)
