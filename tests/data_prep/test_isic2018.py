"""ISIC 2018: the published tree, made small; what is left out; and the published files themselves where they are."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from PIL import Image
from written import items_of, left_out, sections_of

from data_prep import isic2018
from data_prep.isic2018 import (
    CLASSES,
    GROUND_TRUTH,
    GROUPINGS,
    IMAGES,
    MASKS,
    METADATA,
    TEST_IMAGES,
    TEST_TRUTH,
    prepare,
)
from data_prep.pictures import shrunk
from semimed_monai.data import Datalist

REPOSITORY = Path(__file__).parents[2]
TAR = REPOSITORY.parent / "shared" / "data" / "isic2018.tar"
ORDER = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
PER_CLASS = 12


def name_of(number: int) -> str:
    return f"ISIC_{number:07d}"


def mask_of(name: str) -> str:
    return f"{MASKS}/{name}_segmentation.png"


def class_of(name: str) -> int:
    return int(name[5:]) // PER_CLASS


def write_csv(file: Path, rows: list[list[str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path) -> Path:
    """Twelve photographs of each class, 12 x 9, two of each lesion; mask n is n % 12 + 1 pixels of the first row."""
    source = tmp_path / "published"
    (source / IMAGES).mkdir(parents=True)
    (source / MASKS).mkdir()
    marks, facts = [["image", *ORDER]], [["lesion_id", "image_id", "dx"]]
    for number in range(len(ORDER) * PER_CLASS):
        name, label = name_of(number), number // PER_CLASS
        noise = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(source / IMAGES / f"{name}.jpg")
        mask = np.zeros((9, 12), dtype=bool)
        mask[0, : number % 12 + 1] = True
        Image.fromarray(mask).save(source / MASKS / f"{name}_segmentation.png")
        marks.append([name, *("1.0" if place == label else "0.0" for place in range(len(ORDER)))])
        facts.insert(1, [f"HAM_{number // 2:07d}", name, ORDER[label].lower()])  # not in the ground truth's order
    write_csv(source / GROUND_TRUTH, marks)
    write_csv(source / METADATA, facts)
    return source


@pytest.fixture
def tested(source) -> list[str]:
    """The challenge's test set beside it: two photographs of each class."""
    names = [name_of(10_000 + number) for number in range(2 * len(ORDER))]
    (source / TEST_IMAGES).mkdir()
    for name in names:
        Image.new("RGB", (12, 9), "pink").save(source / TEST_IMAGES / f"{name}.jpg")
    marks = [[name, *(str(int(place == row // 2)) for place in range(7))] for row, name in enumerate(names)]
    write_csv(source / TEST_TRUTH, [["image", *ORDER], *marks])
    return names


def refusal(source: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at where this is used
        prepare(source, source.parent / "refused", **settings)
    assert not (source.parent / "refused").exists()
    return str(caught.value)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def truncate(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])


def test_every_image_has_its_own_class_mask_and_lesion(source, tmp_path):
    file = prepare(source, tmp_path / "out")

    assert file == tmp_path / "out" / "datalist.json"
    assert [each.name for each in file.parent.iterdir()] == ["datalist.json"]
    listed = Datalist(file)  # opens every file
    assert listed.classes == ORDER == list(CLASSES)
    items = items_of(file)
    assert sorted(items) == [name_of(number) for number in range(84)]
    for name, item in items.items():
        assert item == {
            "image": f"../published/{IMAGES}/{name}.jpg",
            "label": class_of(name),
            "mask": f"../published/{MASKS}/{name}_segmentation.png",
            "group": f"HAM_{int(name[5:]) // 2:07d}",
            "id": name,
        }


def test_sections_have_their_shares_all_classes_and_no_lesion_in_common(source, tmp_path):
    sections = sections_of(prepare(source, tmp_path / "out", fractions=(0.5, 0.25, 0.25), seed=3))

    lesions = [{item["group"] for item in items} for items in sections.values()]
    assert len(set.union(*lesions)) == sum(map(len, lesions)) == 42
    assert all(
        abs(len(items) - share * 84) <= 4 for items, share in zip(sections.values(), (0.5, 0.25, 0.25), strict=True)
    )
    assert all({item["label"] for item in items} == set(range(7)) for items in sections.values())


def test_photographs_at_random_tear_lesions_and_it_is_said(source, tmp_path, capsys):
    file = prepare(source, tmp_path / "out", split="random")

    sections = sections_of(file)
    assert [len(items) for items in sections.values()] == pytest.approx([58.8, 8.4, 16.8], abs=3)
    assert all({item["label"] for item in items} == set(range(7)) for items in sections.values())
    assert all(item["group"] == item["id"] for item in items_of(file).values())
    with (source / METADATA).open() as lines:
        lesions = {row["image_id"]: row["lesion_id"] for row in csv.DictReader(lines)}
    section_of = {item["id"]: name for name, items in sections.items() for item in items}
    places = {lesion: {section_of[name] for name in lesions if lesions[name] == lesion} for lesion in lesions.values()}
    leaking = sum(len(found) > 1 for found in places.values())
    assert 10 < leaking < 42  # two photographs each: at random 46 % of the lesions are torn
    split = json.loads(file.read_text())["provenance"]["split"]
    assert (split["by"], split["fractions"], split["lesions in several sections"]) == (
        "image",
        [0.7, 0.1, 0.2],
        leaking,
    )
    said = (
        f"SPLIT BY IMAGE: {leaking} of 42 lesions have images in several sections, so that some of what is tested was"
    )
    assert split["leak"].startswith(said)
    assert f"note: {split['leak']}\n" in capsys.readouterr().out
    Datalist(file)


def test_officially_test_is_the_challenges_and_validation_is_cut_out_by_lesion(source, tested, tmp_path, capsys):
    file = prepare(source, tmp_path / "out", split="official", fractions=(0.6, 0.2, 0.2))

    sections = sections_of(file)
    assert sections["test"] == [
        {"image": f"../published/{TEST_IMAGES}/{name}.jpg", "label": row // 2, "group": name, "id": name}
        for row, name in enumerate(tested)
    ]
    learned, validated = ({item["group"] for item in sections[name]} for name in ("training", "validation"))
    assert not learned & validated
    assert learned | validated == {f"HAM_{lesion:07d}" for lesion in range(42)}
    assert len(sections["validation"]) == pytest.approx(21, abs=2)
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["split"]["by"] == "official lists, and lesion"
    assert provenance["counts"] == {"listed": 84, "images": 84, "masks": 84, "lesions": 42, "test images": 14}
    assert provenance["left_out"] == {}  # what was never drawn is not missing
    printed = capsys.readouterr().out
    truth, test_truth = (Path(name).name for name in (GROUND_TRUTH, TEST_TRUTH))
    assert f"note: test is {test_truth}; validation is 25.0% of {truth}, cut out by lesion\n" in printed
    assert "note: the challenge does not say which lesions its test photographs show: each counts as one" in printed
    Datalist(file)


def test_the_challenges_test_photographs_are_copied_and_left_out_by_name_too(source, tested, tmp_path):
    truncate(source / TEST_IMAGES / f"{tested[0]}.jpg")
    (source / TEST_IMAGES / f"{tested[1]}.jpg").unlink()
    (source / TEST_IMAGES / "stray.jpg").touch()
    file = prepare(source, tmp_path / "out", split="official", resize=4)

    assert [item["image"] for item in sections_of(file)["test"]] == [f"images/{name}.jpg" for name in tested[2:]]
    reasons = left_out(file)
    assert reasons["images broken"][0].startswith(f"{tested[0]}.jpg (")
    assert (reasons["images missing"], reasons["files without a row"]) == ([tested[1]], ["stray.jpg"])
    Datalist(file)


@pytest.mark.parametrize("name", [TEST_IMAGES, TEST_TRUTH])
@pytest.mark.usefixtures("tested")
def test_without_its_test_set_the_challenges_split_is_refused(source, name):
    (source / name).rename(source / "elsewhere")
    message = refusal(source, split="official")
    assert f"has no {name}: unpack the challenge's test set there, or use --split lesion" in message
    prepare(source, source.parent / "out")  # other splits do not look for it


@pytest.mark.usefixtures("tested")
def test_a_test_photograph_that_is_learned_from_is_refused(source):
    edit(source / TEST_TRUTH, name_of(10_000), name_of(0))
    shutil.copyfile(source / IMAGES / f"{name_of(0)}.jpg", source / TEST_IMAGES / f"{name_of(0)}.jpg")
    message = refusal(source, split="official")
    assert f"test[0] ({name_of(0)}): the same image and slice, or the same id, as " in message


def test_by_lesion_nothing_leaks_and_nothing_is_said(source, tmp_path, capsys):
    by_default = prepare(source, tmp_path / "out").read_bytes()
    assert prepare(source, tmp_path / "out", split="lesion").read_bytes() == by_default
    assert "leak" not in json.loads(by_default)["provenance"]["split"]
    assert "SPLIT BY IMAGE" not in capsys.readouterr().out


def test_provenance_says_whence_and_how(source, tmp_path):
    provenance = json.loads(prepare(source, tmp_path / "out", seed=5).read_text())["provenance"]

    assert provenance["licence"] == "CC BY-NC 4.0"
    assert "HAM10000" in provenance["source"]
    assert "Tschandl, Rosendahl, Kittler" in provenance["cite"][0]
    assert provenance["class_names"]["VASC"] == "vascular lesion"
    assert provenance["counts"] == {"listed": 84, "images": 84, "masks": 84, "lesions": 42}
    assert provenance["split"] == {"by": "lesion", "fractions": [0.7, 0.1, 0.2], "seed": 5}
    assert provenance["longest_side"] == "as published"
    assert provenance["left_out"] == {}


def test_same_source_and_seed_give_the_same_bytes_wherever_they_lie(source, tmp_path):
    first = prepare(source, tmp_path / "out").read_bytes()
    assert prepare(source, tmp_path / "out").read_bytes() == first

    rows = (source / GROUND_TRUTH).read_text().splitlines()
    (source / GROUND_TRUTH).write_text("\n".join([rows[0], *reversed(rows[1:])]))
    assert prepare(source, tmp_path / "out").read_bytes() == first

    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copytree(source, tmp_path / "elsewhere" / "published")
    assert prepare(moved, tmp_path / "elsewhere" / "out").read_bytes() == first
    assert prepare(source, tmp_path / "out", seed=1).read_bytes() != first


def test_a_dry_run_prints_the_table_and_writes_nothing(source, tmp_path, capsys):
    file = prepare(source, tmp_path / "out", copy=True, dry_run=True)

    assert not file.parent.exists()
    printed = capsys.readouterr().out
    assert "training, labelled" in printed
    assert f"dry run: {file} is not written" in printed
    assert "written:" not in printed


def test_copies_are_the_same_bytes(source, tmp_path):
    file = prepare(source, tmp_path / "out", copy=True)

    item = items_of(file)[name_of(20)]
    assert (item["image"], item["mask"]) == (f"images/{name_of(20)}.jpg", f"masks/{name_of(20)}_segmentation.png")
    for key, folder in (("image", IMAGES), ("mask", MASKS)):
        assert (file.parent / item[key]).read_bytes() == (source / folder / Path(item[key]).name).read_bytes()
    assert len(list(file.parent.rglob("*.*"))) == 84 + 84 + 1


def test_resized_copies_keep_shape_and_the_masks_stay_binary(source, tmp_path):
    file = prepare(source, tmp_path / "out", resize=4)

    Datalist(file)
    for name, item in items_of(file).items():
        with Image.open(file.parent / item["image"]) as picture, Image.open(file.parent / item["mask"]) as mask:
            assert picture.size == mask.size == (4, 3)
            assert picture.mode == "RGB"
            # Nearest: the small mask's columns are the centres of three pixels, its rows those of three.
            expected = np.zeros((9, 12), dtype=bool)
            expected[0, : int(name[5:]) % 12 + 1] = True
            np.testing.assert_array_equal(np.asarray(mask), expected[1::3, 1::3])
    assert json.loads(file.read_text())["provenance"]["longest_side"] == 4


def test_a_resized_photograph_is_averaged_and_one_that_is_small_already_is_only_copied(source, tmp_path):
    halves = np.zeros((9, 12, 3), dtype=np.uint8)
    halves[:, 1::2] = 200
    Image.fromarray(halves).save(source / IMAGES / f"{name_of(0)}.jpg", quality=100, subsampling=0)

    small = prepare(source, tmp_path / "small", resize=4).parent / "images" / f"{name_of(0)}.jpg"
    same = prepare(source, tmp_path / "same", resize=12).parent / "images" / f"{name_of(0)}.jpg"

    assert abs(np.asarray(Image.open(small)).mean() - 100) < 3
    assert np.asarray(Image.open(small))[:, 1:3].std() < 40  # picking every third pixel would leave 0 and 200
    assert same.read_bytes() == (source / IMAGES / f"{name_of(0)}.jpg").read_bytes()


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.integers(1, 600))
def test_shrinking_reaches_the_longest_side_and_keeps_the_shape(size, longest):
    small = shrunk(size, longest)
    assert max(small) == min(max(size), longest)
    assert min(small) >= 1
    scale = max(small) / max(size)
    assert all(abs(new - old * scale) <= 0.5 or new == 1 for old, new in zip(size, small, strict=True))


def test_missing_and_broken_files_are_left_out_by_name(source, tmp_path, capsys):
    (source / IMAGES / f"{name_of(0)}.jpg").unlink()
    truncate(source / IMAGES / f"{name_of(1)}.jpg")
    (source / IMAGES / f"{name_of(2)}.jpg").write_text("<html>not found</html>")
    (source / MASKS / f"{name_of(3)}_segmentation.png").unlink()
    truncate(source / MASKS / f"{name_of(4)}_segmentation.png")
    Image.new("1", (6, 4)).save(source / MASKS / f"{name_of(5)}_segmentation.png")

    file = prepare(source, tmp_path / "out")

    items = items_of(file)
    assert sorted(items) == [name_of(number) for number in range(3, 84)]
    assert [name for name in sorted(items) if "mask" not in items[name]] == [name_of(number) for number in (3, 4, 5)]
    reasons = left_out(file)
    assert reasons["images missing"] == [name_of(0)]
    assert reasons["images without a mask, kept"] == [name_of(3)]
    truncated, page = reasons["images broken"]
    assert truncated.startswith(f"{name_of(1)}.jpg (")
    assert "truncated" in truncated.lower()
    assert page == f"{name_of(2)}.jpg (not a picture)"
    assert reasons["masks broken, their images kept"][0].startswith(f"{name_of(4)}_segmentation.png (")
    assert reasons["masks of another size, their images kept"] == [
        f"{name_of(5)}_segmentation.png (6x4, the image 12x9)"
    ]
    printed = capsys.readouterr().out
    assert f"images broken: 2 ({truncated}, {page})\n" in printed
    assert f"images missing: 1 ({name_of(0)})\n" in printed
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["counts"] == {"listed": 84, "images": 81, "masks": 78, "lesions": 41}
    assert str(tmp_path) not in file.read_text()
    Datalist(file)


def test_photographs_without_a_row_are_named(source, tmp_path, capsys):
    """One whose name has another ending is not the one of the table; the archives hold a licence, too."""
    (source / IMAGES / f"{name_of(0)}.jpg").rename(source / IMAGES / f"{name_of(0)}.JPG")
    Image.new("RGB", (12, 9)).save(source / IMAGES / f"{name_of(99)}.jpg")
    for other in ("LICENSE.txt", f"._{name_of(1)}.jpg"):
        (source / IMAGES / other).touch()

    file = prepare(source, tmp_path / "out")

    assert left_out(file) == {
        "images missing": [name_of(0)],
        "files without a row": [f"{name_of(0)}.JPG", f"{name_of(99)}.jpg"],
    }
    assert f"files without a row: 2 ({name_of(0)}.JPG, {name_of(99)}.jpg)\n" in capsys.readouterr().out


def test_a_long_report_names_the_first_and_counts_the_rest(source, tmp_path, capsys):
    for number in range(0, 84, 6):
        (source / IMAGES / f"{name_of(number)}.jpg").unlink()

    file = prepare(source, tmp_path / "out")

    ten = ", ".join(name_of(number) for number in range(0, 60, 6))
    assert f"images missing: 14 ({ten} and 4 more)\n" in capsys.readouterr().out
    assert len(left_out(file)["images missing"]) == 14


def test_a_set_without_masks_is_a_set_of_classes(source, tmp_path):
    shutil.rmtree(source / MASKS)
    file = prepare(source, tmp_path / "out", copy=True)
    assert not any("mask" in item for item in items_of(file).values())
    assert not (file.parent / "masks").exists()
    Datalist(file)


def test_a_tar_is_to_be_unpacked(source, tmp_path):
    archive = tmp_path / "isic2018.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source / METADATA, METADATA)
    assert "is a file: unpack it (tar -xf isic2018.tar -C FOLDER)" in refusal(archive)


def test_the_challenges_own_table_of_lesions_does_as_well(source, tmp_path):
    expected = items_of(prepare(source, tmp_path / "out"))
    rows = [[image, lesion, "histopathology"] for lesion, image, _ in csv.reader((source / METADATA).open())][1:]
    write_csv(source / GROUPINGS, [["image", "lesion_id", "diagnosis_confirm_type"], *rows[::-1]])
    (source / METADATA).unlink()
    assert items_of(prepare(source, tmp_path / "out")) == expected


def test_without_a_table_of_lesions_both_are_named(source):
    (source / METADATA).unlink()
    message = refusal(source)
    assert f"has no {METADATA} or {GROUPINGS}, which say which lesion a photograph shows: put one of them" in message
    assert "the first from Harvard Dataverse (doi:10.7910/DVN/DBW86T) or the second from the challenge" in message


def test_a_photograph_of_two_lesions_is_refused_and_one_that_is_only_there_twice_is_not(source, tmp_path):
    expected = items_of(prepare(source, tmp_path / "out"))
    with (source / METADATA).open("a") as lines:
        lines.write(f"HAM_0000004,{name_of(9)},nv\n")
    assert items_of(prepare(source, tmp_path / "out")) == expected

    with (source / METADATA).open("a") as lines:
        lines.write(f"HAM_0000007,{name_of(9)},nv\nHAM_0000008,{name_of(10)},nv\n")
    message = refusal(source)
    assert message.startswith(f"{source / METADATA} cannot be used:")
    for line, name, other, lesion in ((87, name_of(9), 7, 4), (88, name_of(10), 8, 5)):
        said = f"line {line}: {name} is of lesion 'HAM_{other:07d}', and of 'HAM_{lesion:07d}' above: remove the line"
        assert said in message


@pytest.mark.parametrize("name", [IMAGES, GROUND_TRUTH])
def test_another_layout_is_refused(source, name):
    (source / name).rename(source / "elsewhere")
    message = refusal(source)
    assert f"has no {name}: give the folder" in message
    assert f"has no {name}, no" not in message


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (GROUND_TRUTH, "image,MEL", "image,SCC,MEL", "it has unknown SCC; found: image, SCC, MEL, NV"),
        (GROUND_TRUTH, "MEL,NV", "mel,NV", "it lacks MEL and has unknown mel; found: image, mel, NV"),
        (METADATA, "lesion_id", "lesion", "it lacks lesion_id; found: lesion, image_id, dx"),
        (GROUND_TRUTH, f"{name_of(1)},1.0,0.0", f"{name_of(1)},1.0,1.0", f"line 3 ({name_of(1)})"),
        (GROUND_TRUTH, f"{name_of(1)},1.0", f"{name_of(1)},0.0", "must be one 1 and otherwise 0"),
        (GROUND_TRUTH, f"{name_of(1)},1.0,0.0", f"{name_of(1)},1.0,0.4", "must be one 1 and otherwise 0"),
        (GROUND_TRUTH, name_of(1), name_of(0), f"line 3: {name_of(0)} is there twice"),
        (
            METADATA,
            f",{name_of(9)}",
            ",ISIC_9999999",
            f"lacks the lesion of 1 of the ground truth's images, the first {name_of(9)}",
        ),
        (METADATA, f"HAM_0000004,{name_of(9)}", f",{name_of(9)}", "lacks the lesion of 1 "),
    ],
)
def test_tables_of_another_form_are_refused(source, file, old, new, said):
    edit(source / file, old, new)
    message = refusal(source)
    assert str(source / file) in message
    assert said in message


def test_columns_may_be_in_another_order(source, tmp_path):
    expected = items_of(prepare(source, tmp_path / "out"))
    rows = list(csv.reader((source / GROUND_TRUTH).open()))
    write_csv(source / GROUND_TRUTH, [row[::-1] for row in rows])
    assert items_of(prepare(source, tmp_path / "out")) == expected


def test_a_class_without_an_image_is_refused(source):
    for number in range(36, 48):
        (source / IMAGES / f"{name_of(number)}.jpg").unlink()
    message = refusal(source)
    assert "of class AKIEC no image can be used, of all others 72" in message
    assert f"images missing: 12, the first {name_of(36)}" in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "grouped"}, "split 'grouped': give one of lesion, official, random"),
        ({"fractions": (0.8, 0.2)}, "give three, for training, validation, test"),
        ({"fractions": (0.8, 0.2, 0.2)}, "add up to 1"),
        ({"resize": 0}, "give the longest side in pixels"),
        ({"fractions": (0.8, 0.2, 0.2), "resize": 4}, "add up to 1"),  # before anything is copied
    ],
)
def test_settings_without_sense_are_refused(source, settings, said):
    assert said in refusal(source, **settings)


def test_the_command_line_gives_what_the_function_gives(source, tmp_path, monkeypatch, capsys):
    given_to: dict = {}
    monkeypatch.setattr(isic2018, "prepare", lambda **settings: given_to.update(settings))
    isic2018.main(["--source", "a", "--out", "b"])
    assert given_to == {
        "source": Path("a"),
        "out": Path("b"),
        "split": "lesion",
        "fractions": (0.7, 0.1, 0.2),
        "seed": 0,
        "copy": False,
        "resize": None,
        "dry_run": False,
    }
    others = "--split random --fractions .6 .2 .2 --seed 4 --copy --resize 9 --dry-run"
    isic2018.main(["--source", "a", "--out", "b", *others.split()])
    assert list(given_to.values())[2:] == ["random", [0.6, 0.2, 0.2], 4, True, 9, True]


def test_as_a_program_from_another_folder(source, run_program, tmp_path):
    code, said = run_program("data_prep.isic2018", "--source", "published", "--out", "out", cwd=tmp_path)
    assert code == 0, said
    assert "written: " in said
    Datalist(tmp_path / "out")

    code, said = run_program("data_prep.isic2018", "--source", "nowhere", "--out", "out2", cwd=tmp_path)
    assert code == 1
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert not (tmp_path / "out2").exists()


def test_the_recipe_reads_the_set_as_colour_photographs_and_sees_its_classes_equally_often(source, tmp_path):
    for number in range(12, 18):  # classes of different size
        (source / IMAGES / f"{name_of(number)}.jpg").unlink()
    prepare(source, tmp_path / "out")
    bundle = REPOSITORY / "bundles" / "dcmt"
    recipe = ConfigParser()
    recipe.read_config([bundle / "configs" / "train.json", bundle / "configs" / "isic2018.json"])
    recipe.update(
        {"bundle_root": str(bundle), "dataset_dir": str(tmp_path / "out"), "labelled_share": 0.6, "labelled_rows": 14}
    )

    assert recipe.get_parsed_content("profile") == "table"
    item = recipe.get_parsed_content("train#dataset")[0]
    assert item["image"].shape == (3, 64, 64)
    assert item["mask"].any()
    batch = next(iter(recipe.get_parsed_content("train#dataloader")))["label"].tolist()
    assert Counter(batch) == {-1: 10, **dict.fromkeys(range(7), 2)}


@pytest.mark.skipif(not TAR.is_file(), reason="shared/data/isic2018.tar is not beside the repository")
def test_the_published_files_are_of_the_form_that_is_read(tmp_path):
    """The tables and the names of all, the pictures of three images of each class."""
    with tarfile.open(TAR) as tar:
        names = set(tar.getnames())
        for table in (GROUND_TRUTH, METADATA):
            member = tar.extractfile(table)
            assert member is not None
            (tmp_path / table).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / table).write_bytes(member.read())
        rows = list(csv.DictReader((tmp_path / GROUND_TRUTH).open()))
        files_of = {row["image"]: (f"{IMAGES}/{row['image']}.jpg", mask_of(row["image"])) for row in rows}
        assert all(names.issuperset(files) for files in files_of.values())
        few = [row["image"] for label in ORDER for row in [row for row in rows if float(row[label])][:3]]
        for file in [file for image in few for file in files_of[image]]:
            tar.extract(file, tmp_path, filter="data")

    file = prepare(tmp_path, tmp_path / "out", fractions=(0.4, 0.3, 0.3))

    items = items_of(file)
    truth = {row["image"]: next(place for place, label in enumerate(ORDER) if float(row[label])) for row in rows}
    assert sorted(items) == sorted(few)
    assert all((item["label"], item["mask"]) == (truth[name], f"../{mask_of(name)}") for name, item in items.items())
    assert len(left_out(file)["images missing"]) == len(rows) - 21
    assert Counter(item["label"] for item in items.values()) == dict.fromkeys(range(7), 3)
    Datalist(file)
