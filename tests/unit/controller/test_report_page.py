# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: well-formed, escaped, linked, readable without help, and not too large."""

from __future__ import annotations

import re
import time
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.plugin_utils._report.page import anchors
from tests.unit.controller import fleet
from tests.unit.controller.fleet import (
    HOSTILE,
    TEMPLATES,
    everything,
    finding,
    html,
    interface,
    left,
    pinned,
    snapshot,
    step,
)

VOID = {"meta", "link", "br"}
ELEMENTS = (
    "html head title style body a header div nav p span svg symbol path circle rect use main "
    "section h1 h2 h3 h4 time code ul li b small i dl dt dd table caption thead tbody tr th td "
    "article details summary footer"
)


class Page(HTMLParser):
    """What a browser would see, and what does not fit together."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.headings: list[int] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"{name} is never closed" for name in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def named(self) -> bool:
        """Whether the first title is that of the page."""
        return next(name for name, _ in self.elements if name in ("title", "body")) == "title"

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"{tag} closes what is not open, at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def poisoned(value: Any) -> Any:
    """The same with a hostile name in every text and in every free key."""
    if isinstance(value, str):
        return value if value.startswith("2026-") else value + HOSTILE
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    if isinstance(value, dict):
        return {key: poisoned(one) for key, one in value.items()}
    return value


FLEETS = {
    "empty": {},
    "healthy": {"node1": left(), "node2": left()},
    "everything": everything(),
    "unreached": {"node1": None},
    "bare": {"node1": {"snapshot": {"findings": []}}, "node2": {"steps": [{}], "gates": [{}]}},
    "hostile": {f"{name}{HOSTILE}": poisoned(fact) for name, fact in everything().items()},
}


@pytest.fixture(params=FLEETS, scope="module")
def page(request: pytest.FixtureRequest) -> Page:
    return Page(html(FLEETS[request.param]))


def test_every_element_is_known_and_closed(page: Page) -> None:
    assert not page.faults
    assert not {name for name, _ in page.elements} - VOID - {*ELEMENTS.split()}


def test_nothing_runs_and_nothing_is_loaded(page: Page) -> None:
    for name, attributes in page.elements:
        assert not [one for one in attributes if one.startswith("on") or one in ("src", "srcset")]
        target = attributes.get("href", "#")
        assert (
            target.startswith("#")
            or (name, target) == ("link", "data:,")
            or (name == "a" and re.fullmatch(r"https://github\.com/[\w./-]+/issues/\d+", target))
        )
    (policy,) = (one for one in page.all("meta") if "http-equiv" in one)
    assert policy["content"].startswith("default-src 'none';")
    assert "script" not in policy["content"]


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = Counter(one["id"] for _, one in page.elements if "id" in one)
    assert not [name for name, count in ids.items() if count > 1]
    assert {one["href"][1:] for one in page.all("a") if one["href"][0] == "#"} <= ids.keys()


def test_it_can_be_read_by_a_screen_reader(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert page.named and len(page.all("main")) == page.headings.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(page.headings))
    assert all(one.get("scope") for one in page.all("th"))
    assert all("aria-hidden" in one or "aria-label" in one for one in page.all("svg"))
    assert len(page.all("summary")) == len(page.all("details"))


def test_a_hostile_name_is_text_and_stands_everywhere() -> None:
    page = Page(html(FLEETS["hostile"]))
    for name in ("node1", "cali49", "cali_v4_ct3", "CT_SIZE", "sized", "connect4", "192.0.2.1"):
        assert name + HOSTILE in page.text


def test_the_title_and_the_command_are_escaped() -> None:
    about = fleet.ABOUT | {"title": HOSTILE, "command": HOSTILE, "generated": HOSTILE}
    made = fleet.render(fleet.build({}, about), TEMPLATES)
    assert "<script" not in made
    assert Page(made).text.count(HOSTILE) >= 4


def test_what_the_page_says_of_a_run() -> None:
    page = Page(html(everything()))
    for said in (
        "51 findings (1 critical, 50 warnings) on 2 of 4 nodes. 1 node could not be looked at.",
        "This release cannot load it.",
        "preflight_allow_size",
        "Seen on 1 node, 50 objects",
        "and 47 more",
        "and 10 more of these codes, in the JSON file",
        "95.0 %",
        "Map that a resize left beside",
        "Link that is attached to nothing",
        "max entries before",
        "30.0 s",
        "not looked at",
    ):
        assert said in page.text
    findings = page.text[: page.text.index("and 47 more")]
    assert "cali2 Something" in findings
    assert "cali3 Something" not in findings


def test_a_full_map_and_a_map_without_a_fill_level() -> None:
    made = html({"node1": {"snapshot": snapshot(maps=[pinned("a", 950), pinned("b", None)])}})
    assert made.count('class="fill full"') == 2  # in the fleet's table and in the node's own
    assert 'width="95.0"' in made


def test_severity_is_told_by_shape_and_word_as_well_as_colour() -> None:
    page = Page(html({"node1": left(finding("X", "warning", "y"))}))
    assert [one for one in page.all("use") if one["href"] == "#s-warning"]
    assert "s-warning" in {one["id"] for one in page.all("symbol")}
    assert "1 warning" in page.text


def test_what_is_urgent_comes_first() -> None:
    facts = {
        "a": left(),
        "b": left(finding("X", "warning", "y")),
        "c": left(finding("X", "critical", "y")),
        "d": None,
        "e": left(result="failed"),
        "f": left(result="not_started"),
    }
    made = html(facts)
    details = made[made.index('id="details"') :]
    assert re.findall(r"<h3>(\w)</h3>", details) == ["e", "d", "f", "c", "b", "a"]


def test_a_timeline_only_where_there_is_a_course() -> None:
    one, two = [step("a", 0, 5)], [step("a", 6, 7), step("b", 7, 8)]
    short = html({"node1": left(steps=one), "node2": left(steps=one)})
    assert 'id="timeline"' not in short
    long = html({"node1": left(steps=two), "node2": left(steps=one), "node3": None})
    lanes = long[long.index('id="timeline"') : long.index('id="details"')]
    assert re.findall(r">(node\d)</a>", lanes) == ["node2", "node1"]


def test_anchors_are_safe_stable_and_their_own() -> None:
    found = anchors(["node/1", "node 1", "node-1", "é", "node1.example.net"])
    assert len(set(found.values())) == len(found)
    assert found["node1.example.net"] == "node-node1.example.net"
    assert all(re.fullmatch(r"[\w.-]+", one, re.ASCII) for one in found.values())


def test_three_hundred_nodes_with_250_pods_each() -> None:
    pods = [interface(f"cali{number:011x}") for number in range(250)]
    stale = [finding("LOG_FILTER_STALE", "warning", one["name"]) for one in pods]
    maps = [pinned(f"cali_map{number}") for number in range(30)]
    healthy = {"snapshot": snapshot(interfaces=pods, maps=maps)}
    bad = {"snapshot": snapshot(*stale, interfaces=pods, maps=maps)}
    facts = {f"worker-{number}": bad if number % 10 == 0 else healthy for number in range(300)}
    facts |= {f"worker-{number}": {} for number in range(0, 300, 50)}
    began = time.monotonic()
    made = html(facts)
    assert time.monotonic() - began < 20
    assert len(made) < 12_000_000
    page = Page(made)
    assert "6,000 findings (6,000 warnings) on 24 of 300 nodes. 6 nodes could" in page.text
    # None of 300 nodes is unfolded, and neither is a finding on many.
    assert not [one for one in page.all("details") if "open" in one]


def colours() -> dict[str, dict[str, str]]:
    """Colours by scheme: light, dark and print."""
    base = (TEMPLATES / "style_base.css.j2").read_text("utf-8")
    light, dark = base.split("@media (prefers-color-scheme: dark)", 1)
    found = {"light": light, "dark": dark.split("* {", 1)[0]}
    found["print"] = (TEMPLATES / "style_print.css.j2").read_text("utf-8")
    return {
        scheme: dict(re.findall(r"--([a-z]+): (#[0-9a-f]+);", text))
        for scheme, text in found.items()
    }


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(one * 2 for one in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: str) -> None:
    found = colours()[scheme]
    inks = ("ink", "muted", "link", "critical", "warning", "info", "ok", "changed")
    for ink in inks:
        lighter, darker = sorted((luminance(found[ink]), luminance(found["page"])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, found[ink])
