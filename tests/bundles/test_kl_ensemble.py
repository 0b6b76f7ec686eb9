"""The bundle `kl_ensemble_classification` as a user runs it: members and folds, their assembly, real files and folders.

What dcmt's tests show of the common engine (MLflow, the page that fails) is not shown again.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.utils import set_determinism
from runs import checked_workflow, deployed_of, into, same, state_of, weights_of

from semimed_monai.data import Datalist, Folds
from semimed_monai.data.phantoms import knee_xray_phantom_set
from semimed_monai.ensembles.leakage import flattery, read_runs
from semimed_monai.networks import Member, decided, votes

CONFIGS = Path(__file__).parents[2] / "bundles/kl_ensemble_classification/configs"
TRAIN = CONFIGS / "train.json"
GRADES = [f"KL {grade}" for grade in range(5)]
MEMBERS = ("shufflenet_v2_x0_5", "resnet18")
SHARED = (
    "--profile=phantom",
    "--image_size=64",
    "--members={'shufflenet_v2_x0_5': 64, 'resnet18': 32}",
    "--test#evaluation#bootstrap_repeats=20",
)
TINY = (*SHARED, "--head_epochs=1", "--max_epochs=2", "--steps_per_epoch=4")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def knees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_xray_phantom_set(tmp_path_factory.mktemp("knees") / "set", people=120)


@pytest.fixture(scope="module")
def runs(run_bundle: Run, knees: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members, two folds each, as an experiment leaves them."""
    folder = tmp_path_factory.mktemp("members")
    for member in MEMBERS:
        for fold in range(2):
            place = into(folder / member / str(fold))
            run_bundle(
                TRAIN, *TINY, f"--member={member}", f"--fold={fold}", f"--dataset_dir={knees}", *place, cwd=folder
            )
    return folder


@pytest.fixture(scope="module")
def ensemble(run_bundle: Run, knees: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What they are assembled to, and what that printed."""
    folder = tmp_path_factory.mktemp("ensemble")
    said = run_bundle(
        [TRAIN, CONFIGS / "assemble.json"],
        *SHARED,
        f"--runs=['{runs}']",
        f"--dataset_dir={knees}",
        *into(folder),
        cwd=folder,
        new=True,
    )
    return folder, said


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


def test_a_run_is_scored_on_test_on_validation_and_on_its_own_fold(runs: Path, knees: Path) -> None:
    folder = runs / MEMBERS[0] / "1"
    content = json.loads((folder / "metrics.json").read_text())
    assert list(content["scores"]) == ["student", "validation", "own_fold"]
    assert {"accuracy", "f1", "quadratic_kappa", "ece", *(f"auc/{name}" for name in GRADES)} <= {
        *content["scores"]["student"]
    }
    assert (content["member"], content["fold"]) == (MEMBERS[0], 1)
    datalist = Datalist(knees)
    of_fold = {item["id"] for item in Folds(datalist.labelled(), 2, seed=0).validation(1)}
    answered: dict[str, set[str]] = {}
    for row in rows_of(folder / "predictions.csv"):
        answered.setdefault(row["network"], set()).add(row["id"])
    sections = {name: {item["id"] for item in datalist.section(name)} for name in ("test", "validation")}
    assert answered == {"student": sections["test"], "validation": sections["validation"], "own_fold": of_fold}


def test_what_a_fold_flatters_by_is_read_from_the_runs(runs: Path) -> None:
    """Means over the four runs of what their metrics.json say."""
    found = flattery(read_runs(runs), repeats=20)
    scores = [json.loads(file.read_text())["scores"] for file in runs.glob("*/*/metrics.json")]
    assert len(scores) == 4
    for name in ("accuracy", "quadratic_kappa"):
        own, reported = (sum(of[part][name]["value"] for of in scores) / 4 for part in ("own_fold", "student"))
        one = found["by person", name]
        assert (one.own, one.reported, one.difference) == pytest.approx((own, reported, own - reported))
    assert {split for split, _ in found} == {"by person"}


def test_the_head_learns_first_and_batch_norms_rest(knees: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = (*SHARED, "--head_epochs=1", "--steps_per_epoch=4", "--member=resnet18", f"--dataset_dir={knees}")
    for epochs in (1, 2):
        run_bundle(TRAIN, *settings, f"--max_epochs={epochs}", *into(tmp_path / str(epochs)), cwd=tmp_path)
    set_determinism(0)
    start = Member("resnet18", size=32).state_dict()
    one, two = (state_of(tmp_path / str(epochs))["student"] for epochs in (1, 2))
    moved = {name for name, value in one.items() if not torch.equal(value, start[name])}
    assert moved == {"head.weight", "head.bias"}
    assert {name for name, value in two.items() if not torch.equal(value, start[name])} == {*start}


def test_a_mean_teacher_learns_from_unlabelled_knees(knees: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = ("--labelled_share=0.1", "--folds=1", "--unlabelled_rows=8", "--teacher#_disabled_=False")
    said = run_bundle(TRAIN, *TINY, *settings, f"--dataset_dir={knees}", *into(tmp_path), cwd=tmp_path)
    assert re.search("epoch 2/2: .*consistency ", said)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert list(content["scores"]) == ["teacher", "student", "validation", "own_fold"]
    assert content["terms"] == ["classification", "consistency"]


def test_killed_and_resumed_is_the_uninterrupted_run(
    knees: Path, runs: Path, run_bundle: Run, kill_bundle: Callable[..., str], tmp_path: Path
) -> None:
    settings = (*TINY, f"--member={MEMBERS[0]}", "--fold=0", f"--dataset_dir={knees}", *into(tmp_path))
    kill_bundle(TRAIN, *settings, cwd=tmp_path, step=6)
    assert not (tmp_path / "metrics.json").exists()
    run_bundle(TRAIN, *settings, "--resume=True", cwd=tmp_path)
    whole, cut = state_of(runs / MEMBERS[0] / "0"), state_of(tmp_path)
    assert same(whole["student"], cut["student"])
    assert whole["best"] == cut["best"]
    assert whole["scheduler"] == cut["scheduler"]


STAGES = {
    "first": ("--head_epochs=1", "--head_rate=1.0", "--max_epochs=1"),
    "second": ("--head_epochs=0", "--frozen_norm=True", "--max_epochs=2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one(stage: str, knees: Path, run_bundle: Run, run_by_two: Run, tmp_path: Path) -> None:
    # As for dcmt: in the second stage statistics are frozen, as in the first anyway, for torch has none of the global
    # batch on CPUs; no Adam, which blows up rounding.
    settings = (
        *SHARED,
        *STAGES[stage],
        "--steps_per_epoch=4",
        f"--dataset_dir={knees}",
        "--precision=fp32",
        "--optimizer#_target_=torch.optim.SGD",
        "--optimizer#fused=False",
        "--learning_rate=0.3",
    )
    run_bundle(TRAIN, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    run_by_two(TRAIN, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    for name, value in one["student"].items():
        assert torch.allclose(value.float(), two["student"][name].float(), atol=1e-5), name
    assert one["student"]["head.bias"].norm() > 0.01  # it began with zeros
    set_determinism(0)
    start = Member(MEMBERS[0], size=64).state_dict()
    for state in (one, two):
        moved = {name for name, value in state["student"].items() if not torch.equal(value, start[name])}
        assert (moved == {"head.weight", "head.bias"}) == (stage == "first")
    answers = [
        {
            (row["network"], row["id"]): [float(row[f"probability/{name}"]) for name in GRADES]
            for row in rows_of(tmp_path / folder / "predictions.csv")
        }
        for folder in ("one", "two")
    ]
    assert answers[0].keys() == answers[1].keys()
    for key, probabilities in answers[0].items():
        assert answers[1][key] == pytest.approx(probabilities, abs=1e-4), key


def test_the_ensemble_is_what_its_members_vote(ensemble: tuple[Path, str], runs: Path) -> None:
    """By the rule and subset that are best on validation, from predictions that the runs have left."""
    folder, said = ensemble
    content = json.loads((folder / "metrics.json").read_text())
    assert content["chosen_on"] == "validation"
    assert len(content["members"]) == 2
    subsets, members = rows_of(folder / "subsets.csv"), rows_of(folder / "members.csv")
    assert len(subsets) == 3
    assert float(subsets[0]["validation/f1"]) == max(float(row["validation/f1"]) for row in subsets)
    assert subsets[0]["rule"] == content["rule"]
    voting = {row["member"]: row["fold"] for row in members if row["chosen"] == "True"}
    assert len(members) == 4
    assert {*voting} == {*MEMBERS}
    for row in members:
        of_member = [float(other["validation/f1"]) for other in members if other["member"] == row["member"]]
        assert (row["chosen"] == "True") <= (float(row["validation/f1"]) == max(of_member))
    answers = {}
    for member, fold in voting.items():
        rows = [row for row in rows_of(runs / member / fold / "predictions.csv") if row["network"] == "student"]
        answers[member] = {row["id"]: [float(row[f"probability/{name}"]) for name in GRADES] for row in rows}
    for row in rows_of(folder / "predictions.csv"):
        probabilities = torch.tensor([of[row["id"]] for of in answers.values()])[:, None]
        assert int(row["predicted"]) == int(decided(*votes(probabilities, torch.ones(1, 2)), content["rule"]))
    assert "they vote" in said
    assert "Members and their votes" in (folder / "report.html").read_text()


def test_evaluate_gives_the_runs_own_numbers(
    ensemble: tuple[Path, str], runs: Path, knees: Path, run_bundle: Run, tmp_path: Path
) -> None:
    """Of a member and of the ensemble, whatever recipe made the weights."""
    for name, folder in {"ensemble": ensemble[0], "student": runs / MEMBERS[1] / "0"}.items():
        run_bundle(
            [TRAIN, CONFIGS / "evaluate.json"],
            "--test#evaluation#bootstrap_repeats=20",
            f"--dataset_dir={knees}",
            *into(folder),
            f"--test#evaluation#output_dir={tmp_path}",
            cwd=tmp_path,
        )
        again, own = (json.loads((place / "metrics.json").read_text()) for place in (tmp_path, folder))
        for score, entry in own["scores"][name].items():
            assert again["scores"]["student"][score] == pytest.approx(entry, abs=1e-6, nan_ok=True), score


@pytest.mark.slow
def test_without_a_test_section_nothing_is_chosen(runs: Path, knees: Path, run_bundle: Run, tmp_path: Path) -> None:
    """Runs that were told to report the validation section: what is reported must not have been chosen by."""
    for member in MEMBERS:
        place = into(tmp_path / "members" / member)
        settings = (f"--member={member}", f"--dataset_dir={knees}", "--test#section=validation", "--max_epochs=1")
        run_bundle(TRAIN, *TINY, *settings, *place, cwd=tmp_path)
    assembled = [TRAIN, CONFIGS / "assemble.json"]
    settings = (f"--runs=['{tmp_path}/members']", f"--dataset_dir={knees}", "--test#section=validation")
    run_bundle(assembled, *SHARED, *settings, *into(tmp_path / "ensemble"), cwd=tmp_path)
    content = json.loads((tmp_path / "ensemble/metrics.json").read_text())
    assert content["chosen_on"].startswith("nothing")
    assert (content["rule"], len(content["members"])) == ("mix", 2)
    assert "best_on_test" not in content


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(name: str, kind: str, tmp_path: Path, ensemble: tuple[Path, str], knees: Path) -> None:
    settings = {"profile": "phantom"} if name == "train" else {}
    _, missing = checked_workflow(
        CONFIGS / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(ensemble[0] / "models"),
        dataset_dir=str(knees if name == "train" else knees / "images"),
        **settings,
    )
    assert missing == []


def test_metadata_and_network_agree(
    ensemble: tuple[Path, str], verify_network: Callable[..., None], tmp_path: Path
) -> None:
    verify_network(CONFIGS, ensemble[0] / "models", cwd=tmp_path, n=2)


def test_export_equals_eager(ensemble: tuple[Path, str], export_network: Callable[..., Path], tmp_path: Path) -> None:
    folder = ensemble[0]
    script, eager = export_network(CONFIGS, folder / "models", cwd=tmp_path), deployed_of(folder)
    batch = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(batch), eager(batch), atol=1e-5)
    assert all(name.startswith("members.") for name in weights_of(folder))


def test_training_and_inference_preprocess_alike(
    knees: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings("kl_ensemble_classification", knees)
    for item in Datalist(knees).section("test")[:8]:
        bare = {key: item[key] for key in ("id", "image", "slice")}
        assert torch.equal(training(item)["image"], inference(bare)["image"])


def test_inference_answers_as_evaluation_does_and_names_what_it_cannot_read(
    ensemble: tuple[Path, str], knees: Path, run_bundle: Run, tmp_path: Path
) -> None:
    folder = ensemble[0]
    expected = {row["id"]: row for row in rows_of(folder / "predictions.csv")}
    pictures = tmp_path / "in"
    pictures.mkdir()
    names = {}
    for item in Datalist(knees).section("test")[:12]:
        names[Path(item["image"]).name] = expected[item["id"]]
        shutil.copy(item["image"], pictures)
    (pictures / "cut.png").write_bytes((pictures / min(names)).read_bytes()[:200])
    said = run_bundle(
        CONFIGS / "inference.json",
        f"--input={pictures}",
        f"--ckpt_dir={folder}/models",
        f"--output_dir={tmp_path / 'out'}",
        cwd=tmp_path,
        run_id="run",
        expect=1,
    )
    assert f"1 of {len(names) + 1} images could not be read" in said
    for row in rows_of(tmp_path / "out/predictions.csv"):
        for name in GRADES:
            value = float(names[Path(row["image"]).name][f"probability/{name}"])
            assert float(row[f"probability/{name}"]) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "said_of"),
    [
        (("--fold=7",), "there is no fold 7: they are 0 to 1"),
        (("--members={'vgg11': 64}", "--member=vgg11"), "vgg11 cannot be a member"),
        (("--folds=40",), "make fewer than 40 folds"),
        (("--folds=100",), "groups cannot fill 100 folds"),
    ],
    ids=["no such fold", "no member", "too many folds", "fewer people than folds"],
)
def test_settings_that_cannot_be_end_in_one_message(
    settings: tuple[str, ...], said_of: str, knees: Path, run_bundle: Run, tmp_path: Path
) -> None:
    said = run_bundle(
        TRAIN, *TINY, *settings, f"--dataset_dir={knees}", *into(tmp_path / "run"), cwd=tmp_path, expect=1
    )
    assert said_of in said
    assert "Traceback" not in said
    assert not (tmp_path / "run/models").exists()


def test_an_assembly_of_nothing_says_so(knees: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = (*SHARED, f"--runs=['{tmp_path}']", f"--dataset_dir={knees}", *into(tmp_path / "ensemble"))
    said = run_bundle([TRAIN, CONFIGS / "assemble.json"], *settings, cwd=tmp_path, expect=1)
    assert f"there is no finished run of a member in {tmp_path}" in said
    assert "Traceback" not in said
