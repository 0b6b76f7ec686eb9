"""Bundles as others get them: checked, packed, served and fetched.

`checks` looks for faults, `building` packs a folder that `serving` serves and `fetching` fetches from; `catalogue` is
the page in it, and `pushing` takes it elsewhere. `python -m semimed_monai.zoo` does each.
"""

from __future__ import annotations

from semimed_monai.zoo.building import build
from semimed_monai.zoo.bundles import Bundle, find_bundles
from semimed_monai.zoo.fetching import fetch
from semimed_monai.zoo.index import Entry, Index
from semimed_monai.zoo.serving import open_server
from semimed_monai.zoo.store import Store

__all__ = ["Bundle", "Entry", "Index", "Store", "build", "fetch", "find_bundles", "open_server"]
