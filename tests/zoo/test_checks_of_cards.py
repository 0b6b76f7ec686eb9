"""docs/README.md has its sections, and its commands name what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planting import CARD, Fault, assert_found, say

from semimed_monai.zoo import Bundle
from semimed_monai.zoo.checks import check

RUN = "python -m monai.bundle run training --config_file bundles/pcam/configs/train.json --stage 2"

FAULTS: dict[str, Fault] = {
    "a section too few": (say("## Data", "## Images"), CARD, "it has no section '## Data'"),
    "a card that promises": (
        say("Not a medical device", "A medical device"),
        CARD,
        "does not say: not a medical device",
    ),
    "a picture that is not there": (say("## Data\n", "## Data\n![a](b.png)\n"), CARD, "it links to b.png"),
    "a config that is not there": (
        say(RUN, RUN.replace("train.json", "trane.json")),
        CARD,
        "there is no bundles/pcam/conf",
    ),
    "a setting that is none": (say(RUN, RUN.replace("--stage", "--stag")), CARD, "has no setting 'stag'"),
    "a module that is none": (say("-m data_prep.mura", "-m data_prep.mira"), CARD, "there is no module data_prep.mira"),
    "an option that is none": (
        say("-m semimed_monai.experiments bundles", "-m semimed_monai.experiments --sed 3 bundles"),
        CARD,
        "semimed_monai.experiments takes no --sed",
    ),
    "a name that is none": (
        say("`semimed_monai.transforms.bone_xray", "`semimed_monai.transforms.bone_xry` (`bone_xray"),
        CARD,
        "there is no semimed_monai.transforms.bone_xry",
    ),
    "a setting in passing": (say("`--mask_class 1`", "`--mask_clas 1`"), CARD, "no recipe has a setting mask_clas"),
    "half a command": (say("`python -m data_prep.mura", "python -m data_prep.mura"), CARD, "a backtick has no second"),
    "a row too wide": (say("| MURA | ", "| MURA | of | "), CARD, "a row has 4 columns, and its table 3"),
    "a command that no shell reads": (say("--stage 2\n", "--stage '2\n"), CARD, "no shell reads"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    assert_found(FAULTS[fault], copy_of("pcam", tmp_path))


@pytest.mark.parametrize("opened", ["bash\n", "bash\n$ ", "bash title=train\n", "sh\n", "shell\n", "console\n$ "])
def test_commands_are_read_in_every_fence_of_a_shell(
    opened: str, copy_of: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    plant = say("## Data\n", f"## Data\n\n```{opened}python -m data_prep.mira\n```\n")
    assert_found((plant, CARD, "there is no module data_prep.mira"), copy_of("pcam", tmp_path))


def test_what_a_command_prints_is_none(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    folder = copy_of("pcam", tmp_path)
    say("## Data\n", "## Data\n\n```console\n$ python -m data_prep.mura --out OUT\nit's -m there\n```\n")(folder)
    assert check(Bundle(folder), quick=True) == []
