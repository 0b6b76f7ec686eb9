"""What a bundle needs to be used, and taught, in MONAI Label's stock app for bundles; nothing here imports MONAI Label.

`requests` turns a request into the network's input, `answers` its output into what the app writes, and `datastore`
gives a recipe the images that the app's user has not labelled. A bundle names them in inference.json (`pre_transforms`,
`inferer`, `post_transforms`: keys that MONAI Label reads and `monai.bundle run` does not) and in train.json.
"""

from __future__ import annotations

from semimed_monai.label.answers import ClassAnswer, MapAnswer, MaskAnswer
from semimed_monai.label.datastore import Datastore, read_class, read_classes, read_label_map, training_images
from semimed_monai.label.requests import ReadRequest, SlicesInferer

__all__ = [
    "ClassAnswer",
    "Datastore",
    "MapAnswer",
    "MaskAnswer",
    "ReadRequest",
    "SlicesInferer",
    "read_class",
    "read_classes",
    "read_label_map",
    "training_images",
]
