"""The catalogue says what is in the zips, does nothing, and can be read in a browser."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, chromium
from PIL import Image

from semimed_monai.zoo import Bundle, build, find_bundles
from semimed_monai.zoo.catalogue.card import card_html
from semimed_monai.zoo.catalogue.page import megabytes
from semimed_monai.zoo.catalogue.phantoms import draw_phantoms

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
BINARY = shutil.which("chromium")
PHONE, DESKTOP = 390, 1280

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'

TOO_WIDE = """width => [...document.querySelectorAll('body *')].filter(element => !element.closest('.wide table')
    && element.getBoundingClientRect().right > width + 0.5).map(element => element.outerHTML.slice(0, 90))"""


VOID = {"br", "img", "link", "meta"}


@dataclass
class Element:
    """Of a page, with the bundle in whose section it is and all the text in it."""

    tag: str
    attributes: dict[str, str | None]
    bundle: str
    text: str = ""


class Page(HTMLParser):
    """Its elements in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        bundle = self._open[-1].bundle if self._open else ""
        if attributes.get("class") == "bundle":
            bundle = attributes["id"] or ""
        self.elements.append(Element(tag, attributes, bundle))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def row(self, bundle: str, title: str) -> str:
        """What the first table of a bundle says of something."""
        rows = [" ".join(row.text.split()) for row in self.all("tr") if row.bundle == bundle]
        return next(row.removeprefix(title).strip() for row in rows if row.startswith(title))


def check_tables(page: Page) -> None:
    """Each has a name of its own, is scrolled by the keyboard, too, and has no header that says nothing."""
    regions = [element for element in page.all("div") if element.attributes.get("class") == "wide"]
    assert {(region.attributes["role"], region.attributes["tabindex"]) for region in regions} == {("region", "0")}
    labels = [region.attributes["aria-label"] for region in regions]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert [table.attributes["aria-label"] for table in page.all("table")] == labels
    assert all(header.text.strip() for header in page.all("th"))


def test_a_card_does_nothing() -> None:
    card = f"# {EVIL}\n\n[a](javascript:alert(1)) [b](https://monai.io) [c](../LICENSE)\n\n![d](http://x/a.png)\n\n{EVIL}\n"
    html = str(card_html(card, {}, "knees"))
    assert not re.search(r"<(script|img)", html)
    assert re.findall(r'<a [^>]*href="([^"]*)"', html) == ["https://monai.io"]
    assert "javascript" not in html
    assert html.startswith("<h3>&lt;script&gt;")


def test_a_card_has_its_tables_and_pictures() -> None:
    card = "| a | b |\n|---|---|\n| 1 | `2` |\n\n![shown](a.png) ![lost](b.png)\n"
    html = str(card_html(card, {"a.png": b"png"}, "knees"))
    assert re.search(r'<div [^>]*class="wide"[^>]*>\s*<table', html)
    assert "<td><code>2</code></td>" in html
    assert 'src="data:image/png;base64,cG5n"' in html
    assert "<span>lost</span>" in html


def test_the_tables_of_a_card_are_told_apart() -> None:
    table = "| | `a` |\n|---|---|\n| 1 | |\n"
    page = Page(str(card_html(f"{table}\n## On *knees*\n\n{table}\ntext\n\n{table}\n## References\n", {}, "dcmt")))
    check_tables(page)
    assert [table.attributes["aria-label"] for table in page.all("table")] == [
        "dcmt: Model card, table 1",
        "dcmt: On knees, table 1",
        "dcmt: On knees, table 2",
    ]
    assert [header.text for header in page.all("th")] == ["a"] * 3
    assert len(page.all("td")) == 9


@pytest.fixture
def page(make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path) -> str:
    folder = make_bundle(
        "knees",
        description=EVIL,
        task="grading",
        image_classes="a slice",
        pred_classes="a grade",
        eval_metrics={"source": "docs/README.md: phantoms", "command": "python -m monai.bundle run y", "auc": 0.9},
        network_data_format={
            "inputs": {"image": {"num_channels": 1, "spatial_shape": ["16*n"], "value_range": [0, 1]}},
            "outputs": {"pred": {"num_channels": 3, "spatial_shape": ["8*n"], "dtype": "float32"}},
        },
    )
    (folder / "docs" / "README.md").write_text(
        f"# {EVIL}\n\n## Performance\n\n```bash\npython -m monai.bundle run x\npython -m monai.bundle run y\n```\n"
    )
    untrained = make_bundle("chests")
    (untrained / "models" / "model.pt").unlink()
    build([Bundle(folder), Bundle(untrained)], tmp_path / "zoo", "http://127.0.0.1:8000", wheel)
    return (tmp_path / "zoo" / "index.html").read_text()


def test_a_bundle_on_the_page(page: str) -> None:
    shown = Page(page)
    assert shown.row("knees", "Task") == "grading"
    assert shown.row("knees", "Input") == "a slice image: 1 × 16*n, 0 to 1"
    assert shown.row("knees", "Output") == "a grade pred: 3 × 8*n, float32"
    made = "docs/README.md: phantoms made by python -m monai.bundle run y"
    assert shown.row("knees", "Metrics") == f"auc 0.9 {made}"
    assert shown.row("chests", "Metrics") == "none measured yet"
    links = [link.attributes["href"] for link in shown.all("a")]
    assert {"knees_v0.1.0.zip", "chests_v0.1.0.zip", "semimed_monai-0.1.0-py3-none-any.whl"} <= set(links)
    assert "<script" not in page
    assert "onerror=alert(1)>" not in page
    assert "<img" not in page


def test_what_there_is_to_download(page: str, tmp_path: Path) -> None:
    shown = Page(page)
    assert ", with weights;" in shown.row("knees", "Download")
    assert ", without weights: train it first;" in shown.row("chests", "Download")
    packed = tmp_path / "zoo" / "knees_v0.1.0.zip"
    with zipfile.ZipFile(packed) as archive:
        unpacked = sum(file.file_size for file in archive.infolist())
    assert megabytes(packed.stat().st_size) != megabytes(unpacked)
    assert f" {megabytes(packed.stat().st_size)}, " in shown.row("knees", "Download")


def test_the_latest_version_is_shown_and_the_others_are_to_be_had(built: Path) -> None:
    page = (built / "index.html").read_text()
    assert page.index('href="knees_v0.10.0.zip"') < page.index('href="knees_v0.9.0.zip"')
    assert "knees 0.10.0" in page  # its card
    assert "knees 0.9.0" not in page


def test_a_drawing_of_phantoms(
    copy_of: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))
    folder = copy_of("cartilage_segmentation", tmp_path)
    kept = (folder / "docs" / "phantoms.png").read_bytes()
    with Image.open(draw_phantoms(Bundle(folder))) as picture:
        assert picture.size == (6 * 130 + 2, 132)
        drawn = np.asarray(picture)
    shown = np.asarray(Image.open(folder / "docs" / "phantoms.png"))
    assert drawn.std() > 20
    assert np.array_equal(drawn, shown)
    assert len(kept) > 1000


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this project's bundles, without the time that a wheel takes."""
    folder = tmp_path_factory.mktemp("catalogue")
    wheel = folder / "semimed_monai-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    bundles = find_bundles([file.parents[1] for file in sorted(BUNDLES.glob("*/configs/metadata.json"))])
    build(bundles, folder / "zoo", "http://127.0.0.1:8000", wheel)
    return folder / "zoo" / "index.html"


def test_every_bundle_s_figures_have_their_own_command(catalogue: Path) -> None:
    page = Page(catalogue.read_text())
    for file in BUNDLES.glob("*/configs/metadata.json"):
        metrics = json.loads(file.read_text())["eval_metrics"]
        made = f"{metrics.pop('source')} made by {metrics.pop('command')}"
        scores = " ".join(f"{name} {value}" for name, value in metrics.items())
        assert page.row(file.parts[-3], "Metrics") == f"{scores} {made}"


def test_the_page_can_be_read_without_eyes_and_mouse(catalogue: Path) -> None:
    page = Page(catalogue.read_text())
    check_tables(page)
    assert len(page.all("table")) > 30
    summaries = [summary.text for summary in page.all("summary")]
    titles = [json.loads(file.read_text())["name"] for file in BUNDLES.glob("*/configs/metadata.json")]
    assert sorted(summaries) == sorted(f"Model card of {title}" for title in titles)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if BINARY is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with chromium(BINARY, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(params=[PHONE, DESKTOP])
def opened(request: pytest.FixtureRequest, browser: Browser, catalogue: Path) -> Browser:
    browser.said.clear()
    browser.asked.clear()
    browser.open(catalogue, width=request.param)
    browser.run("document.querySelectorAll('details').forEach(element => element.open = true)")
    return browser


def test_it_renders_and_asks_for_nothing(opened: Browser, catalogue: Path) -> None:
    assert opened.run("document.compatMode") == "CSS1Compat"
    assert opened.said == []
    assert {address for address in opened.asked if not address.startswith("data:")} == {catalogue.as_uri()}


def test_every_bundle_is_there_with_picture_card_and_download(opened: Browser, catalogue: Path) -> None:
    names = [
        bundle.name for bundle in find_bundles([file.parents[1] for file in BUNDLES.glob("*/configs/metadata.json")])
    ]
    found: dict[str, Any] = opened.run(
        """Object.fromEntries([...document.querySelectorAll('section.bundle')].map(section => [section.id, {
            picture: section.querySelector('figure img').naturalWidth,
            download: section.querySelector('a.download').getAttribute('href'),
            card: section.querySelector('.model-card').innerText.length}]))"""
    )
    assert sorted(found) == sorted(names)
    for shown in found.values():
        assert shown["picture"] > 100
        assert shown["card"] > 1000
        assert (catalogue.parent / shown["download"]).is_file()
    assert opened.run("[...document.images].filter(image => !image.naturalWidth || !image.alt).length") == 0


def test_nothing_is_wider_than_the_window(opened: Browser) -> None:
    assert opened.run(f"({TOO_WIDE})({opened.width})") == []
    assert opened.run("document.documentElement.scrollWidth") <= opened.width


def test_its_screenshot_is_not_blank(opened: Browser, tmp_path: Path) -> None:
    opened.run("document.querySelectorAll('details').forEach(element => element.open = false)")
    opened.screenshot(tmp_path / "page.png")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert pixels.shape[0] > 2000
    assert 0.001 < (pixels < 128).mean() < 0.6  # of a page whose cards may still lie open, mostly white
