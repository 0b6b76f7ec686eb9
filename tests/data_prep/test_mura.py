"""MURA: the published tree, made small; both ways to split it; marks of a few images; tables that contradict."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from public_sets import refusal, write_picture
from written import items_of, left_out, sections_of

from data_prep import mura
from data_prep.mura import REGIONS, prepare
from semimed_monai.data import Datalist

LEARNED, PATIENTS = 30, 40
"""Patients up to the first number are in train, the others in valid."""


class Study(NamedTuple):
    patient: int
    region: str
    number: int
    side: str

    @property
    def part(self) -> str:
        return "train" if self.patient <= LEARNED else "valid"

    @property
    def path(self) -> str:
        return f"{self.part}/{self.region}/patient{self.patient:05d}/study{self.number}_{self.side}"

    @property
    def images(self) -> list[str]:
        """One to three of them."""
        return [f"{self.path}/image{place}.png" for place in range(1, 2 + self.patient % 3)]


def study_of(patient: int) -> Study:
    """Every other patient's is positive."""
    return Study(patient, REGIONS[patient % 3], 1, ("negative", "positive")[patient % 2])


def studies() -> Iterator[Study]:
    """Every fifth patient has one of the other side in the same region, and one in another."""
    for patient in range(1, PATIENTS + 1):
        yield study_of(patient)
        if patient % 5 == 0:
            other = ("positive", "negative")[patient % 2]
            yield study_of(patient)._replace(number=2, side=other)
            yield study_of(patient)._replace(region="XR_SHOULDER", side=other)


STUDIES = list(studies())
IMAGES = [name for study in STUDIES for name in study.images]
ABNORMAL = [name for study in STUDIES if study.side == "positive" for name in study.images]


def id_of(name: str) -> str:
    return name.removesuffix(".png")


def lines_of(part: str) -> dict[str, list[str]]:
    """The lines of the two tables of a part."""
    found = [study for study in STUDIES if study.part == part]
    return {
        f"{part}_image_paths.csv": [f"MURA-v1.1/{name}" for study in found for name in study.images],
        f"{part}_labeled_studies.csv": [f"MURA-v1.1/{study.path}/,{int(study.side == 'positive')}" for study in found],
    }


def write_lines(source: Path, name: str, lines: list[str]) -> None:
    (source / name).write_text("\n".join(lines) + "\n")


def change(source: Path, name: str, old: str, new: str) -> None:
    text = (source / name).read_text()
    assert old in text
    (source / name).write_text(text.replace(old, new, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mura") / "MURA-v1.1"
    for number, name in enumerate(IMAGES):
        write_picture(folder / name, number)
    for part in ("train", "valid"):
        for name, lines in lines_of(part).items():
            write_lines(folder, name, lines)
    return folder


@pytest.fixture
def source(tmp_path, drawn) -> Path:
    return shutil.copytree(drawn, tmp_path / "MURA-v1.1")


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def patients_of(items: list[dict]) -> set[str]:
    return {item["group"] for item in items}


def write_table(source: Path, names: list[str], box: str = "2,1,7,4") -> Path:
    """A box in each image."""
    file = source.parent / "marks.csv"
    file.write_text("\n".join(["image,x0,y0,x1,y1", *(f"{name},{box}" for name in names)]) + "\n")
    return file


def test_every_image_has_the_label_of_its_study_its_study_and_its_patient(source):
    file = made(source)

    assert [each.name for each in file.parent.iterdir()] == ["datalist.json"]
    listed = Datalist(file)  # opens every file, and looks whether studies are of one patient and label
    assert listed.classes == ["normal", "abnormal"]
    expected = {
        id_of(name): {
            "image": f"../MURA-v1.1/{name}",
            "label": int(study.side == "positive"),
            "group": f"patient{study.patient:05d}",
            "study": study.path,
            "id": id_of(name),
        }
        for study in STUDIES
        for name in study.images
    }
    assert items_of(file) == expected
    assert {item["study"] for item in listed.section("test")} <= {study.path for study in STUDIES}


def test_a_patient_of_several_regions_and_studies_is_in_one_section(source):
    for seed in range(4):
        file = made(source, seed=seed, fractions=(0.5, 0.25, 0.25))
        sections = sections_of(file)
        groups = [patients_of(items) for items in sections.values()]
        assert sum(map(len, groups)) == len(set.union(*groups)) == PATIENTS
        assert all({item["label"] for item in items} == {0, 1} for items in sections.values())
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["split"] == {"by": "patient", "fractions": [0.5, 0.25, 0.25], "seed": 3}
    counts = {"listed": len(IMAGES), "images": len(IMAGES), "studies": len(STUDIES), "patients": PATIENTS}
    assert provenance["counts"] == counts
    assert sorted(provenance["tables_sha256"]) == sorted([*lines_of("train"), *lines_of("valid")])
    assert "MURA" in provenance["licence"]


def test_the_published_valid_is_the_test_and_validation_is_cut_out_by_patient(source, capsys):
    file = made(source, split="official", fractions=(0.6, 0.2, 0.2))
    sections = sections_of(file)
    assert {item["id"] for item in sections["test"]} == {id_of(name) for name in IMAGES if name.startswith("valid/")}
    learned, validated = (patients_of(sections[name]) for name in ("training", "validation"))
    assert not learned & validated
    assert len(learned | validated) == LEARNED
    assert len(validated) == pytest.approx(LEARNED / 4, abs=2)
    split = json.loads(file.read_text())["provenance"]["split"]
    assert split["train_image_paths.csv"] == {"training": 0.75, "validation": 0.25}
    said = "note: test is valid_image_paths.csv; validation is 25.0% of train_image_paths.csv, cut out by patient\n"
    assert said in capsys.readouterr().out
    Datalist(file)


def test_regions_are_chosen(source):
    file = made(source, regions=["XR_SHOULDER", "XR_FINGER"], fractions=(0.4, 0.3, 0.3))
    assert {item["study"].split("/")[1] for item in items_of(file).values()} == {"XR_SHOULDER", "XR_FINGER"}
    assert json.loads(file.read_text())["provenance"]["regions"] == ["XR_SHOULDER", "XR_FINGER"]
    shutil.rmtree(file.parent)
    assert "region 'XR_WRISTS': did you mean 'XR_WRIST'? they are XR_ELBOW, " in refusal(
        prepare, source, regions=["XR_WRISTS"]
    )


def test_the_folder_above_and_one_of_another_name_will_do(source):
    expected = items_of(made(source))
    moved = source.rename(source.parent / "bones")
    plain = {name: {**item, "image": item["image"].replace("MURA-v1.1", "bones")} for name, item in expected.items()}
    assert items_of(made(moved)) == plain
    moved.rename(source.parent / "MURA-v1.1")
    assert items_of(prepare(source.parent, source.parent / "out")) == expected


def test_the_same_source_and_seed_give_the_same_bytes_wherever_they_lie(source, tmp_path):
    marks = write_table(source, ABNORMAL[::3])
    for split in ("grouped", "official"):
        first = made(source, split=split, marks=marks, marked=5).read_bytes()
        assert made(source, split=split, marks=marks, marked=5).read_bytes() == first
        moved = shutil.copytree(source, tmp_path / split / source.name)
        assert made(moved, split=split, marks=marks, marked=5).read_bytes() == first
        assert str(tmp_path) not in first.decode()
        assert made(source, split=split, marks=marks, marked=5, seed=1).read_bytes() != first
    for name in ("train_image_paths.csv", "train_labeled_studies.csv"):
        write_lines(source, name, (source / name).read_text().splitlines()[::-1])
    assert sections_of(made(source, marks=marks)) == sections_of(made(moved, marks=marks))


def test_so_many_training_images_keep_their_mark_and_all_others_theirs(source, capsys):
    file = made(source, split="official", marks=write_table(source, ABNORMAL), marked=7)
    sections = sections_of(file)
    masks = {name: {item["id"] for item in items if "mask" in item} for name, items in sections.items()}
    abnormal = {name: {item["id"] for item in items if item["label"]} for name, items in sections.items()}
    assert (masks["validation"], masks["test"]) == (abnormal["validation"], abnormal["test"])
    assert len(masks["training"]) == 7
    assert masks["training"] < abnormal["training"]
    assert len({item["group"] for item in sections["training"] if "mask" in item}) == 7
    folder = file.parent / "marks"
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*.png")}
    assert there == {f"{name}.png" for names in masks.values() for name in names}  # of what is hidden there is no file
    mask = np.asarray(Image.open(folder / f"{min(masks['test'])}.png"))
    expected = np.zeros((9, 12), np.uint8)
    expected[1:4, 2:7] = 255
    assert (mask == expected).all()
    listed = Datalist(file)
    assert sum(item["mask"] is not None for item in listed.labelled()) == 7
    provenance = json.loads(file.read_text())["provenance"]["marks"]
    assert (provenance["from"], provenance["in training"]) == ("marks.csv", 7)
    assert len(provenance["sha256"]) == 64

    masked = made(source, split="official", marks=write_table(source, ABNORMAL[:-1]))  # masks before are replaced
    assert len([*folder.rglob("*.png")]) == len(ABNORMAL) - 1
    Datalist(masked)


def test_fewer_marks_than_asked_are_refused(source):
    marks = write_table(source, ABNORMAL[-9:])
    message = refusal(prepare, source, marks=marks, marked=9, split="official")
    assert f"{marks}: 9 marked training images are wanted, and there are " in message
    assert "of 9 marked ones in all sections: mark more, or ask for fewer" in message
    assert "0 marked training images are wanted: give 1 or more" in refusal(prepare, source, marks=marks, marked=0)
    assert "marked 9: say with --marks where the lesions are" in refusal(prepare, source, marked=9)


def test_marks_that_cannot_be_are_named_together(source):
    normal = next(name for name in IMAGES if name not in ABNORMAL)
    marks = write_table(source, [normal, "image1", "train/XR_HAND/patient09999/study1_positive/image1.png"])
    with marks.open("a") as lines:
        lines.write(f"{ABNORMAL[0]},2,1,17,4\n")
    head, *faults = refusal(prepare, source, marks=marks).splitlines()
    assert head == f"{marks} cannot be used:"
    hinted = faults.pop(2)
    assert hinted.startswith(
        "  - marks.csv, line 4: 'train/XR_HAND/patient09999/study1_positive/image1.png' is not in "
        f"{source}: correct the name or the folder; did you mean MURA-v1.1/"
    )
    outside = "box [2, 1, 17, 4] reaches outside the image of 12 x 9 pixels: correct it"
    assert faults == [
        f"  - marks.csv, line 2: MURA-v1.1/{normal} is normal, and marked: remove its mark, or correct its label",
        "  - marks.csv, line 3: 'image1' may be any of "
        + ", ".join(f"MURA-v1.1/{name}" for name in sorted(name for name in IMAGES if name.endswith("image1.png"))[:5])
        + f": write its path below {source}",
        f"  - marks.csv, line 5: MURA-v1.1/{ABNORMAL[0]}: {outside}",
    ]


def test_masks_in_folders_as_the_images_are(source):
    folder = source.parent / "drawn"
    for name in ABNORMAL[:4]:
        file = folder / name.removeprefix("train/")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(9, 12, dtype=bool)).save(file)
    file = made(source, marks=folder)
    assert {name for name, item in items_of(file).items() if "mask" in item} == {id_of(name) for name in ABNORMAL[:4]}
    assert json.loads(file.read_text())["provenance"]["marks"]["masks"] == 4
    Datalist(file)
    with pytest.raises(ValueError, match="out/marks would be written, but the files to read are there"):
        made(source, marks=file.parent / "marks")


def test_marks_of_images_that_are_not_used_are_told(source, capsys):
    (source / ABNORMAL[0]).unlink()
    other = next(name for name in ABNORMAL if "XR_SHOULDER" in name)
    region = ABNORMAL[0].split("/")[1]
    file = made(source, regions=[region], marks=write_table(source, [ABNORMAL[0], other, ABNORMAL[1]]))
    names = sorted(f"MURA-v1.1/{name}" for name in (ABNORMAL[0], other))
    assert left_out(file)["images missing"] == [ABNORMAL[0]]
    assert left_out(file)["marks of images that are not used"] == names[: 2 + (region in ABNORMAL[1])]
    assert "marks of images that are not used: " in capsys.readouterr().out


def test_images_that_are_missing_or_broken_are_left_out_by_name(source):
    (source / IMAGES[0]).unlink()
    (source / IMAGES[3]).write_text("<html>")
    file = made(source)
    assert left_out(file) == {"images missing": [IMAGES[0]], "images broken": [f"{IMAGES[3]} (not a picture)"]}
    assert len(items_of(file)) == len(IMAGES) - 2
    Datalist(file)


def test_a_source_without_pictures_is_refused(source):
    for part in ("train", "valid"):
        shutil.rmtree(source / part)
    message = refusal(prepare, source)
    assert f"of class normal, abnormal no image can be used, of all others 0; images missing: {len(IMAGES)}" in message


@pytest.mark.parametrize("name", [*lines_of("train"), *lines_of("valid")])
def test_missing_tables_are_named(source, name):
    (source / name).unlink()
    message = refusal(prepare, source)
    assert f"{source} has no {name}: give the folder MURA-v1.1 into which the published archive was unpacked" in message
    write_lines(source, name, [])
    assert f"{name} has no rows" in refusal(prepare, source)


FIRST = STUDIES[0]
SECOND = STUDIES[1]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "train_labeled_studies.csv",
            f"{FIRST.path}/,1",
            f"{FIRST.path}/,0",
            f"train_labeled_studies.csv, line 1: {FIRST.path} has label 0, and is positive by its name: correct one",
        ),
        (
            "train_labeled_studies.csv",
            f"{SECOND.path}/,0",
            f"{SECOND.path}/,1",
            f"train_labeled_studies.csv, line 2: {SECOND.path} has label 1, and is negative by its name: correct one",
        ),
        (
            "train_labeled_studies.csv",
            f"{FIRST.path}/,1",
            f"{FIRST.path}/,",
            f"line 1: {FIRST.path}: label '' must be 0 or 1: take the published table",
        ),
        (
            "train_labeled_studies.csv",
            f"MURA-v1.1/{FIRST.path}/,1\n",
            "",
            f"train_image_paths.csv, {FIRST.images[0]}: its study is not in train_labeled_studies.csv: take both from",
        ),
        (
            "train_image_paths.csv",
            "".join(f"MURA-v1.1/{name}\n" for name in FIRST.images),
            "",
            f"train_labeled_studies.csv, line 1: {FIRST.path} has no image in train_image_paths.csv: take both from",
        ),
        (
            "train_labeled_studies.csv",
            f"MURA-v1.1/{SECOND.path}/,0",
            f"MURA-v1.1/{FIRST.path.replace('positive', 'negative')}/,0",
            f"line 2: {FIRST.path.replace('positive', 'negative')} is {FIRST.path} in line 1: a study has one label",
        ),
        (
            "train_labeled_studies.csv",
            f"MURA-v1.1/{SECOND.path}/,0",
            f"MURA-v1.1/{FIRST.path}/,1",
            f"line 2: {FIRST.path} is in line 1, too: remove one of them",
        ),
        (
            "train_image_paths.csv",
            SECOND.images[0],
            FIRST.images[0],
            f"train_image_paths.csv, {FIRST.images[0]} is there twice: remove one of its lines",
        ),
        ("train_image_paths.csv", FIRST.path, "train/XR_HAND/study1", "line 1: 'MURA-v1.1/train/XR_HAND/study1/"),
        ("train_image_paths.csv", "image1.png", "image1.txt", "must end like train/XR_SHOULDER/patient00001/study1_"),
        ("valid_image_paths.csv", "valid/", "train/", "belongs into the table of train: take the published table"),
        ("train_image_paths.csv", "MURA-v1.1", "image\nMURA-v1.1", "line 1: 'image' must be like train/XR_SHOULDER/"),
    ],
)
def test_tables_that_contradict_themselves_or_each_other_are_refused(source, name, old, new, said):
    change(source, name, old, new)
    message = refusal(prepare, source)
    assert f"{source} cannot be used:" in message
    assert said in message


def test_the_faults_of_all_tables_are_said_together(source):
    for part in ("train", "valid"):
        first = lines_of(part)[f"{part}_labeled_studies.csv"][0]
        change(source, f"{part}_labeled_studies.csv", first, f"{first[:-1]}{1 - int(first[-1])}")
    message = refusal(prepare, source)
    assert "train_labeled_studies.csv, line 1: " in message
    assert "valid_labeled_studies.csv, line 1: " in message


def test_a_patient_in_both_lists_is_no_reason_to_refuse_but_for_the_official_split(source):
    name = f"patient{STUDIES[-1].patient:05d}"
    old = next(study for study in STUDIES if study.patient == LEARNED).path.split("/")[2]
    for file in ("train_image_paths.csv", "train_labeled_studies.csv"):
        (source / file).write_text((source / file).read_text().replace(old, name))
    for folder in source.glob(f"train/*/{old}"):
        folder.rename(folder.with_name(name))
    message = refusal(prepare, source, split="official")
    assert f"{name} is in train and in valid: leave one of them, or use --split grouped" in message
    items = items_of(made(source)).values()
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        parts[item["group"]].add(item["study"].split("/")[0])
    assert parts[name] == {"train", "valid"}
    Datalist(source.parent / "out")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "random"}, "split 'random': give one of grouped, official"),
        ({"fractions": (0.8, 0.2)}, "give three, for training, validation, test"),
        ({"fractions": (0.8, 0.2, 0.2), "copy": True}, "add up to 1"),  # before anything is copied
        ({"resize": 0}, "give the longest side in pixels"),
    ],
)
def test_settings_without_sense_are_refused(source, settings, said):
    assert said in refusal(prepare, source, **settings)


def test_copies_may_be_smaller_and_their_masks_with_them(source):
    file = made(source, resize=6, marks=write_table(source, ABNORMAL, "2,0,6,4"))
    item = items_of(file)[id_of(ABNORMAL[0])]
    assert (item["image"], item["mask"]) == (f"images/{ABNORMAL[0]}", f"marks/{ABNORMAL[0]}")
    with Image.open(file.parent / item["image"]) as small, Image.open(file.parent / item["mask"]) as mask:
        assert small.size == mask.size == (6, 4)
        assert (np.asarray(mask) > 0).tolist() == [[False, True, True, False, False, False]] * 2 + [[False] * 6] * 2
    Datalist(file)
    moved = source.rename(source.parent / "images")
    with pytest.raises(ValueError, match="the files to read are there: give another --out"):
        prepare(moved, moved.parent, resize=6)


def test_a_dry_run_prints_the_table_and_writes_nothing(source, capsys):
    file = made(source, marks=write_table(source, ABNORMAL), marked=3, copy=True, dry_run=True)
    assert not file.parent.exists()
    printed = capsys.readouterr().out
    row = next(line.split() for line in printed.splitlines() if line.startswith("training, labelled"))
    assert row[4] == "3"  # masks
    assert f"dry run: {file} is not written" in printed


def test_the_command_line_gives_what_the_function_gives(monkeypatch, capsys):
    given: dict = {}
    monkeypatch.setattr(mura, "prepare", lambda **settings: given.update(settings))
    mura.main(["--source", "a", "--out", "b"])
    assert given == {
        "source": Path("a"),
        "out": Path("b"),
        "regions": (),
        "marks": None,
        "marked": None,
        "image_column": "image",
        "corner_columns": None,
        "size_columns": None,
        "categories": (),
        "split": "grouped",
        "fractions": (0.7, 0.1, 0.2),
        "seed": 0,
        "copy": False,
        "resize": None,
        "dry_run": False,
    }
    others = "--regions XR_HAND XR_WRIST --marks m --marked 100 --image-column i --size-columns x y w h --categories c"
    mura.main(["--source", "a", "--out", "b", *f"{others} --split official --seed 4 --copy --resize 9".split()])
    assert list(given.values())[2:] == [
        ["XR_HAND", "XR_WRIST"], Path("m"), 100, "i", None, ["x", "y", "w", "h"], ["c"],
        "official", (0.7, 0.1, 0.2), 4, True, 9, False,
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        mura.main(["--help"])
    printed = capsys.readouterr().out
    assert "{grouped,official}" in printed
    assert "train_labeled_studies.csv" in printed


def test_what_is_wrong_is_one_message(source, tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*nowhere has no train_image_paths\.csv"):
        mura.main(["--source", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"error: .*none\.csv: there is no such file"):
        mura.main(["--source", str(source), "--out", str(tmp_path / "out"), "--marks", "none.csv"])
    assert not (tmp_path / "out").exists()
