"""Batches of images that have different numbers of boxes.

Looked for: MONAI's `list_data_collate` and torch's `default_collate` stack, and fail where rows differ in number;
`pad_list_data_collate` pads with boxes that nobody drew; `monai.apps.detection.utils.detector_utils.no_collation`
leaves the images a list, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data.utils import list_data_collate


def collate_boxes(rows: Sequence[Any]) -> dict[str, Any]:
    """As `monai.data.list_data_collate`, but `boxes` stays a list: N × 4 of each row, 0 × 4 of one without the key.

    MONAI's `decollate_batch` takes no such list. For inference, where no row has a box, the default will do.

    In a bundle:

        "collate_fn": {"_target_": "semimed_monai.data.collate_boxes", "_mode_": "callable"}

    Example:
        >>> batch = collate_boxes([{"label": 1, "boxes": torch.ones(2, 4)}, {"label": 0, "boxes": torch.zeros(0, 4)}])
        >>> batch["label"], [len(boxes) for boxes in batch["boxes"]]
        (tensor([1, 0]), [2, 0])
    """
    each: list[Mapping[str, Any]] = [row for part in rows for row in (part if isinstance(part, list) else [part])]
    boxes = [row.get("boxes", torch.zeros(0, 4)) for row in each]
    others = list_data_collate([{key: row[key] for key in row if key != "boxes"} for row in each])
    return {**others, "boxes": boxes}
