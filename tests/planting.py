"""Faults to plant into a copy of a bundle, and whether `check` finds one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semimed_monai.zoo import Bundle
from semimed_monai.zoo.checks import check

META, TRAIN, INFER, CARD = "configs/metadata.json", "configs/train.json", "configs/inference.json", "docs/README.md"
NETWORK = "models/network.json"
PRED, IMAGE, ANSWER = (f"network_data_format#{name}" for name in ("outputs#pred", "inputs#image", "outputs#answer"))

Plant = Callable[[Path], object]
Fault = tuple[Plant, str, str]
"""What plants it, the file that it is found in, and what is said of it."""


def assert_found(fault: Fault, folder: Path) -> None:
    """A planted fault is found by what looks at files."""
    plant, file, what = fault
    plant(folder)
    found = check(Bundle(folder), quick=True)
    assert [one for one in found if one.file == file and what in one.what], [str(one) for one in found]
    assert all(one.bundle == folder.name and one.remedy for one in found)


def put(file: str, key: str, value: Any) -> Plant:
    """A value under a key of a JSON file."""
    return _edit(file, key, lambda owner, last: owner.update({last: value}))


def drop(file: str, key: str) -> Plant:
    """A key is not there."""
    return _edit(file, key, lambda owner, last: owner.pop(last))


def put_last(file: str, key: str) -> Plant:
    """A key comes after all others of its object."""
    return _edit(file, key, lambda owner, last: owner.update({last: owner.pop(last)}))


def copy(file: str, key: str, name: str) -> Plant:
    """The same under another name beside it."""
    return _edit(file, key, lambda owner, last: owner.update({name: owner[last]}))


def _edit(file: str, key: str, change: Callable[[dict[str, Any], str], object]) -> Plant:
    """Another object around a key."""

    def plant(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        change(*_place(content, key))
        (folder / file).write_text(json.dumps(content))

    return plant


def write(file: str, content: str | bytes) -> Plant:
    def plant(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)

    return plant


def change(file: str, old: str, new: str) -> Plant:
    """Other words in a file."""

    def plant(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return plant


def say(old: str, new: str) -> Plant:
    """Other words in the model card."""
    return change(CARD, old, new)


def remove(file: str) -> Plant:
    return lambda folder: (folder / file).unlink()


def both(*plants: Plant) -> Plant:
    return lambda folder: [plant(folder) for plant in plants]


def _place(config: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *above, last = key.split("#")
    for name in above:
        config = config[name]
    return config, last
