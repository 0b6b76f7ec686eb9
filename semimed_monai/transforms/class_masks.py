"""From class probabilities to the mask of the classes that are wanted.

Looked for: MONAI's AsDiscreted takes the argmax, but LabelToMaskd then loses the class numbers and MapLabelValued wants
every class's old and new number written out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms.transform import MapTransform


class ChosenClassesd(MapTransform):
    """C×H×W probabilities → 1×H×W uint8: the most probable class's number where it is a wanted one, else 0.

    With one wanted class the mask is 0 and 1, whatever its number.

    Example:
        >>> scores = torch.eye(3)[:, None]  # three pixels, of class 0, 1 and 2
        >>> ChosenClassesd("x", [2])({"x": scores})["x"].tolist()
        [[[0, 0, 1]]]
        >>> ChosenClassesd("x", [1, 2])({"x": scores})["x"].tolist()
        [[[0, 1, 2]]]

    Args:
        keys: what to turn.
        classes: the wanted numbers.
        names: of all classes, the background first; with them an unknown number is noticed at once.

    Raises:
        ValueError: no class, the background, or a number beyond the names.
    """

    def __init__(
        self, keys: str | Sequence[Hashable], classes: Sequence[int], names: Sequence[str] | None = None
    ) -> None:
        super().__init__(keys)
        last = 255 if names is None else len(names) - 1
        if not classes or not all(isinstance(number, int) and 0 < number <= last for number in classes):
            known = "" if names is None else ": " + ", ".join(f"{n} {name}" for n, name in enumerate(names) if n)
            raise ValueError(f"the classes to write are {classes}; give one or more of 1 to {last}{known}")
        self.classes = list(classes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            labels = torch.as_tensor(out[key]).argmax(dim=0, keepdim=True)
            wanted = torch.isin(labels, torch.tensor(self.classes, device=labels.device))
            out[key] = (wanted if len(self.classes) == 1 else labels * wanted).to(torch.uint8)
        return out
