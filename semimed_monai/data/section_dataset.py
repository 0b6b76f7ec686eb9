"""A recipe's cached dataset, whose items come from its datalist.

Looked for: MONAI's CacheDataset, which this is, takes the items themselves; what an app puts in their place in a recipe
(MONAI Label does) would be learned from as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.data.dataset import CacheDataset


class SectionDataset(CacheDataset):
    """A CacheDataset of `items`, where `data` is what the datalist was made of.

    >>> SectionDataset("my_knees", [{"image": "p1.png"}], transform=None).data
    [{'image': 'p1.png'}]

    Args:
        data: a dataset's folder, or a list that an app put there: the recipe's datalist refers to it, and has read it.
        items: what the datalist made of it.
        settings: as of CacheDataset.
    """

    def __init__(self, data: Any, items: Sequence[Any], **settings: Any) -> None:  # noqa: ARG002 - see above
        super().__init__(data=items, **settings)
