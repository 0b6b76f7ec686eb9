"""What metadata.json says of a bundle's worth stands in its model card, too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from semimed_monai.zoo.bundles import METADATA, NO_SCORES, README, Bundle, section_of
from semimed_monai.zoo.checks.finding import Finding


def metrics(bundle: Bundle) -> Iterator[Finding]:
    """Numbers and the command that made them stand in the section Performance; they come from a file that there is."""
    given = bundle.metadata["eval_metrics"]
    text = section_of((bundle.folder / README).read_text("utf-8"), "Performance")
    if not given:
        if re.search(r"^\|", text, re.MULTILINE):
            what = f"eval_metrics is empty, and {README} has a table under '## Performance'"
            yield Finding(bundle.name, METADATA, what, "take the most important numbers, and say whose they are")
        return
    for name, value in given.items():
        if name not in NO_SCORES and not _stands_in(text, value):
            what = f"eval_metrics/{name} is {value}, which does not stand in {README} under '## Performance'"
            yield Finding(bundle.name, METADATA, what, "take the number from the card's table")
    if _words(given["command"]) not in _words(text):
        what = f"eval_metrics/command does not stand in {README} under '## Performance'"
        yield Finding(bundle.name, METADATA, what, "give the command that made the numbers, the same in both")
    source = given["source"].split(":", 1)[0]
    if not (bundle.folder / source).is_file():
        yield Finding(bundle.name, METADATA, f"eval_metrics/source names {source}", "name a file of the bundle first")


def intended_use(bundle: Bundle) -> Iterator[Finding]:
    """No medical device."""
    if "not a medical device" not in bundle.metadata["intended_use"].lower():
        yield Finding(bundle.name, METADATA, "intended_use does not say: not a medical device", "say it")


def _stands_in(text: str, value: float) -> bool:
    """As it is, or in percent."""
    forms = {f"{value:g}", f"{100 * value:.1f}", f"{100 * value:g}"}
    return any(re.search(rf"(?<![\d.]){re.escape(form)}(?![\d])", text) for form in forms)


def _words(text: str) -> str:
    """Without regard to where lines end."""
    return " ".join(text.replace("\\\n", " ").split())
