"""A dataset that goes on where a file cannot be read, and says which.

Looked for: MONAI's datasets raise; its `pad_list_data_collate` and torch's samplers cannot leave an item out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.data.dataset import Dataset


class TolerantDataset(Dataset):
    """Items as their transform gives them, with `problem` "" beside; one that fails is a blank row with its problem.

    So every batch has all its rows, whatever the number of loading processes; who uses the rows leaves those with a
    problem out and reports them (`ResultWriter` does). An image that failed once is not read again for its other
    slices.

    Example:
        >>> rows = TolerantDataset([{"id": "a", "image": "no such file"}], transform=open, size=8)
        >>> rows[0]["image"].shape, rows[0]["source"]
        (torch.Size([1, 8, 8]), 'no such file')

    Args:
        data: items with `image`.
        transform: from an item to a row.
        size: pixels along each side of the transform's images.
        channels: of the transform's images.
        blank: what a blank row has under the transform's other keys, if there are others than a slice's.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[Any], Any],
        size: int,
        channels: int = 1,
        blank: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data=data, transform=transform)
        self.size, self.channels, self.blank = size, channels, dict(blank or {})
        self._problems: dict[str, str] = {}

    def _transform(self, index: int) -> dict[str, Any]:
        item = self.data[index]
        image = str(item["image"])
        if image not in self._problems:
            try:
                return {**super()._transform(index), "problem": ""}
            except Exception as error:  # noqa: BLE001 - every reader has errors of its own; each is reported in the row
                self._problems[image] = _cause(error)
        return {
            "id": str(item["id"]),
            "group": str(item.get("group", image)),
            "image": torch.zeros(self.channels, self.size, self.size),
            "label": -1,
            "mask": torch.zeros(1, self.size, self.size),
            "has_mask": False,
            "source": image,
            "slice": int(item.get("slice") or 0),
            "problem": self._problems[image],
            **self.blank,
        }


def _cause(error: BaseException) -> str:
    """What went wrong at first: MONAI's Compose wraps it. A ValueError of our own readers says it best."""
    while error.__cause__ is not None and not isinstance(error, ValueError):
        error = error.__cause__
    return str(error) if isinstance(error, ValueError) else f"cannot be read ({type(error).__name__}: {error})"
