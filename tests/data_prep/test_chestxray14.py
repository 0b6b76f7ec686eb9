"""ChestX-ray14: the published tree, made small; each way to split it; what is refused; a real sample."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from public_sets import refusal, write_picture, write_published
from written import items_of, left_out, sections_of

from data_prep import chestxray14
from data_prep.chestxray14 import BOXES, CLASSES, LISTS, TABLES, findings, prepare
from semimed_monai.data import Datalist

TAR = Path(__file__).parents[3] / "shared" / "data" / "chestxray14_mini.tar"
TABLE, FIRST_RELEASE = TABLES
COLUMNS = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
           "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"]  # fmt: skip
BOX_COLUMNS = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
ORDER = ["Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
         "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"]  # fmt: skip
PATIENTS = 56


def name_of(patient: int, film: int = 0) -> str:
    return f"{patient:08d}_{film:03d}.png"


ALL = [name_of(patient, film) for patient in range(PATIENTS) for film in range(2)]


def said_of(patient: int, film: int) -> str:
    """Patient n has the findings n % 14 and (n + 3) % 14 in the first film and nothing in the second; every fourth has
    nothing in the first either."""
    if film or patient % 4 == 3:
        return "No Finding"
    return f"{ORDER[patient % 14]}|{ORDER[(patient + 3) % 14]}"


def row_of(name: str, said: str) -> list[object]:
    patient, film = int(name[:8]), int(name[9:12])
    return [name, said, film, patient, 57, "M", "PA", 2682, 2749, 0.143, 0.143]


def rows() -> list[list[object]]:
    return [row_of(name_of(n, film), said_of(n, film)) for n in range(PATIENTS) for film in range(2)]


def write_boxes(source: Path, *boxes: list[object]) -> None:
    """As published: without quotes, so that the last column's name fills four, and three more have none."""
    write_published(source / BOXES, [[*BOX_COLUMNS, "", "", ""], *([*box, "", "", ""] for box in boxes)])


def write_lists(source: Path, train_val: list[str], test: list[str]) -> None:
    for name, names in zip(LISTS, (train_val, test), strict=True):
        (source / name).write_bytes("\r\n".join([*names, ""]).encode())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Two films, 12 x 9, of each patient."""
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate(ALL):
        write_picture(folder / name, number)
    return folder


@pytest.fixture
def source(tmp_path, drawn) -> Path:
    """The table, the films in one folder; patients to 39 are in the first list, the others in the second."""
    source = tmp_path / "published"
    shutil.copytree(drawn, source / "images")
    write_published(source / TABLE, [COLUMNS, *rows()])
    write_lists(source, ALL[:80], ALL[80:])
    return source


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def test_every_film_has_its_findings_and_its_patient(source):
    file = made(source)

    assert [each.name for each in file.parent.iterdir()] == ["datalist.json"]
    listed = Datalist(file)  # opens every file
    assert listed.classes == ORDER == list(CLASSES)
    items = items_of(file)
    assert sorted(items) == [name.removesuffix(".png") for name in ALL]
    for name, item in items.items():
        patient, film = int(name[:8]), int(name[9:])
        present = {patient % 14, (patient + 3) % 14} if not film and patient % 4 != 3 else set()
        assert item == {
            "image": f"../published/images/{name}.png",
            "label": [int(place in present) for place in range(14)],
            "group": str(patient),
            "id": name,
        }


@given(st.sets(st.sampled_from(ORDER), min_size=1), st.randoms())
def test_findings_are_read_in_any_order(present, random):
    names = sorted(present)
    random.shuffle(names)
    assert [name for name, mark in zip(ORDER, findings(" | ".join(names)), strict=True) if mark] == [
        name for name in ORDER if name in present
    ]


def test_patients_are_not_split_and_findings_are_alike_in_all_sections(source):
    file = made(source, fractions=(0.5, 0.25, 0.25), seed=3)

    sections = sections_of(file)
    patients = [{item["group"] for item in items} for items in sections.values()]
    assert len(set.union(*patients)) == sum(map(len, patients)) == PATIENTS
    assert [len(items) for items in sections.values()] == pytest.approx([56, 28, 28], abs=4)
    assert all(all(map(any, zip(*(item["label"] for item in items), strict=True))) for items in sections.values())
    facts = json.loads(file.read_text())["provenance"]
    assert facts["split"] == {"by": "patient", "fractions": [0.5, 0.25, 0.25], "seed": 3}
    assert facts["counts"] == {"listed": 112, "images": 112, "patients": 56}
    assert facts["table"] == TABLE
    assert len(facts["table_sha256"]) == 64
    assert "NIH Clinical Center" in facts["licence"]
    assert facts["left_out"] == {}


def test_the_official_lists_are_followed_and_validation_is_cut_out_by_patient(source, capsys):
    file = made(source, split="official", fractions=(0.6, 0.2, 0.2))

    sections = sections_of(file)
    assert {item["id"] for item in sections["test"]} == {name.removesuffix(".png") for name in ALL[80:]}
    learned, validated = ({item["group"] for item in sections[name]} for name in ("training", "validation"))
    assert not learned & validated
    assert len(learned | validated) == 40
    assert len(sections["validation"]) == pytest.approx(20, abs=2)
    split = json.loads(file.read_text())["provenance"]["split"]
    assert split["by"] == "official lists, and patient"
    assert split["train_val_list.txt"] == {"training": 0.75, "validation": 0.25}
    assert sorted(split["lists_sha256"]) == sorted(LISTS)
    said = "note: test is test_list.txt; validation is 25.0% of train_val_list.txt, cut out by patient\n"
    assert said in capsys.readouterr().out
    Datalist(file)


def test_a_film_in_neither_list_is_left_out(source):
    write_lists(source, ALL[:80], ALL[82:])
    file = made(source, split="official")
    assert len(items_of(file)) == 110
    assert left_out(file) == {"images in neither train_val_list.txt nor test_list.txt": ALL[80:82]}


def test_lists_that_contradict_each_other_or_the_table_are_refused(source):
    write_lists(source, ALL[:80], [ALL[0], *ALL[80:]])
    message = refusal(prepare, source, split="official")
    assert f"{source / LISTS[1]} cannot be used" in message
    assert f"line 1: {ALL[0]} is in train_val_list.txt, too: remove one of its lines" in message

    write_lists(source, ALL[:79], ALL[79:])
    message = refusal(prepare, source, split="official")
    assert f"line 1: {ALL[79]} is of patient 39, who is in train_val_list.txt, too: leave one of them" in message

    write_lists(source, [*ALL[:80], "00099999_000.png"], ALL[80:])
    message = refusal(prepare, source, split="official")
    assert f"line 81: 00099999_000.png has no row in {TABLE}: take both from the same release" in message

    for name in LISTS:
        (source / name).unlink()
        message = refusal(prepare, source, split="official")
        assert f"{name}: put the published lists there, or use --split grouped" in message
    assert "has no train_val_list.txt and no test_list.txt" in message
    made(source)  # who does not ask for them needs none


def test_films_at_random_tear_patients_and_it_is_said(source, capsys):
    file = made(source, split="random")

    sections = sections_of(file)
    assert [len(items) for items in sections.values()] == pytest.approx([78, 11, 22], abs=3)
    assert all(item["group"] == item["id"] for item in items_of(file).values())
    places: dict[str, set[str]] = {}
    for section, items in sections.items():
        for item in items:
            places.setdefault(item["id"][:8], set()).add(section)
    torn = sum(len(found) > 1 for found in places.values())
    assert torn > 5
    split = json.loads(file.read_text())["provenance"]["split"]
    assert (split["by"], split["patients in several sections"]) == ("image", torn)
    assert f"note: SPLIT BY IMAGE: {torn} of 56 patients have images in several sections" in capsys.readouterr().out
    assert "scores flatter" in split["leak"]
    Datalist(file)


def test_the_same_source_and_seed_give_the_same_bytes_wherever_they_lie(source, tmp_path):
    for split in ("grouped", "official", "random"):
        first = made(source, split=split).read_bytes()
        assert made(source, split=split).read_bytes() == first
        moved = shutil.copytree(source, tmp_path / split / source.name)
        assert made(moved, split=split).read_bytes() == first
        assert str(tmp_path) not in first.decode()
        assert made(source, split=split, seed=1).read_bytes() != first


def test_the_order_of_the_rows_does_not_matter(source):
    expected = sections_of(made(source))
    write_published(source / TABLE, [COLUMNS, *reversed(rows())])
    assert sections_of(made(source)) == expected


def test_the_first_release_and_the_published_folders_are_found(source):
    expected = items_of(made(source))
    (source / TABLE).unlink()
    # Every line of that table ends in a comma.
    write_published(source / FIRST_RELEASE, [[*COLUMNS, ""], *([*row, ""] for row in rows())])
    for number in (1, 12):
        (source / f"images_{number:03d}" / "images").mkdir(parents=True)
    for number, file in enumerate(sorted((source / "images").iterdir())):
        file.rename(source / f"images_{1 + number % 2 * 11:03d}" / "images" / file.name)
    (source / "images").rmdir()
    file = made(source)
    items = items_of(file)
    assert items["00000000_001"]["image"] == "../published/images_012/images/00000000_001.png"
    assert {name: item["label"] for name, item in items.items()} == {
        name: item["label"] for name, item in expected.items()
    }
    assert json.loads(file.read_text())["provenance"]["table"] == FIRST_RELEASE
    Datalist(file)


def test_of_two_films_of_one_name_the_first_is_taken_and_the_other_listed(source, capsys):
    expected = items_of(made(source))
    (source / "images_002" / "images").mkdir(parents=True)
    second = shutil.copy(source / "images" / "00000000_001.png", source / "images_002" / "images")
    capsys.readouterr()
    assert items_of(made(source)) == expected
    assert f"files of a name that another folder has, too: 1 ({second})" in capsys.readouterr().out


def test_boxes_are_in_the_pixels_of_the_files(source, capsys):
    write_boxes(
        source,
        [name_of(0), "Atelectasis", 256, 512, 128, 256],
        [name_of(0), "Infiltrate", 0, 0, 1024, 1024.4],  # cut to the border
        [name_of(4), "Mass", 512, 256.5, 100, 100],
        [name_of(4), "Pneumothorax", 512, 256.5, 100, 100],  # the same box
    )
    file = made(source)

    Datalist(file)
    items = items_of(file)
    assert items["00000000_000"]["boxes"] == [[3, 4.5, 4.5, 6.75], [0, 0, 12, 9]]
    assert items["00000004_000"]["boxes"] == [[6, 256.5 * 9 / 1024, 612 * 12 / 1024, 356.5 * 9 / 1024]]
    assert sum("boxes" in item for item in items.values()) == 2
    assert left_out(file) == {}
    printed = capsys.readouterr().out
    assert "boxes: " in printed
    assert "note: no boxes" not in printed
    assert len(json.loads(file.read_text())["provenance"]["boxes_sha256"]) == 64


def test_the_reader_hands_boxes_on_with_the_label_and_hides_both(source):
    write_boxes(source, *([name_of(n), ORDER[n % 14], 256, 512, 128, 256] for n in range(0, PATIENTS, 4)))
    listed = Datalist(made(source), labelled_share=0.5)
    assert all("boxes" not in item and item["label"] == [-1] * 14 for item in listed.unlabelled())
    assert next(item["boxes"] for item in listed.labelled() if "boxes" in item) == [[3, 4.5, 4.5, 6.75]]
    assert {item["id"] for item in listed.labelled() if "boxes" in item} <= {
        name_of(n).removesuffix(".png") for n in range(0, PATIENTS, 4)
    }


def test_boxes_that_cannot_be_used_are_named_and_their_films_kept(source):
    write_boxes(
        source,
        [name_of(0), "Atelectasis", 256, 512, 800, 256],
        [name_of(1), "Effusion", 256, 512, 128, 256],
        [name_of(99), "Effusion", 256, 512, 128, 256],
    )
    file = made(source)
    assert not any("boxes" in item for item in items_of(file).values())
    assert len(items_of(file)) == 112
    assert left_out(file) == {
        "boxes of a finding that the table does not give the image": [f"{name_of(1)} (Effusion)"],
        "boxes of images without a row": [name_of(99)],
        "boxes that do not fit, their images kept": [
            f"{name_of(0)} (box [256, 512, 1056, 768] reaches outside the image of 1024 x 1024 pixels: correct it)"
        ],
    }


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([name_of(0), "Rib", 1, 2, 3, 4], "line 2: finding 'Rib' is unknown"),
        ([name_of(0), "No Finding", 1, 2, 3, 4], "line 2: finding 'No Finding' is unknown"),
        (
            [name_of(0), "Atelectasis", 1, 2, "wide", 4],
            "line 2: Bbox [x '1', y '2', w 'wide', h] '4': write four numbers",
        ),
        (["", "Atelectasis", 1, 2, 3, 4], "line 2: column 'Image Index' is empty: name the image"),
    ],
)
def test_boxes_that_cannot_be_understood_are_refused(source, box, said):
    write_boxes(source, box)
    message = refusal(prepare, source)
    assert f"{source / BOXES} cannot be used" in message
    assert said in message


def test_rows_without_a_file_and_files_without_a_row_are_named(source, capsys):
    (source / "images" / ALL[0]).unlink()
    (source / "images" / ALL[1]).write_text("<html>not found</html>")
    whole = (source / "images" / ALL[2]).read_bytes()
    (source / "images" / ALL[2]).write_bytes(whole[:-40])
    write_picture(source / "images" / "00099999_000.png")
    (source / "images" / "Thumbs.db").write_bytes(b"")
    (source / "images" / "._00099998_000.png").write_bytes(b"")

    file = made(source)

    assert sorted(items_of(file)) == [name.removesuffix(".png") for name in ALL[3:]]
    reasons = left_out(file)
    assert reasons["images missing"] == [ALL[0]]
    assert reasons["files without a row"] == ["00099999_000.png"]
    page, truncated = reasons["images broken"]
    assert page == f"{ALL[1]} (not a picture)"
    assert truncated.startswith(f"{ALL[2]} (image file is truncated")
    printed = capsys.readouterr().out
    assert f"images missing: 1 ({ALL[0]})\n" in printed
    assert "files without a row: 1 (00099999_000.png)\n" in printed
    assert json.loads(file.read_text())["provenance"]["counts"] == {"listed": 112, "images": 109, "patients": 55}
    Datalist(file)


def test_many_missing_films_are_counted_and_the_first_named(source, capsys):
    for name in ALL[1::8]:
        (source / "images" / name).unlink()
    file = made(source)
    assert f"images missing: 14 ({', '.join(ALL[1::8][:10])} and 4 more)\n" in capsys.readouterr().out
    assert left_out(file)["images missing"] == ALL[1::8]


def test_a_class_without_a_film_is_refused(source):
    for name in ALL:
        if "Hernia" in said_of(int(name[:8]), int(name[9:12])):
            (source / "images" / name).unlink()
    message = refusal(prepare, source)
    assert "of class Hernia no image can be used, of all others 106; images missing: 6, the first 0000" in message


def test_a_set_without_any_finding_is_refused_and_films_without_one_are_counted(source, capsys):
    made(source)
    sections = sections_of(source.parent / "out" / "datalist.json")
    counts = {name: (sum(not any(item["label"]) for item in items), len(items)) for name, items in sections.items()}
    assert sum(none for none, _ in counts.values()) == 70
    said = ", ".join(f"{name} {none} of {all_}" for name, (none, all_) in counts.items())
    assert f"of none of the classes: {said}\n" in capsys.readouterr().out
    shutil.rmtree(source.parent / "out")

    write_published(source / TABLE, [COLUMNS, *(row_of(name, "No Finding") for name in ALL)])
    assert f"of class {', '.join(ORDER)} no image can be used, of all others 112. Unpack" in refusal(prepare, source)


@pytest.mark.parametrize(
    ("said_there", "said"),
    [
        ("Efusion", "line 2: finding 'Efusion' is unknown, did you mean 'Effusion'? the known ones are Atelectasis, "),
        ("Infiltrate", "finding 'Infiltrate' is unknown"),  # that is how the list of boxes spells it
        ("", "line 2: finding '' is unknown: the known ones are Atelectasis, Cardiomegaly"),
        ("No Finding|Mass", "line 2: 'No Finding|Mass': 'No Finding' may not stand beside a finding: remove one"),
    ],
)
def test_findings_that_cannot_be_understood_are_refused(source, said_there, said):
    write_published(source / TABLE, [COLUMNS, row_of(ALL[0], said_there), *rows()[1:]])
    message = refusal(prepare, source)
    assert f"{source / TABLE} cannot be used" in message
    assert said in message
    assert "Hernia, No Finding" in message or "beside" in message


def test_another_layout_is_refused(source):
    write_published(source / TABLE, [COLUMNS, *rows(), rows()[5]])
    assert f"{ALL[5]} is there twice: remove one of its lines" in refusal(prepare, source)
    write_published(source / TABLE, [COLUMNS, ["", *rows()[0][1:]]])
    assert "line 2: Image Index and Patient ID must be there" in refusal(prepare, source)
    write_published(source / TABLE, [["Image", *COLUMNS[1:]], *rows()])
    assert f"{TABLE} has no column Image Index: take it from the published set" in refusal(prepare, source)
    write_published(source / TABLE, [COLUMNS, *rows()])
    write_published(source / BOXES, [["Image Index", "Finding Label", "Bbox [x,y,w,h]"], [ALL[0], "Mass", "1"]])
    assert f"{BOXES} has no column Bbox [x, y, w, h]: take it" in refusal(prepare, source)
    (source / BOXES).unlink()
    (source / "images").rename(source / "pictures")
    assert "has no images/ and no images_001/images/: unpack the published archives there" in refusal(prepare, source)
    assert "is a file: give the folder that it is in" in refusal(prepare, source / TABLE)
    (source / TABLE).unlink()
    assert f"has no {TABLE} and no {FIRST_RELEASE} (or .gz)" in refusal(prepare, source)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "lesion"}, "split 'lesion': give one of grouped, official, random"),
        ({"fractions": (0.8, 0.2)}, "give three, for training, validation, test"),
        ({"fractions": (0.8, 0.2, 0.2), "copy": True}, "add up to 1"),  # before anything is copied
        ({"fractions": (0, 0, 1), "split": "official"}, "training 0, validation 0 must be positive"),
        ({"resize": 0}, "give the longest side in pixels"),
    ],
)
def test_settings_without_sense_are_refused(source, settings, said):
    assert said in refusal(prepare, source, **settings)


def test_copies_are_the_same_bytes_and_smaller_ones_have_smaller_boxes(source):
    write_boxes(source, [name_of(0), "Atelectasis", 256, 512, 128, 256])
    file = made(source, copy=True)
    assert items_of(file)["00000000_000"]["image"] == f"images/{ALL[0]}"
    assert all((file.parent / "images" / name).read_bytes() == (source / "images" / name).read_bytes() for name in ALL)
    Datalist(file)

    file = made(source, resize=4)
    item = items_of(file)["00000000_000"]
    assert item["boxes"] == [[1, 1.5, 1.5, 2.25]]
    with Image.open(file.parent / item["image"]) as small, Image.open(source / "images" / ALL[0]) as large:
        assert (small.size, small.mode) == ((4, 3), "L")
        assert np.asarray(small).mean() == pytest.approx(np.asarray(large).mean(), abs=15)
    assert json.loads(file.read_text())["provenance"]["longest_side"] == 4
    Datalist(file)


def test_the_published_films_are_not_written_over(source):
    whole = (source / "images" / ALL[0]).read_bytes()
    with pytest.raises(ValueError, match="the files to read are there: give another --out"):
        prepare(source, source, resize=4)
    assert (source / "images" / ALL[0]).read_bytes() == whole
    assert items_of(prepare(source, source))["00000000_000"]["image"] == f"images/{ALL[0]}"


def test_a_dry_run_prints_the_table_and_writes_nothing(source, capsys):
    file = made(source, resize=4, dry_run=True)
    assert not file.parent.exists()
    printed = capsys.readouterr().out
    assert "training, labelled" in printed
    assert f"note: no boxes: {BOXES} is not there" in printed
    assert f"dry run: {file} is not written" in printed


def test_the_command_line_gives_what_the_function_gives(monkeypatch, capsys):
    given_to: dict = {}
    monkeypatch.setattr(chestxray14, "prepare", lambda **settings: given_to.update(settings))
    chestxray14.main(["--source", "a", "--out", "b"])
    assert given_to == {
        "source": Path("a"),
        "out": Path("b"),
        "split": "grouped",
        "fractions": (0.7, 0.1, 0.2),
        "seed": 0,
        "copy": False,
        "resize": None,
        "dry_run": False,
    }
    others = "--split official --fractions .6 .2 .2 --seed 4 --copy --resize 9 --dry-run"
    chestxray14.main(["--source", "a", "--out", "b", *others.split()])
    assert list(given_to.values())[2:] == ["official", [0.6, 0.2, 0.2], 4, True, 9, True]
    with pytest.raises(SystemExit):
        chestxray14.main(["--help"])
    printed = capsys.readouterr().out
    assert "{grouped,official,random}" in printed
    assert "A box in a datalist has no class" in printed


def test_what_is_wrong_is_one_message(source, tmp_path, capsys):
    chestxray14.main(["--source", str(source), "--out", str(tmp_path / "out"), "--split", "random"])
    assert "SPLIT BY IMAGE" in capsys.readouterr().out
    Datalist(tmp_path / "out")
    with pytest.raises(SystemExit, match=r"error: .*nowhere has no Data_Entry_2017_v2020\.csv"):
        chestxray14.main(["--source", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out2")])
    assert not (tmp_path / "out2").exists()


@pytest.mark.skipif(not TAR.is_file(), reason="shared/data/chestxray14_mini.tar is not beside the repository")
def test_the_real_sample_is_of_the_form_that_is_read(tmp_path, capsys):
    with tarfile.open(TAR) as tar:
        tar.extractall(tmp_path / "sample", filter="data")

    file = prepare(tmp_path / "sample", tmp_path / "out")

    Datalist(file)
    items = items_of(file)
    assert len(items) == 743
    assert left_out(file) == {}
    found = Counter(ORDER[place] for item in items.values() for place, mark in enumerate(item["label"]) if mark)
    assert (found["Effusion"], found["Infiltration"], found["Hernia"]) == (120, 108, 9)
    assert sum(not any(item["label"]) for item in items.values()) == 376
    assert len({item["group"] for item in items.values()}) == 211
    boxes = {name: item["boxes"] for name, item in items.items() if "boxes" in item}
    assert sorted(boxes) == ["00000149_006", "00000150_002", "00000181_061", "00000211_010", "00000211_016"]
    # 603.661016949153, 460.239555746822, 249.491525423729 wide, 90.0338983050847 high, of 1024; the file has 64.
    assert boxes["00000149_006"] == [pytest.approx([37.728814, 28.764972, 53.322034, 34.392091])]
    assert "boxes: " in capsys.readouterr().out
