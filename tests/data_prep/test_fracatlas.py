"""FracAtlas: the published tree, made small; the four roles; what is left out; the published files where they are."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import items_of, left_out, sections_of

from data_prep import fracatlas
from data_prep.fracatlas import BOXES, FRACTURED, HOSPITAL_NEGATIVES, NORMAL, TABLE, prepare
from semimed_monai.data import Datalist

TAR = Path(__file__).parents[3] / "shared" / "data" / "fracatlas.tar"
POSITIVES, NEGATIVES = 50, 150


def name_of(number: int) -> str:
    return f"IMG{number:07d}.jpg"


def write_coco(source: Path, change=lambda content: None) -> None:
    """Box n reaches from (1, 1) to (4 + n % 3, 5); every tenth image has a second one."""
    images = [{"id": n + 1, "width": 12, "height": 9, "file_name": name_of(n)} for n in range(POSITIVES)]
    boxes = [{"image_id": n + 1, "bbox": [1, 1, 3 + n % 3, 4]} for n in range(POSITIVES)]
    boxes += [{"image_id": n + 1, "bbox": [7.5, 5.5, 2, 2.25]} for n in range(0, POSITIVES, 10)]
    annotations = [{"id": place, "category_id": 0, "iscrowd": 0, **box} for place, box in enumerate(boxes)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "fractured"}]}
    change(content)
    file = source / BOXES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def source(tmp_path) -> Path:
    """Pictures of 12 x 9: the first 50 fractured, in a row of numbers with the 150 others."""
    source = tmp_path / "published"
    rows = ["image_id,hand,fractured,fracture_count"]
    for number in range(POSITIVES + NEGATIVES):
        file = source / (FRACTURED if number < POSITIVES else NORMAL) / name_of(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (9, 12), dtype=np.uint8)
        Image.fromarray(noise).save(file)
        rows.append(f"{name_of(number)},1,{int(number < POSITIVES)},{int(number < POSITIVES)}")
    (source / TABLE).write_text("\n".join(rows) + "\n")
    write_coco(source)
    return source


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def refusal(source: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at where this is used
        made(source, **settings)
    assert not (source.parent / "out").exists()
    return str(caught.value)


def ids(items: list[dict], role: str | None = None) -> set[str]:
    return {item["id"] for item in items if role is None or item["role"] == role}


def test_every_image_has_the_class_of_its_folder_and_its_own_boxes(source):
    file = made(source, hidden=0)

    listed = Datalist(file)  # opens every file, and looks whether the boxes are inside
    assert listed.classes == ["normal", "fracture"]
    items = items_of(file)
    assert sorted(items) == [name_of(number) for number in range(POSITIVES + NEGATIVES)]
    for number in range(POSITIVES + NEGATIVES):
        item = items[name_of(number)]
        assert item["label"] == int(number < POSITIVES)
        assert item["image"] == f"../published/{FRACTURED if number < POSITIVES else NORMAL}/{name_of(number)}"
        assert item["group"] == name_of(number)
        second = [[7.5, 5.5, 9.5, 7.75]] * (number % 10 == 0)
        assert item.get("boxes") == ([[1, 1, 4 + number % 3, 5], *second] if number < POSITIVES else None)


def test_the_folds_are_alike_and_each_image_is_tested_once(source):
    tested = []
    for fold in range(5):
        sections = sections_of(made(source, fold=fold))
        assert sum(map(len, sections.values())) == POSITIVES + NEGATIVES
        assert Counter(item["label"] for item in sections["test"]) == {1: 10, 0: 30}
        assert Counter(item["label"] for item in sections["validation"]) == {1: 8, 0: 24}
        assert all("boxes" in item for name in ("validation", "test") for item in sections[name] if item["label"])
        assert not any("role" in item for name in ("validation", "test") for item in sections[name])
        tested += [item["id"] for item in sections["test"]]
    assert len({*tested}) == len(tested) == POSITIVES + NEGATIVES


def test_most_training_boxes_are_hidden_and_negatives_are_divided_as_in_the_paper(source, capsys):
    file = made(source)
    training = sections_of(file)["training"]
    roles = Counter(item["role"] for item in training)
    assert roles == {"P_hos": 3, "P_pub": 29, "N_hos": round(96 * HOSPITAL_NEGATIVES), "N_pub": 61}
    assert round(HOSPITAL_NEGATIVES, 4) == 0.3681
    assert all(("boxes" in item) == (item["role"] == "P_hos") for item in training)
    assert f"roles: P_hos 3, N_hos {roles['N_hos']}, P_pub 29, N_pub 61\n" in capsys.readouterr().out
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["roles"] == {"hidden": 0.9, "N_hos of the negatives": 0.3681, "seed": 0}


def test_fewer_hidden_boxes_are_the_same_ones_and_nothing_else_moves(source):
    few, many = (sections_of(made(source, hidden=hidden)) for hidden in (0.5, 0.9))
    assert ids(many["training"], "P_hos") < ids(few["training"], "P_hos")
    assert ids(few["training"], "N_hos") == ids(many["training"], "N_hos")
    assert (few["validation"], few["test"]) == (many["validation"], many["test"])
    assert ids(sections_of(made(source, hidden=0))["training"], "P_pub") == set()


def test_nobody_can_take_the_split_for_one_by_patient(source, capsys):
    file = made(source)
    assert "note: NO PATIENT IDS: the set does not say which images are of one person" in capsys.readouterr().out
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["patients"].startswith("NO PATIENT IDS")
    assert provenance["split"]["by"] == "image: the set names no patients"
    assert provenance["licence"] == "CC BY 4.0"


def test_the_same_source_and_seed_give_the_same_bytes_wherever_they_lie(source, tmp_path):
    first = made(source).read_bytes()
    assert made(source).read_bytes() == first
    moved = shutil.copytree(source, tmp_path / "elsewhere" / "published")
    assert made(moved).read_bytes() == first
    assert str(tmp_path) not in first.decode()
    assert made(source, seed=1).read_bytes() != first


def test_broken_images_and_those_on_which_folder_and_boxes_disagree_are_left_out_by_name(source, capsys):
    whole = (source / NORMAL / name_of(60)).read_bytes()
    (source / NORMAL / name_of(60)).write_bytes(whole[:-40])
    (source / FRACTURED / name_of(7)).rename(source / NORMAL / name_of(7))
    (source / FRACTURED / name_of(8)).unlink()
    Image.new("L", (9, 12)).save(source / FRACTURED / name_of(9))

    def change(content: dict) -> None:
        annotations = content["annotations"]
        annotations[11]["bbox"] = [1, 1, 20, 4]
        annotations[12]["bbox"] = [1, 1, 0, 4]
        annotations[13]["bbox"] = [-0.75, 1, 4, 8.5]
        del annotations[14]

    write_coco(source, change)
    file = made(source, hidden=0)
    reasons = left_out(file)
    assert reasons.pop("images broken")[0].startswith(f"{name_of(60)} (image file is truncated")
    assert reasons == {
        "boxes of images that are not there": [name_of(8)],
        "boxes that do not fit their image": [
            f"{name_of(9)} (its boxes were drawn at 12 x 9 pixels, and it has 9 x 12: scale them)",
            f"{name_of(11)} (box [1, 1, 21, 5] reaches outside the image of 12 x 9 pixels: correct it)",
            f"{name_of(12)} (box [1, 1, 1, 5] has no area: correct or remove it)",
        ],
        "in Non_fractured, but with a box": [name_of(7)],
        "in Fractured, but without a box": [name_of(14)],
        f"in {TABLE}, but in no folder": [name_of(8)],
        f"of another class in {TABLE}, kept as the folder says": [name_of(7)],
    }
    assert items_of(file)[name_of(13)]["boxes"] == [[0, 1, 3.25, 9]]
    assert len(items_of(file)) == 200 - 7
    assert f"images broken: 1 ({name_of(60)}" in capsys.readouterr().out
    Datalist(file)


def test_dataset_csv_is_compared_but_decides_nothing(source, capsys):
    before = sections_of(made(source))
    rows = (source / TABLE).read_text().replace(f"{name_of(70)},1,0,0", f"{name_of(70)},1,1,1").splitlines()
    (source / TABLE).write_text("\n".join([*rows[:-1], "IMG0009999.jpg,0,0,0"]))
    file = made(source)
    assert sections_of(file) == before
    assert left_out(file) == {
        f"in {TABLE}, but in no folder": ["IMG0009999.jpg"],
        f"not in {TABLE}, kept": [name_of(199)],
        f"of another class in {TABLE}, kept as the folder says": [name_of(70)],
    }
    assert f"kept as the folder says: 1 ({name_of(70)})\n" in capsys.readouterr().out
    (source / TABLE).unlink()
    assert left_out(made(source)) == {}


def test_copies_of_a_file_stay_together_and_never_have_two_classes(source, capsys):
    for number in range(150, 160):
        shutil.copy(source / NORMAL / name_of(number), source / NORMAL / name_of(number + 20))
    shutil.copy(source / FRACTURED / name_of(3), source / NORMAL / name_of(199))
    for seed in range(4):
        file = made(source, seed=seed)
        places = {item["id"]: name for name, items in sections_of(file).items() for item in items}
        assert all(places[name_of(number)] == places[name_of(number + 20)] for number in range(150, 160))
        assert items_of(file)[name_of(170)]["group"] == name_of(150)
        assert left_out(file) == {"in Non_fractured, and the very same file in Fractured": [name_of(199)]}
    assert (
        "note: 10 images are copies of others, byte for byte: they stay in their section\n" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fold": 5}, "fold 5 of 5: give two folds or more, and one from 0 to 4"),
        ({"folds": 1}, "fold 0 of 1: give two folds or more"),
        ({"validation": 0}, "validation 0: give a part between 0 and 1"),
        ({"hidden": 1}, "hidden 1: give a part from 0 to below 1"),
    ],
)
def test_settings_without_sense_are_refused(source, settings, said):
    assert said in refusal(source, **settings)


@pytest.mark.parametrize("name", [FRACTURED, NORMAL, BOXES])
def test_another_layout_is_refused(source, name):
    (source / name).rename(source / "elsewhere")
    assert f"has no {name}: give the folder into which FracAtlas was unpacked" in refusal(source)


def test_what_cannot_be_of_one_set_is_refused(source):
    assert "is a file: unpack it" in refusal(source / TABLE)
    shutil.copy(source / FRACTURED / name_of(1), source / NORMAL / name_of(1))
    assert f"{name_of(1)} is in {FRACTURED} and in {NORMAL}: remove one of them" in refusal(source)
    (source / NORMAL / name_of(1)).unlink()
    (source / TABLE).write_text("image,fractured\na,1\n")
    assert f"{TABLE} has no column image_id: take it from the published archive" in refusal(source)
    (source / TABLE).unlink()
    for file in (source / NORMAL).iterdir():
        file.write_bytes(b"")
    assert "of class normal no image can be used, of all others 50; images broken: 150, the first " in refusal(source)


def test_the_command_line_gives_what_the_function_gives(source, tmp_path, monkeypatch, capsys):
    given: dict = {}
    monkeypatch.setattr(fracatlas, "prepare", lambda **settings: given.update(settings))
    fracatlas.main(["--source", "a", "--out", "b"])
    defaults = {"folds": 5, "fold": 0, "validation": 0.2, "hidden": 0.9, "marked": None, "seed": 0, "dry_run": False}
    assert given == {"source": Path("a"), "out": Path("b"), **defaults}
    others = "--folds 4 --fold 3 --validation .1 --hidden .5 --seed 2 --dry-run"
    fracatlas.main(["--source", "a", "--out", "b", *others.split()])
    assert list(given.values())[2:] == [4, 3, 0.1, 0.5, None, 2, True]
    fracatlas.main(["--source", "a", "--out", "b", "--marked", "100"])
    assert given["marked"] == 100
    with pytest.raises(SystemExit):
        fracatlas.main(["--source", "a", "--out", "b", "--marked", "100", "--hidden", ".5"])


def test_a_dry_run_writes_nothing(source, capsys):
    file = made(source, dry_run=True)
    assert not file.parent.exists()
    assert f"dry run: {file} is not written" in capsys.readouterr().out


def outlined(content: dict) -> None:
    """In each box a triangle with its right angle above on the left; no pixel's centre is on an edge."""
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["segmentation"] = [[x + 0.1, y + 0.1, x + width - 0.1, y + 0.1, x + 0.1, y + height - 0.3]]


def test_with_marks_the_outlines_are_masks_of_few_training_images_and_of_all_others(source):
    write_coco(source, outlined)
    boxes = made(source, fold=1)
    before = {name: ids(items) for name, items in sections_of(boxes).items()}
    file = made(source, fold=1, marked=6)
    sections = sections_of(file)
    assert {name: ids(items) for name, items in sections.items()} == before  # the same split
    listed = Datalist(file)
    assert listed.classes == ["normal", "abnormal"]
    masks = {name: {item["id"] for item in items if "mask" in item} for name, items in sections.items()}
    abnormal = {name: {item["id"] for item in items if item["label"]} for name, items in sections.items()}
    assert (masks["validation"], masks["test"]) == (abnormal["validation"], abnormal["test"])
    assert len(masks["training"]) == 6
    assert masks["training"] < abnormal["training"]
    every = [item for items in sections.values() for item in items]
    assert not any("boxes" in item or "role" in item for item in every)
    written = {path.name for path in (file.parent / "marks").iterdir()}
    assert written == {name.replace("jpg", "png") for names in masks.values() for name in names}
    tenth = next(
        name for name in sorted(masks["test"] | masks["validation"]) if name[9] == "0"
    )  # with a second fracture
    mask = np.asarray(Image.open(file.parent / "marks" / tenth.replace("jpg", "png"))) > 0
    expected = np.zeros((9, 12), bool)
    slope = 3 + int(tenth[3:10]) % 3
    for row, column in np.ndindex(9, 12):
        across, down = column + 0.5, row + 0.5
        first = min(across, down) > 1.1 and (across - 1.1) / (slope - 0.2) + (down - 1.1) / 3.6 < 1
        second = across > 7.6 and down > 5.6 and (across - 7.6) / 1.8 + (down - 5.6) / 1.85 < 1
        expected[row, column] = first or second
    assert (mask == expected).all()
    facts = json.loads(file.read_text())["provenance"]
    assert facts["marks"] == {"in training": 6, "seed": 0}
    assert "roles" not in facts


def test_fewer_marks_are_among_more_and_too_many_are_refused(source):
    write_coco(source, outlined)
    few, many = (
        {item["id"] for item in sections_of(made(source, marked=marks))["training"] if "mask" in item}
        for marks in (5, 9)
    )
    assert few < many
    shutil.rmtree(source.parent / "out")
    message = refusal(source, marked=33)
    assert "33 marked training images are wanted, and there are 32, of 50 marked ones in all sections" in message
    assert "0 marked training images are wanted: give 1 or more" in refusal(source, marked=0)


def test_outlines_that_do_not_fit_are_refused_and_those_of_images_left_out_are_not_looked_at(source):
    def change(content: dict) -> None:
        outlined(content)
        content["annotations"][3]["segmentation"] = [[1, 1, 14.5, 1, 1, 5]]
        content["annotations"][4]["segmentation"] = [[1, 1, 14.5, 1, 1, 5]]
        content["annotations"][4]["bbox"] = [1, 1, 20, 4]

    write_coco(source, change)
    message = refusal(source, marked=5)
    assert f"image 4: {name_of(3)}: the outline within [1, 1, 14.5, 5] reaches outside the image of 12 x 9" in message
    assert name_of(4) not in message
    assert items_of(made(source))  # who does not ask for them has the boxes


@pytest.mark.skipif(not TAR.is_file(), reason="shared/data/fracatlas.tar is not beside the repository")
def test_the_published_files_are_of_the_form_that_is_read(tmp_path):
    """All of it: the eight truncated images, the four that are in both folders under two names."""
    with tarfile.open(TAR) as tar:
        tar.extractall(tmp_path / "published", filter="data")
    file = prepare(tmp_path / "published", tmp_path / "out")
    items, reasons = items_of(file), left_out(file)
    assert Counter(item["label"] for item in items.values()) == {1: 656, 0: 2641 - 4}
    assert len(reasons["images broken"]) == 8
    assert len(reasons["in Non_fractured, and the very same file in Fractured"]) == 4
    roles = Counter(item["role"] for item in sections_of(file)["training"])
    assert roles == {"P_hos": 42, "N_hos": 621, "P_pub": 378, "N_pub": 1066}
    Datalist(file)

    marked = prepare(tmp_path / "published", tmp_path / "marked", marked=100)
    sections = sections_of(marked)
    assert sum("mask" in item for item in sections["training"]) == 100
    published = json.loads((tmp_path / "published" / BOXES).read_text())
    names = {image["id"]: image["file_name"] for image in published["images"]}
    areas: Counter[str] = Counter()
    for annotation in published["annotations"]:
        areas[names[annotation["image_id"]]] += annotation["area"]
    for item in (item for item in [*sections["validation"], *sections["test"]] if item["label"]):
        boxes = np.array(items[item["id"]]["boxes"])
        with Image.open(marked.parent / item["mask"]) as mask:
            x0, y0, x1, y1 = mask.getbbox()
            assert np.count_nonzero(mask) == pytest.approx(areas[item["id"]], rel=0.1)
        assert (np.array([x0, y0]) > boxes[:, :2].min(0) - 0.51).all()
        assert (np.array([x1, y1]) < boxes[:, 2:].max(0) + 0.51).all()
    Datalist(marked, check=False)
