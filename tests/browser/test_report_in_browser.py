# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report in a browser: it renders, asks for nothing, and follows the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chrome import Chrome, executable
from tests.unit.controller.fleet import HOSTILE, everything, finding, html, left
from tests.unit.controller.test_report_page import luminance, poisoned

pytestmark = pytest.mark.skipif(not executable(), reason="there is no Chromium")
COLOUR = "getComputedStyle(document.body).{}"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(chrome: Chrome, tmp_path: Path) -> Chrome:
    """The page on a run with everything in it, on a screen of usual size."""
    chrome.media("light")
    chrome.window(1280, 900)
    return shown(chrome, tmp_path, html(everything()))


def shown(chrome: Chrome, directory: Path, text: str) -> Chrome:
    file = directory / "report.html"
    file.write_text(text, "utf-8")
    chrome.open(file)
    return chrome


def complaints(chrome: Chrome) -> list[str]:
    """What the browser says on its console, and of the page's own faults."""
    said = chrome.named("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [str(one) for one in [*said, *chrome.named("Audits.issueAdded")]]


def requests(chrome: Chrome) -> list[str]:
    """Addresses that were asked for, data in the page itself not counted."""
    asked = chrome.named("Network.requestWillBeSent")
    addresses = [one["params"]["request"]["url"] for one in asked]
    return [address for address in addresses if not address.startswith("data:")]


def visible(chrome: Chrome, selector: str) -> bool:
    return bool(chrome.run(f"document.querySelector({selector!r}).checkVisibility()"))


def test_it_renders_in_standards_mode_without_complaint(page: Chrome) -> None:
    assert page.run("document.compatMode") == "CSS1Compat"
    assert page.run("document.title").startswith("Audit of a fleet")
    assert complaints(page) == []


def test_nothing_but_the_file_is_asked_for(page: Chrome) -> None:
    assert [address.rpartition("/")[2] for address in requests(page)] == ["report.html"]


def test_the_check_of_requests_and_complaints_sees_some(chrome: Chrome, tmp_path: Path) -> None:
    text = html({}).replace("</main>", '<img src="http://192.0.2.1/x.png"></main>')
    shown(chrome, tmp_path, text)
    assert "img-src" in str(complaints(chrome))
    shown(chrome, tmp_path, text.replace("Content-Security-Policy", "X-None"))
    assert "http://192.0.2.1/x.png" in requests(chrome)


def test_a_hostile_name_does_nothing_even_without_the_policy(
    chrome: Chrome, tmp_path: Path
) -> None:
    text = html({f"{name}{HOSTILE}": poisoned(fact) for name, fact in everything().items()})
    shown(chrome, tmp_path, text.replace("Content-Security-Policy", "X-None"))
    # alert() would keep the page from answering.
    assert chrome.run("document.scripts.length") == 0
    assert not chrome.named("Page.javascriptDialogOpening")
    assert HOSTILE in chrome.run("document.querySelector('#fleet tbody th').textContent")


def brightness(chrome: Chrome, style: str) -> float:
    found = chrome.run(COLOUR.format(style))
    red, green, blue = (int(part) for part in found[4:-1].split(", "))
    return luminance(f"#{red:02x}{green:02x}{blue:02x}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colour_scheme(page: Chrome, scheme: str) -> None:
    page.media(scheme)
    paper, ink = brightness(page, "backgroundColor"), brightness(page, "color")
    assert (paper > 0.9 and ink < 0.05) if scheme == "light" else (paper < 0.05 and ink > 0.7)


def test_on_paper_it_is_light_and_unfolded(page: Chrome) -> None:
    assert visible(page, ".top")
    assert not visible(page, ".node .maps")
    page.media("dark", "print")
    assert brightness(page, "backgroundColor") > 0.9
    assert not visible(page, ".top")
    assert visible(page, ".node .maps")
    assert page.pdf().startswith(b"%PDF")


def test_the_bar_stays_in_sight_and_a_link_unfolds_its_node(page: Chrome) -> None:
    page.run("location.hash = document.querySelector('#fleet tbody a').hash")
    assert page.run("scrollY") > 300
    assert page.run("document.querySelector('.top').getBoundingClientRect().top") == 0
    assert page.run("document.querySelector('details.node').open")
    # The name of the node is not hidden behind the bar.
    top = page.run("document.querySelector('details.node summary').getBoundingClientRect().top")
    assert top >= page.run("document.querySelector('.top').getBoundingClientRect().bottom") - 1


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_of_the_window(page: Chrome, width: int) -> None:
    page.window(width, 900)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_three_hundred_nodes_are_quick_to_open(chrome: Chrome, tmp_path: Path) -> None:
    stale = finding("LOG_FILTER_STALE", "warning", "cali1")
    facts = {f"worker-{number}": left(*[stale] * (number % 3)) for number in range(300)}
    shown(chrome, tmp_path, html(facts))
    timing = chrome.run("performance.getEntriesByType('navigation')[0].domComplete")
    assert timing < 5000
    assert chrome.run("document.querySelectorAll('details.node').length") == 300
