"""One licence: its text, the model card and metadata.json name the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from semimed_monai.zoo.bundles import METADATA, README, Bundle, section_of
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import LICENCE

_TEXT = re.compile(r"Apache License\s+Version 2\.0, January 2004\b.*\bEND OF TERMS AND CONDITIONS\b", re.DOTALL)
_NAME = re.compile(r"\bApache[ -](?:License,? )?(?:Version )?2\.0\b")
_OTHERS = re.compile(r"\b(?:MIT|BSD|[AL]?GPL|MPL|CC[ -]BY)\b")


def licences(bundle: Bundle) -> Iterator[Finding]:
    """The Apache License 2.0, which is the project's."""
    if not _TEXT.search((bundle.folder / LICENCE).read_text("utf-8", errors="replace")):
        yield Finding(bundle.name, LICENCE, "it is not the Apache License 2.0", "put that licence's whole text there")
    if not _NAME.search(section_of((bundle.folder / README).read_text("utf-8"), "License")):
        what = "the section '## License' does not name the Apache License 2.0"
        yield Finding(bundle.name, README, what, f"name it there, and refer to {LICENCE}")
    if other := _OTHERS.search(bundle.metadata["copyright"]):
        what = f"copyright names {other[0]}, and the licence is the Apache License 2.0"
        yield Finding(bundle.name, METADATA, what, "name who holds it, and no other licence")
