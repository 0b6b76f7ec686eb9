"""An assembly of made-up runs whose validation and test sections prefer other folds, another subset and another rule.

The runs of trained networks are assembled by tests/bundles/test_kl_ensemble.py.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from left_run import leave_answers

from semimed_monai.ensembles import Assembly
from semimed_monai.files import write_tensors
from semimed_monai.networks import Member, write_card

A, B, C = "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5"
LABELS = (0, 0, 1, 1)
SAID = {  # member → of each fold: how sure it is of class 1, in tenths, on validation and on test
    A: (("9966", "1199"), ("9166", "9911")),
    B: (("4116", "2194"), ("4114", "1199")),
    C: (("9999", "1199"), ("4161", "1149")),
}
"""By validation A's fold 1, B's 0 and C's 1: three of four right, where the other fold has two. On test each other fold
has all right.

Of these on validation only all three by majority are right everywhere (mix is that majority, too): each errs once, and
is then so sure that the mean goes with it. On test A is always wrong, and only the mean of B and C is always right.
"""


def probabilities(section: str, tenths: str) -> dict[str, tuple[float, float]]:
    return {
        f"{label}/{section}-{place}.png": (1 - int(sure) / 10, int(sure) / 10)
        for place, (label, sure) in enumerate(zip(LABELS, tenths, strict=True))
    }


@pytest.fixture
def runs(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """They report `test`, or the section that the test is parametrised with, and have no weights."""
    reported = getattr(request, "param", "test")
    for name, folds in SAID.items():
        for fold, (validation, test) in enumerate(folds):
            folder = tmp_path / "runs" / name / str(fold)
            of = {"validation": probabilities("validation", validation), "test": probabilities("test", test)}
            own = probabilities(f"fold-{fold}", test)  # as much in favour of the other folds
            answers = {"student": of[reported], "validation": of["validation"], "own_fold": own}
            leave_answers(folder, answers, ["a", "b"], section=reported)
            (folder / "models").mkdir()
            trained = {"member": name, "fold": fold, "folds": 2, "grouped_folds": True, "fold_seed": 0}
            trained["labelled_share"] = 1.0
            card = {"arguments": {"name": name, "size": 64, "classes": 2, "flip": True}, "size": 64}
            write_card(folder / "models/network.json", {**card, "classes": ["a", "b"], "trained": trained})
    return tmp_path / "runs"


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_fold_subset_and_rule_are_validations_choice(runs: Path, tmp_path: Path) -> None:
    assembly = Assembly([runs], tmp_path / "models")
    assert [(run.name, run.folder.name) for run in assembly.candidates] == [(A, "1"), (B, "0"), (C, "1")]
    assert ([run.name for run in assembly.members], assembly.chosen.rule) == ([A, B, C], "hard")
    assert assembly.facts["chosen_on"] == "validation"
    assert assembly.facts["best_on_test"].startswith(f"{B} + {C}, soft: F1 100.0 [")
    assembly.report(tmp_path)
    chosen = {(row["member"], row["fold"]) for row in rows_of(tmp_path / "members.csv") if row["chosen"] == "True"}
    assert chosen == {(A, "1"), (B, "0"), (C, "1")}
    subsets = {(row.pop("members"), row.pop("rule")): row for row in rows_of(tmp_path / "subsets.csv")}
    assert next(iter(subsets)) == (f"{A} + {B} + {C}", "hard")
    scores = ("validation/f1", "validation/accuracy", "reported/f1", "reported/accuracy")
    for which, expected in {  # where all votes go to class 0 its F1 is 2/3, and the other's 0
        (f"{A} + {B} + {C}", "hard"): (1, 1, 1 / 3, 1 / 2),
        (f"{B} + {C}", "soft"): (1 / 3, 1 / 2, 1, 1),
    }.items():
        assert [float(subsets[which][score]) for score in scores] == pytest.approx(expected)


def test_what_is_saved_are_the_chosen_runs_weights(runs: Path, tmp_path: Path) -> None:
    """A head's bias tells the fold."""
    for name in SAID:
        state = Member(name, size=64, classes=2).state_dict()
        for fold in range(2):
            state["head.bias"] = torch.full((2,), float(fold))
            write_tensors(runs / name / str(fold) / "models/model.pt", state)
    Assembly([runs], tmp_path / "models").save()
    weights = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert [weights[f"members.{place}.head.bias"].tolist() for place in range(3)] == [[1, 1], [0, 0], [1, 1]]
    card = json.loads((tmp_path / "models/network.json").read_text())
    assert [member["name"] for member in card["arguments"]["members"]] == [A, B, C]
    assert card["arguments"]["rule"] == "hard"


@pytest.mark.parametrize("runs", ["validation"], indirect=True)
def test_where_validation_is_what_is_reported_nothing_is_chosen(runs: Path, tmp_path: Path) -> None:
    assembly = Assembly([runs], tmp_path / "models")
    assert [(run.name, run.folder.name) for run in assembly.members] == [(A, "0"), (B, "0"), (C, "0")]
    assert assembly.chosen.rule == "mix"
    assert assembly.facts["chosen_on"].startswith("nothing")
    assert "best_on_test" not in assembly.facts


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fold_seed": 1}, "they differ in fold_seed: 0, 1"),
        ({"grouped_folds": False}, "they differ in grouped_folds: False, True"),
        ({"fold": 0}, f"1 are both of {A} at 64 pixels, fold 0"),
    ],
    ids=["another cut", "cut by image", "one fold twice"],
)
def test_runs_that_do_not_belong_together_are_refused(
    changes: dict[str, object], said: str, runs: Path, tmp_path: Path
) -> None:
    file = runs / A / "1/models/network.json"
    card = json.loads(file.read_text())
    write_card(file, {**card, "trained": card["trained"] | changes})
    with pytest.raises(ValueError, match=said):
        assert Assembly([runs], tmp_path / "models").runs
