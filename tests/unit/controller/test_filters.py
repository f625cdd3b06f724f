# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as Ansible calls them: Ansible's own types, bad options, documentation."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.bpfops.calico.plugins.filter import query as query_file
from ansible_collections.bpfops.calico.plugins.filter import report as report_file
from ansible_collections.bpfops.calico.plugins.filter import report_html as html_file
from ansible_collections.bpfops.calico.plugins.filter import report_json as json_file
from ansible_collections.bpfops.calico.plugins.plugin_utils._plain import plain
from tests.unit.controller.fleet import TEMPLATES, everything, left

DATA = {"maps": [{"name": "cali_v4_ct3", "fill": 0.9}, {"name": "cali_jump3", "fill": None}]}
query = query_file.query
report = report_file.report
report_html = html_file.report_html
report_json = json_file.report_json


class Odd(str):
    """As Ansible marks text: a str that libraries do not take for one."""

    def __str__(self) -> str:
        return self


def test_query_picks() -> None:
    assert query(DATA, "maps[?fill > `0.5`].name") == ["cali_v4_ct3"]
    assert query(DATA, "nothing.here") is None


def test_query_calls_functions_on_values_that_ansible_has_marked() -> None:
    marked = wrap_var({"maps": [{"name": Odd("cali_v4_ct3")}]})
    assert query(marked, Odd("maps[?contains(name, 'ct')].name")) == ["cali_v4_ct3"]


@pytest.mark.parametrize("expression", ["maps[", "", "unheard(maps)", "abs(maps)"])
def test_query_says_what_is_wrong_with_an_expression(expression: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is no JMESPath") as caught:
        query(DATA, expression)
    assert repr(expression) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_query_wants_text() -> None:
    with pytest.raises(AnsibleFilterError, match="expression: 3 is no text"):
        query(DATA, 3)


def test_query_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(AnsibleFilterError, match=r"needs the Python library jmespath on the contr"):
        query(DATA, "maps")


def test_plain_leaves_no_type_of_ansible() -> None:
    value = {"a": [Odd("x"), 1, 2.5, True, None, ("y",)], Odd("b"): {1: 2}}
    made = plain(value)
    assert made == {"a": ["x", 1, 2.5, True, None, ["y"]], "b": {"1": 2}}
    assert type(made["a"][0]) is str
    assert [type(key) for key in made] == [str, str]


def test_report_and_page() -> None:
    made = report(wrap_var(everything()), generated="2026-01-31T12:00:00Z", title="Night shift")
    assert (made["format"], made["version"], made["title"]) == (
        "bpfops.calico.report",
        1,
        "Night shift",
    )
    page = report_html(json.loads(json.dumps(made)), str(TEMPLATES))
    assert "<h1>Night shift</h1>" in page
    assert report_html(report_json(made), str(TEMPLATES)) == page
    assert json.loads(report_json(made)) == made


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: report([1], generated="x"), "report: [1] is no dictionary of nodes."),
        (lambda: report({}, generated=5), "generated: 5 is no text."),
        (
            lambda: report_html([], "x"),
            "report_html: this is no bpfops.calico.report of version 1.",
        ),
        (lambda: report_json("{"), "report_json: this is no bpfops.calico.report of version 1."),
        (
            lambda: report_html({"format": "bpfops.calico.report", "version": 2}, "x"),
            "report_html: this is no bpfops.calico.report of version 1.",
        ),
        (
            lambda: report_html(report({}, generated="x"), "/nowhere"),
            "templates: '/nowhere' does not hold report.html.j2.",
        ),
    ],
)
def test_bad_input_is_one_sentence(call: Any, says: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        call()
    assert str(caught.value) == says


def is_template(text: str) -> bool:
    """Whether Ansible would render the text when it meets it in a variable."""
    try:
        from ansible.template import is_trusted_as_template
    except ImportError:  # ansible-core before 2.19 renders all that is not marked
        return not hasattr(text, "__UNSAFE__")
    return bool(is_trusted_as_template(text))


def test_what_comes_from_nodes_is_not_taken_for_a_template() -> None:
    made = report({"{{ lookup('pipe', 'id') }}": left()}, generated="x")
    texts = [made["nodes"][0]["name"], report_json(made), report_html(made, str(TEMPLATES))]
    assert not [text for text in texts if is_template(text)]
    assert not is_template(query(made, "nodes[0].name"))


@pytest.mark.parametrize("file", [query_file, report_file, html_file, json_file])
def test_the_documentation_names_the_options(file: Any) -> None:
    said = yaml.safe_load(file.DOCUMENTATION)
    name = Path(file.__file__).stem
    parameters = inspect.signature(file.FilterModule().filters()[name]).parameters
    options = [option for option in said["options"] if option != "_input"]
    assert sorted(options) == sorted(list(parameters)[1:])
    for option in options:
        default = parameters[option].default
        documented = said["options"][option].get("default", inspect.Parameter.empty)
        assert documented == default
