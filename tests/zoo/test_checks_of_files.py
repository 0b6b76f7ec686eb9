"""A bundle has the files that it needs, somebody can read them, and none names a place of one machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planting import CARD, INFER, META, TRAIN, Fault, assert_found, change, put, remove, say, write

from semimed_monai.zoo import Bundle
from semimed_monai.zoo.checks import check

LOGGING, PICTURE = "configs/logging.conf", "docs/maps.png"
EVALUATE, SEVERAL = "configs/evaluate.json", "configs/multi_gpu_train.json"
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software"


def cut(file: str, length: int) -> Callable[[Path], object]:
    """Only the first bytes of it."""
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:length])


def damage(file: str, at: int) -> Callable[[Path], object]:
    """One byte is another."""

    def plant(folder: Path) -> None:
        content = bytearray((folder / file).read_bytes())
        content[at] ^= 255
        (folder / file).write_bytes(content)

    return plant


def link(file: str) -> Callable[[Path], object]:
    """To what is the user's, and not the bundle's."""

    def plant(folder: Path) -> None:
        (folder.parent / "notes.txt").write_text("Doe, John")
        (folder / file).symlink_to(folder.parent / "notes.txt")

    return plant


FAULTS: dict[str, Fault] = {
    "no licence": (remove("LICENSE"), "LICENSE", "there is none"),
    "an empty licence": (write("LICENSE", ""), "LICENSE", "it is empty"),
    "no recipe to infer with": (remove(INFER), INFER, "there is none"),
    "no card": (remove(CARD), CARD, "there is none"),
    "metadata that is no JSON": (write(META, '{"version": '), META, "is no JSON"),
    "an overlay that is no JSON": (write("configs/evaluate.json", "[]"), "configs/evaluate.json", "holds no object"),
    "a place on one machine": (
        put("configs/evaluate.json", "dataset_dir", "/hospital/doe_john"),
        "configs/evaluate.json",
        "it names /hospital/doe_john, a place on one machine",
    ),
    "code": (write("scripts/net.py", ""), "scripts/net.py", "a bundle has no Python"),
    "another model": (write("models/last.pt", ""), "models/last.pt", "MONAI Label offers every .pt"),
    "no recipe to evaluate with": (remove(EVALUATE), EVALUATE, "there is none"),
    "no recipe for several GPUs": (remove(SEVERAL), SEVERAL, "there is none"),
    "no settings of logging": (remove(LOGGING), LOGGING, "there is none"),
    "another licence": (write("LICENSE", MIT), "LICENSE", "it is not the Apache License 2.0"),
    "half a licence": (cut("LICENSE", 5000), "LICENSE", "it is not the Apache License 2.0"),
    "a card without its licence": (
        say("Apache License 2.0, see `LICENSE`.", "TODO"),
        CARD,
        "the section '## License' does not name the Apache License 2.0",
    ),
    "metadata of another licence": (put(META, "copyright", "MIT, SemiMed authors"), META, "copyright names MIT"),
    "a card in another encoding": (write(CARD, "# Model Overview\nJos\xe9".encode("latin-1")), CARD, "it is no text: "),
    "a key twice": (change(TRAIN, '"seed": 0,\n', '"seed": 0, "seed": 1,\n'), TRAIN, "Duplicate key: `seed`"),
    "YAML that is none": (write("configs/train.yaml", "lr: [1"), "configs/train.yaml", "it is no YAML: "),
    "settings of logging that are none": (write(LOGGING, "loggers"), LOGGING, "it is no configuration of logging: "),
    "a formatter that is none": (
        change(LOGGING, "[formatter_plain]", "[formatter_plan]"),
        LOGGING,
        "there is no section [formatter_plain]",
    ),
    "no root logger": (change(LOGGING, "keys=root,semimed", "keys=semimed"), LOGGING, "[loggers] has no root"),
    "half a picture": (cut(PICTURE, 5000), PICTURE, "it is no picture: "),
    "a damaged picture": (damage(PICTURE, 5000), PICTURE, "it is no picture: "),
    "a photograph that is none": (write("docs/skin.JPG", "skin"), "docs/skin.JPG", "it is no picture: "),
    "a link to somewhere else": (link("docs/words.txt"), "docs/words.txt", "it lies outside the bundle"),
    "a patient's volume": (write("docs/knee.nii.gz", b"\x1f\x8b"), "docs/knee.nii.gz", "it is a medical image"),
    "a patient's film": (write("docs/chest", bytes(128) + b"DICM"), "docs/chest", "it is a medical image"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    assert_found(FAULTS[fault], copy_of("pcam", tmp_path))


@pytest.mark.parametrize(
    "place",
    [
        "/hospital/doe_john",
        "$'/hospital/doe_john' + '/x'",
        "~/doe_john",
        "$@input or '~/doe_john'",
        "file:///home/doe_john",
        "D:\\doe_john",
        "D:/doe_john",
        "\\\\hospital\\doe_john",
        "$str(@input) or '/home/doe_john'",
    ],
)
def test_a_place_on_one_machine_is_found_in_a_recipe(
    place: str, copy_of: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    assert_found((put(EVALUATE, "dataset_dir", place), EVALUATE, "doe_john, a place on"), copy_of("pcam", tmp_path))


@pytest.mark.parametrize(
    "place",
    ["`~/doe_john`", "(file:///home/doe_john)", "in /home/doe_john.", r"C:\Users\doe_john", r"at \\hospital\doe_john"],
)
def test_and_in_a_card(place: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    assert_found((say("## Data\n", f"## Data\n\n{place}\n"), CARD, "doe_john"), copy_of("pcam", tmp_path))


def test_what_lies_anywhere_is_no_place_on_one_machine(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    folder = copy_of("pcam", tmp_path)
    say("## Data\n", "## Data\n\n~/.cache/torch, https://host.org/data/set, runs/data/set and 1/home/2\n")(folder)
    assert check(Bundle(folder), quick=True) == []


def test_weights_are_asked_for(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    (found,) = check(Bundle(copy_of("pcam", tmp_path)), weights=True, quick=True)
    assert (found.file, found.what) == ("models/model.pt", "there is none")


def test_a_name_that_monai_cuts(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    folder = copy_of("pcam", tmp_path).rename(tmp_path / "pcam_version")
    assert "MONAI takes what follows _v in a name for the version" in [
        one.what for one in check(Bundle(folder), quick=True)
    ]
