"""A bundle's model card as HTML that does nothing: no markup of its own, no scripts, no file but its pictures.

Looked for: Markdown, which TensorBoard brings along, reads tables and fences; it hands on HTML as it stands, which is
switched off here, and any address of a link, which is looked at here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor
from markupsafe import Markup

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

_BELOW = 2
"""The page has headings of its own, so a card's stand two deeper."""


def card_html(text: str, files: Mapping[str, bytes], name: str) -> Markup:
    """The card.

    >>> card_html("# Overview <script>", {}, "knees")
    Markup('<h3>Overview &lt;script&gt;</h3>')

    Args:
        text: docs/README.md.
        files: what lies beside it, by name.
        name: the bundle's, by which its tables are told from those of other cards.
    """
    markdown = Markdown(extensions=["tables", "fenced_code"])
    markdown.preprocessors.deregister("html_block")
    markdown.inlinePatterns.deregister("html")
    markdown.treeprocessors.register(_Tamed(files, name), "tamed", 0)
    return Markup(markdown.convert(text))  # noqa: S704 - HTML of the card's is escaped, links are tamed


def data_uri(name: str, content: bytes) -> str:
    """A picture as an address that is the picture."""
    kind = PICTURES[name[name.rindex(".") :].lower()]
    return f"data:{kind};base64,{b64encode(content).decode()}"


def is_picture(name: str) -> bool:
    """Whether a browser shows it."""
    return name.lower().endswith(tuple(PICTURES))


class _Tamed(Treeprocessor):  # type: ignore[misc]
    """Headings go deeper, tables can be scrolled, pictures are within, links lead to the web or nowhere."""

    def __init__(self, files: Mapping[str, bytes], name: str) -> None:
        super().__init__()
        self.files = files
        self.name = name

    def run(self, root: Element) -> None:
        heading, tables = "Model card", Counter[str]()
        for element in list(root.iter()):
            if re.fullmatch("h[1-6]", element.tag):
                heading = _text(element)
                element.tag = f"h{min(6, int(element.tag[1]) + _BELOW)}"
            elif element.tag == "img":
                self._hold(element)
            elif element.tag == "a" and not re.match("https?://", element.get("href", "")):
                element.tag = "span"
                element.attrib.clear()
            elif element.tag == "table":
                tables[heading] += 1
                _wrap(element, f"{self.name}: {heading}, table {tables[heading]}")
            elif element.tag == "th" and not _text(element):
                element.tag = "td"

    def _hold(self, image: Element) -> None:
        name = image.get("src", "")
        if name in self.files and is_picture(name):
            image.set("src", data_uri(name, self.files[name]))
        else:
            image.tag, image.text = "span", image.get("alt", "")
            image.attrib.clear()


def _text(element: Element) -> str:
    return "".join(element.itertext()).strip()


def _wrap(table: Element, label: str) -> None:
    """A table within an element of its own, by which a narrow window scrolls it, with the keyboard, too."""
    inner = Element("table", {"aria-label": label})
    inner.extend(list(table))
    for child in list(table):
        table.remove(child)
    table.tag = "div"
    table.attrib = {"class": "wide", "role": "region", "tabindex": "0", "aria-label": label}
    table.append(inner)
