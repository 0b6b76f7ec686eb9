"""The page in Debian's Chromium, as a phone, a desktop and a printer show it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium
from left_run import leave_configuration, leave_curves, leave_run, leave_segmenter_run
from PIL import Image

from semimed_monai.reports.page import write_page

BINARY = shutil.which("chromium")
pytestmark = pytest.mark.skipif(BINARY is None, reason="there is no chromium: apt-get install chromium")

PHONE, DESKTOP = 390, 1280

# Elements that reach beyond the window (which a phone would zoom out of: its innerWidth grows); in a table one scrolls.
TOO_WIDE = """width => [...document.querySelectorAll('body *')].filter(element => !element.closest('.wide table')
    && element.getBoundingClientRect().right > width + 0.5).map(element => element.outerHTML.slice(0, 90))"""

PICTURES = "[...document.images].map(image => [image.complete, image.naturalWidth, image.clientWidth, image.alt])"

# WCAG 2: the ratio of relative luminances, for every text that is shown, on the nearest background that is painted.
CONTRASTS = """(() => {
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const luminance = colour => numbers(colour).slice(0, 3).map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor, parts = numbers(colour);
            if (parts.length < 4 || parts[3] === 1) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim()) continue;
        const pair = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
        found.push([(pair[0] + 0.05) / (pair[1] + 0.05), texts.currentNode.data.trim().slice(0, 60)]);
    }
    return found;
})()"""


PICTURED = {"classifier": 2 * 3 + 1 + 3 + 9 + 4, "segmenter": 1 + 3 + 3}
"""A classifier's curves, calibration, shares, cases, training; a segmenter's Dice, cases, training."""

LINKED = {"classifier": 8, "segmenter": 5}


@pytest.fixture(scope="module", params=PICTURED.keys())
def kind(request: pytest.FixtureRequest) -> str:
    """What the page is of."""
    return str(request.param)


@pytest.fixture(scope="module")
def page(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a page can hold, with names that are long or would like to be markup."""
    folder = tmp_path_factory.mktemp("page")
    classes = [
        "normal",
        "partial-thickness_defect_of_the_femoral_cartilage_with_a_long_name",
        "<script>alert(1)</script>",
    ]
    if kind == "segmenter":
        run = leave_segmenter_run(folder / "run", classes=classes, dataset="knees_" * 20)
        leave_curves(run, loss=1.5, segmentation=1.0)
        leave_configuration(run)
        return write_page(run)
    run = leave_run(folder / "run", classes=classes, dataset="knees_" * 20)
    leave_curves(run, loss=1.5, classification=1.0, attention=0.5)
    leave_configuration(run)
    others = [
        leave_run(folder / f"{share}", classes=classes, dataset="knees_" * 20, labelled_share=share)
        for share in (0.3, 1.0)
    ]
    return write_page(run, others=others)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert BINARY is not None
    with chromium(BINARY, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(params=[PHONE, DESKTOP])
def opened(request: pytest.FixtureRequest, browser: Browser, page: Path) -> Browser:
    """The page in a window of each width."""
    browser.said.clear()
    browser.asked.clear()
    browser.open(page, width=request.param)
    return browser


def test_it_renders_and_asks_for_nothing(opened: Browser, page: Path) -> None:
    assert opened.run("document.compatMode") == "CSS1Compat"
    assert opened.run("document.title") == "Grading of knees: evaluation"
    assert opened.said == []
    elsewhere = {address for address in opened.asked if not address.startswith("data:")}
    assert elsewhere == {page.as_uri()}


def test_every_picture_loads_and_is_described(opened: Browser, kind: str) -> None:
    pictures = opened.run(PICTURES)
    assert len(pictures) == PICTURED[kind]
    for complete, natural, shown, alt in pictures:
        assert complete
        assert natural > 0, alt
        assert shown > 100, alt
        assert alt


def test_nothing_is_wider_than_the_window(opened: Browser) -> None:
    assert opened.run(f"({TOO_WIDE})({opened.width})") == []
    assert opened.run("document.documentElement.scrollWidth") <= opened.width


def test_text_has_contrast(opened: Browser) -> None:
    opened.run("document.querySelector('details').open = true")
    contrasts = opened.run(CONTRASTS)
    assert len(contrasts) > 60
    assert [words for ratio, words in contrasts if ratio < 4.5] == []


def test_links_lead_to_sections(opened: Browser, kind: str) -> None:
    targets = opened.run("[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href').slice(1))")
    assert len(targets) == LINKED[kind]
    for target in targets:
        assert opened.run(f"document.getElementById('{target}').querySelector('h2').innerText.length > 3")


def test_its_screenshot_is_not_blank(opened: Browser, tmp_path: Path) -> None:
    opened.screenshot(tmp_path / "page.png")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert pixels.shape[0] > 2000
    written = (pixels < 128).mean()
    assert 0.01 < written < 0.5
    thirds = [(part < 128).mean() for part in np.array_split(pixels, 3)]
    assert min(thirds) > 0.003


def printed(browser: Browser) -> int:
    """The number of pages that a printer would take."""
    return base64.b64decode(browser.do("Page.printToPDF")["data"]).count(b"/Type /Page\n")


def test_in_print_the_whole_recipe_is_there_and_the_links_are_not(browser: Browser, page: Path) -> None:
    browser.open(page, width=718)  # an A4 page within its margins
    browser.run("document.querySelector('pre').textContent = 'a line of the recipe\\n'.repeat(2000)")
    folded = printed(browser)
    browser.run("document.querySelector('details').open = true")
    assert printed(browser) == folded
    browser.run("document.querySelector('details').remove()")
    assert 1 < printed(browser) < folded
    browser.do("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run("document.querySelector('nav').clientHeight") == 0
        assert browser.run("document.documentElement.scrollWidth") <= browser.width
    finally:
        browser.do("Emulation.setEmulatedMedia", media="")


def test_the_measures_find_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<p style='width: 900px; color: #999'>pale</p>"
        "<img src='data:image/png;base64,AAAA' alt=''><script>console.error('mistake')</script>"
    )
    browser.said.clear()
    browser.open(tmp_path / "bad.html", width=PHONE)
    assert any("mistake" in line for line in browser.said)
    assert [words for ratio, words in browser.run(CONTRASTS) if ratio < 4.5] == ["pale"]
    assert browser.run(PICTURES)[0][1] == 0
    assert len(browser.run(f"({TOO_WIDE})({PHONE})")) == 1
