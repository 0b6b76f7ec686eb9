"""The published set of OAI's knees: its folders, made small; a test section for a copy without; all that is refused."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from public_sets import refusal, write_picture
from written import items_of, left_out, sections_of

from data_prep import oai_kl
from data_prep.oai_kl import prepare
from data_prep.oai_knee import Knee
from data_prep.oai_published import PublishedKnee, published_knee
from semimed_monai.data import Datalist

TAR = Path(__file__).parents[3] / "shared" / "data" / "oai_kl.tar"
SUBJECTS = {"train": range(9000000, 9000040), "val": range(9000100, 9000120), "test": range(9000200, 9000210)}
SECTIONS = {"train": "training", "val": "validation", "test": "test"}


def grades_of(subject: int) -> dict[str, int]:
    """Both knees' of most; every fifth subject has a left one only."""
    grades = {"L": subject % 5, "R": (subject // 3 + subject) % 5}
    return grades if subject % 5 else {"L": 0}


def knees(part: str) -> dict[str, int]:
    """Name -> grade."""
    return {f"{subject}{side}": grade for subject in SUBJECTS[part] for side, grade in grades_of(subject).items()}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("oai") / "kneeKL224"
    for part in SUBJECTS:
        for number, (name, grade) in enumerate(knees(part).items()):
            write_picture(folder / part / str(grade) / f"{name}.png", number)
    return folder


@pytest.fixture
def source(tmp_path, drawn) -> Path:
    return shutil.copytree(drawn, tmp_path / "kneeKL224")


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def moved(source: Path, old: str, new: str) -> None:
    (source / new).parent.mkdir(parents=True, exist_ok=True)
    (source / old).rename(source / new)


def subjects_of(items: list[dict]) -> set[str]:
    return {item["group"] for item in items}


def test_every_knee_has_the_grade_of_its_folder_its_subject_and_its_part(source):
    file = made(source)

    assert [each.name for each in file.parent.iterdir()] == ["datalist.json"]
    listed = Datalist(file)  # opens every file, and looks whether a subject is in two sections
    assert listed.classes == ["KL 0", "KL 1", "KL 2", "KL 3", "KL 4"]
    for part, section in SECTIONS.items():
        assert sections_of(file)[section] == [
            {"image": f"../kneeKL224/{part}/{grade}/{name}.png", "label": grade, "group": name[:-1], "id": name}
            for name, grade in sorted(knees(part).items())
        ]
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["counts"]["val"] == {"images": len(knees("val")), "subjects": 20}
    assert provenance["split"] == {"by": "published parts"}
    assert provenance["left_out"] == {}
    assert "56rmx5bjcr" in provenance["source"]


def test_the_same_source_gives_the_same_bytes_wherever_it_lies(source, tmp_path):
    shutil.rmtree(source / "test")
    first = made(source, test_from="val").read_bytes()
    assert made(source, test_from="val").read_bytes() == first
    elsewhere = shutil.copytree(source, tmp_path / "elsewhere" / source.name)
    assert made(elsewhere, test_from="val").read_bytes() == first
    assert str(tmp_path) not in first.decode()
    assert made(source, test_from="val", seed=1).read_bytes() != first


def test_a_copy_without_test_or_val_is_used_and_said_to_be_one(source, capsys):
    shutil.rmtree(source / "test")
    assert sections_of(made(source))["test"] == []
    printed = capsys.readouterr().out
    assert "note: kneeKL224 has no test/: no official test section; --test-from cuts one out by subject\n" in printed
    assert "note: no test items: training ends with its evaluation: set --test#section validation there\n" in printed
    shutil.rmtree(source / "val")
    assert {name for name, items in sections_of(made(source)).items() if items} == {"training"}
    assert "note: kneeKL224 has no val/: no validation section\n" in capsys.readouterr().out


def test_what_lies_beside_the_parts_is_not_used_and_said(source, capsys):
    write_picture(source / "auto_test" / "0" / "9000200_1.png")
    (source / "old").mkdir()
    (source / "train" / "0" / ".DS_Store").touch()
    (source / "train" / "0" / "Thumbs.db").touch()
    (source / "val" / "readme.txt").touch()
    file = made(source)
    printed = capsys.readouterr().out
    assert "note: not used: auto_test/ (the test subjects' knees once more, as a detector found them)\n" in printed
    assert "note: not used: old\n" in printed
    assert left_out(file) == {"files that are no pictures": ["train/0/Thumbs.db", "val/readme.txt"]}
    assert len(items_of(file)) == sum(len(knees(part)) for part in SUBJECTS)


@pytest.mark.parametrize("part", ["val", "train"])
def test_a_test_section_is_cut_by_subject_out_of_the_part_that_is_named(source, part, capsys):
    shutil.rmtree(source / "test")
    whole = sections_of(made(source))
    file = made(source, test_from=part, test_share=0.4)
    cut = sections_of(file)
    section = SECTIONS[part]
    other = "training" if part == "val" else "validation"
    assert cut[other] == whole[other]
    assert sorted([*cut[section], *cut["test"]], key=lambda item: item["id"]) == whole[section]
    assert not subjects_of(cut[section]) & subjects_of(cut["test"])
    assert len(cut["test"]) == pytest.approx(0.4 * len(whole[section]), abs=1)
    counts, of_test = (Counter(item["label"] for item in items) for items in (whole[section], cut["test"]))
    assert all(abs(of_test[grade] - 0.4 * counts[grade]) <= 1.5 for grade in range(5))
    said = f"TEST IS NOT THE PUBLISHED ONE: it is 40.0% of {part}, cut out by subject"
    assert json.loads(file.read_text())["provenance"]["split"] == {"by": "published parts", "test": said, "seed": 0}
    assert f"note: {said}\n" in capsys.readouterr().out
    Datalist(file)


def test_no_second_test_section_is_cut_nor_one_out_of_nothing(source):
    assert "kneeKL224 has the published test part, so leave --test-from out" in refusal(
        prepare, source, test_from="val"
    )
    shutil.rmtree(source / "test")
    shutil.rmtree(source / "val")
    assert "has no image in val/: cut the test section out of train" in refusal(prepare, source, test_from="val")
    assert "test_share is 1: give a number between 0 and 1" in refusal(prepare, source, test_from="train", test_share=1)


def test_all_that_is_wrong_with_the_folders_is_named_together(source):
    moved(source, "train/1/9000001L.png", "train/5/9000001L.png")
    moved(source, "train/2/9000002L.png", "train/KL2/9000002L.png")
    moved(source, "train/3/9000003L.png", "train/9000003L.png")
    moved(source, "train/4/9000004L.png", "train/4/more/9000004L.png")
    moved(source, "val/0/9000100L.png", "val/0/9000100.png")
    moved(source, "val/1/9000101L.png", "val/1/copy of 9000101L.png")
    moved(source, "val/2/9000102L.png", "val/2/9000102l.png")
    shutil.copy(source / "train/1/9000006L.png", source / "test/1/9000006L.jpg")
    shutil.copy(source / "train/2/9000007L.png", source / "train/4/9000007L.png")
    shutil.copy(source / "train/3/9000008L.png", source / "train/3/9000008L.jpeg")
    like = "its name must be like 9001695L.png (subject, then L or R)"
    grades = "grade 2 by train/2/9000007L.png and 4 by train/4/9000007L.png"
    parts = "(train/1/9000006L.png, test/1/9000006L.jpg)"
    head, *faults = refusal(prepare, source).splitlines()
    assert head == f"{source} cannot be used:"
    assert faults == [
        "  - train/4/more is a folder: move its images out",
        "  - train/5 (9000001L.png): the grades' folders are 0, 1, 2, 3, 4: move it away",
        "  - train/9000003L.png is in no grade's folder: move it into one, or away",
        "  - train/KL2 (9000002L.png): the grades' folders are 0, 1, 2, 3, 4: move it away",
        f"  - val/0/9000100.png: the side is missing: {like}",
        f"  - val/1/copy of 9000101L.png: {like}: rename it, or move it away",
        f"  - val/2/9000102l.png: {like}: rename it, or move it away",
        "  - knee 9000006L is there twice, train/1/9000006L.png and test/1/9000006L.jpg: remove one of them",
        f"  - knee 9000007L has {grades}: remove the one that is wrong",
        "  - knee 9000008L is there twice, train/3/9000008L.jpeg and train/3/9000008L.png: remove one of them",
        f"  - subject 9000006 is in several parts {parts}: leave the knees of a person in one",
    ]


def test_a_subject_whose_knees_are_in_two_parts_is_refused(source):
    side, grade = "R", grades_of(9000001)["R"]
    moved(source, f"train/{grade}/9000001{side}.png", f"val/{grade}/9000001{side}.png")
    said = f"subject 9000001 is in several parts (train/1/9000001L.png, val/{grade}/9000001R.png): leave the knees"
    assert said in refusal(prepare, source)


@given(
    st.integers(0, 10**8),
    st.sampled_from(["L", "R"]),
    st.integers(0, 4),
    st.sampled_from(["png", "PNG", "jpg", "jpeg"]),
)
def test_every_name_of_the_published_form_is_understood(subject, side, grade, ending):
    path = f"val/{grade}/{subject}{side}.{ending}"
    assert published_knee(path) == PublishedKnee(path, "val", grade, Knee(str(subject), side))


@given(st.text(st.characters(categories=["L", "Nd", "Pd", "Zs"], exclude_characters="LR"), max_size=9))
def test_no_name_without_a_side_is(name):
    with pytest.raises(ValueError, match=r"must be like 9001695L\.png"):
        published_knee(f"val/0/{name}.png")


def test_broken_images_are_left_out_by_name(source):
    (source / "train/1/9000001L.png").write_text("<html>")
    (source / "val/1/9000101L.png").write_bytes((source / "val/1/9000101L.png").read_bytes()[:60])
    file = made(source)
    said = left_out(file)["images broken"]
    assert said[0] == "train/1/9000001L.png (not a picture)"
    assert said[1].startswith("val/1/9000101L.png (")
    assert not {"9000001L", "9000101L"} & {*items_of(file)}
    Datalist(file)


def test_a_source_without_a_grade_is_refused(source):
    for part in SUBJECTS:
        shutil.rmtree(source / part / "4")
    assert f"{source}: of class KL 4 no image can be used, of all others " in refusal(prepare, source)


def test_the_folder_with_the_parts_must_be_given(source, tmp_path):
    published = tmp_path / "KneeXrayData" / "ClsKLData"
    published.mkdir(parents=True)
    inside = source.rename(published / "kneeKL224")
    message = refusal(prepare, tmp_path / "KneeXrayData")
    assert "KneeXrayData has no train/: give the folder of the published set in which train, val, test lie" in message
    assert message.endswith(f"; did you mean {inside}?")
    assert "nowhere has no train/" in refusal(prepare, tmp_path / "nowhere")
    tar = tmp_path / "oai.tar"
    tar.touch()
    assert "oai.tar is a file: unpack it and give that folder" in refusal(prepare, tar)


def test_copies_may_be_smaller(source):
    file = made(source, resize=6)
    item = items_of(file)["9000001L"]
    assert item["image"] == "images/train/1/9000001L.png"
    with Image.open(file.parent / item["image"]) as small:
        assert small.size == (6, 4)
    Datalist(file)
    copied = made(source, copy=True)
    whole = copied.parent / items_of(copied)["9000001L"]["image"]
    assert whole.read_bytes() == (source / "train/1/9000001L.png").read_bytes()
    images = source.rename(source.parent / "images")
    with pytest.raises(ValueError, match="the files to read are there: give another --out"):
        prepare(images, images.parent, copy=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resize": 0}, "give the longest side in pixels"),
        ({"square": 100}, "--square is for OAI's own films: give --readings, too, or leave it out"),
        ({"check": "sheet.png"}, "--check is for OAI's own films"),
        ({"fractions": (0.8, 0.1, 0.1)}, "--fractions is for OAI's own films"),
    ],
)
def test_settings_without_sense_are_refused(source, settings, said):
    assert said in refusal(prepare, source, **settings)


def test_a_dry_run_prints_the_table_and_writes_nothing(source, capsys):
    file = made(source, copy=True, dry_run=True)
    assert not file.parent.exists()
    printed = capsys.readouterr().out
    row = next(line.split() for line in printed.splitlines() if line.startswith("validation"))
    assert row[1:4] == [str(len(knees("val"))), "20", "-"]
    assert f"dry run: {file} is not written" in printed


def test_the_command_line_gives_what_the_function_gives(monkeypatch, capsys):
    given: dict = {}
    monkeypatch.setattr(oai_kl, "prepare", lambda **settings: given.update(settings))
    oai_kl.main(["--source", "a", "--out", "b"])
    assert given == {
        "source": Path("a"),
        "out": Path("b"),
        "readings": None,
        "square": oai_kl.SQUARE,
        "check": None,
        "test_from": None,
        "test_share": 0.2,
        "fractions": (0.7, 0.1, 0.2),
        "seed": 0,
        "copy": False,
        "resize": None,
        "dry_run": False,
    }
    others = (
        "--readings t.txt --square 120 --check c.png --test-from val --test-share 0.5 --seed 4 --resize 9 --dry-run"
    )
    oai_kl.main(["--source", "a", "--out", "b", *others.split()])
    assert [given[name] for name in ("readings", "square", "check", "test_from", "test_share", "seed", "resize")] == [
        Path("t.txt"), 120, Path("c.png"), "val", 0.5, 4, 9
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        oai_kl.main(["--help"])
    assert "train/0/9001695L.png" in capsys.readouterr().out


def test_what_is_wrong_is_one_message(source, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=r"error: .*nowhere has no train/"):
        oai_kl.main(["--source", str(tmp_path / "nowhere"), "--out", str(out)])
    with pytest.raises(SystemExit, match=r"error: .*none\.csv: there is no such file"):
        oai_kl.main(["--source", str(source), "--out", str(out), "--readings", str(tmp_path / "none.csv")])
    assert not out.exists()


@pytest.mark.skipif(not TAR.is_file(), reason="shared/data/oai_kl.tar is not beside the repository")
def test_the_real_sample_is_of_the_form_that_is_read(tmp_path, capsys):
    with tarfile.open(TAR) as tar:
        some = [member for member in tar.getmembers() if member.name.rsplit("/", 1)[-1][:7].endswith("7")]
        tar.extractall(tmp_path / "sample", some, filter="data")

    file = prepare(tmp_path / "sample", tmp_path / "out")

    items = items_of(file)
    assert len(items) == len(some)
    assert {item["label"] for item in items.values()} == {*range(5)}
    assert left_out(file) == {}
    assert "note: sample has no test/: no official test section" in capsys.readouterr().out
