"""A hospital's own films and boxes: COCO files and tables, whose films they are, and every box that is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_files import dicom_plane
from written import items_of, left_out, sections_of

from data_prep import hospital_cxr
from data_prep.hospital_cxr import prepare
from semimed_monai.data import Datalist

FILMS = 24


def name_of(number: int) -> str:
    return f"{'ab'[number % 2]}/{number:02d}.dcm"


def patient_of(number: int) -> str:
    return f"p{number // 2}"


def write_film(file: Path, patient: str, size: tuple[int, int] = (20, 16)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = dicom_plane(np.full(size, 7))
    data.PatientID, data.Modality = patient, "DX"
    data.save_as(file, enforce_file_format=True)


def write_rows(films: Path, *rows: str, name: str = "boxes.csv") -> None:
    (films.parent / name).write_text("\n".join(rows) + "\n")


def box_rows() -> list[str]:
    """Film n has n % 3 boxes."""
    boxes = [f"{name_of(n)},{place},2.5,{place + 4},9" for n in range(FILMS) for place in range(n % 3)]
    return ["image,x0,y0,x1,y1", *boxes, *(f"{name_of(n)},,,," for n in range(0, FILMS, 3))]


def coco() -> dict:
    """The same as COCO, with boxes around pacemakers in all films."""
    images = [{"id": n, "width": 20, "height": 16, "file_name": name_of(n), "who": f"q{n // 3}"} for n in range(FILMS)]
    boxes = [(n, 7, [place, 2.5, 4, 6.5]) for n in range(FILMS) for place in range(n % 3)]
    boxes += [(n, 8, [10, 10, 3, 3]) for n in range(FILMS)]
    return {
        "images": images,
        "annotations": [
            {"id": place, "image_id": n, "category_id": kind, "bbox": box} for place, (n, kind, box) in enumerate(boxes)
        ],
        "categories": [{"id": 7, "name": "rib fracture"}, {"id": 8, "name": "pacemaker"}],
    }


def write_coco(films: Path, content: dict) -> Path:
    file = films.parent / "boxes.json"
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def films(tmp_path) -> Path:
    """24 DICOM films of 20 x 16, two of each patient, and the table of their boxes."""
    films = tmp_path / "films"
    for number in range(FILMS):
        write_film(films / name_of(number), patient_of(number))
    write_rows(films, *box_rows())
    return films


def made(films: Path, boxes: str = "boxes.csv", **settings) -> Path:
    if "negatives" in settings:
        settings["negatives"] = films.parent / settings["negatives"]
    return prepare(films, films.parent / boxes, films.parent / "out", **settings)


def refusal(films: Path, boxes: str = "boxes.csv", **settings) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        made(films, boxes, **settings)
    assert not (films.parent / "out").exists()
    return str(caught.value)


def test_films_with_boxes_are_positives_and_patients_are_not_split(films, capsys):
    file = made(films)
    Datalist(file)
    sections, items = sections_of(file), items_of(file)
    assert items[name_of(2)] | {"role": ""} == {
        "image": f"../films/{name_of(2)}",
        "label": 1,
        "boxes": [[0, 2.5, 4, 9], [1, 2.5, 5, 9]],
        "group": "p1",
        "id": name_of(2),
        "role": "",
    }
    for number in range(FILMS):
        item = items[name_of(number)]
        assert (item["label"], len(item.get("boxes", []))) == (int(number % 3 > 0), number % 3)
        assert item["group"] == patient_of(number)
    groups = [{item["group"] for item in items} for items in sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == FILMS // 2
    assert all(item["role"] == ("P_hos" if item["label"] else "N_hos") for item in sections["training"])
    roles = Counter(item["role"] for item in sections["training"])
    assert f"roles: P_hos {roles['P_hos']}, N_hos {roles['N_hos']}, P_pub 0, N_pub 0\n" in capsys.readouterr().out


def test_corners_and_sizes_under_any_name_are_the_same_boxes(films):
    expected = sections_of(made(films))
    rows = [line.split(",") for line in box_rows()[1:]]
    sized = [[name, x, y, *([f"{float(x1) - float(x)}", f"{float(y1) - float(y)}"] if x else ["", ""])]
             for name, x, y, x1, y1 in rows]  # fmt: skip
    write_rows(films, "image,x,y,width,height", *map(",".join, sized))
    assert sections_of(made(films)) == expected
    write_rows(films, "Datei;links;oben;B;H", *map(";".join, sized))
    names = {"image_column": "Datei", "size_columns": ["links", "oben", "B", "H"]}
    assert sections_of(made(films, **names)) == expected
    write_rows(films, "Datei;links;oben;rechts;unten", *map(";".join, rows))
    names = {"image_column": "Datei", "corner_columns": ["links", "oben", "rechts", "unten"]}
    assert sections_of(made(films, **names)) == expected


def test_a_coco_file_gives_the_same_and_boxes_of_other_categories_make_no_positive(films):
    expected = sections_of(made(films))
    write_coco(films, coco())
    assert sections_of(made(films, "boxes.json", categories=["rib fracture"])) == expected
    content = coco()
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 7]
    write_coco(films, content)
    assert sections_of(made(films, "boxes.json")) == expected


def test_patients_may_stand_in_the_coco_file_or_the_table(films):
    write_coco(films, coco())
    items = items_of(made(films, "boxes.json", categories=["rib fracture"], patient_column="who"))
    assert items[name_of(5)]["group"] == "q1"
    write_rows(films, f"{box_rows()[0]},person", *(f"{row},x{row[2:4]}" for row in box_rows()[1:]))
    items = items_of(made(films, patient_column="person"))
    assert items[name_of(5)]["group"] == "x05"


def test_pictures_need_a_patient_unless_it_is_said_that_nobody_has_two(films):
    picture = films / "c" / "30.png"
    picture.parent.mkdir()
    Image.new("L", (20, 16)).save(picture)
    write_rows(films, *box_rows(), "30,1,1,5,5")
    message = refusal(films)
    assert "boxes.csv, line 34: c/30.png is of an unknown patient: give --patient-column, or --by-image" in message
    items = items_of(made(films, by_image=True))
    assert (items["c/30.png"]["group"], items[name_of(3)]["group"]) == ("c/30.png", "p1")


def test_files_that_were_all_made_anonymous_alike_are_not_taken_for_one_patient(films):
    for number in range(FILMS):
        write_film(films / name_of(number), "ANON")
    assert "all images are of one patient ('ANON'), as if made anonymous: give --patient-column" in refusal(films)


def test_negatives_may_be_listed(films):
    write_rows(films, *(row for row in box_rows() if ",,," not in row))
    assert "every image has a box: list images without a fracture with --negatives" in refusal(films)
    write_rows(films, "image", name_of(0), name_of(3), name_of(6), name="normal.csv")
    file = made(films, negatives="normal.csv")
    assert [item["label"] for _, item in sorted(items_of(file).items())].count(0) == 3
    assert len(items_of(file)) == 16 + 3  # films that no file names are not used
    provenance = json.loads(file.read_text())["provenance"]
    assert (provenance["boxes"]["file"], provenance["negatives"]["file"]) == ("boxes.csv", "normal.csv")
    write_rows(films, "image", name_of(1), name="normal.csv")
    message = refusal_after(films, file, negatives="normal.csv")
    assert f"boxes.csv, line 2: {name_of(1)} is also in normal.csv, line 2: remove one of them" in message


def refusal_after(films: Path, file: Path, **settings) -> str:
    file.unlink()
    file.parent.rmdir()
    return refusal(films, **settings)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{name_of(0)},1,1,22,5", "box [1, 1, 22, 5] reaches outside the image of 20 x 16 pixels: correct it"),
        (f"{name_of(0)},20.5,1,21,5", "box [20.5, 1, 21, 5] reaches outside"),
        (f"{name_of(0)},-1.5,1,5,5", "box [-1.5, 1, 5, 5] reaches outside"),
        (f"{name_of(0)},5,1,5,5", "box [5, 1, 5, 5] has no area: correct or remove it"),
        (f"{name_of(0)},9,1,5,5", "box [9, 1, 5, 5] has no area"),
        (f"{name_of(0)},nan,1,5,5", "has no area"),
        (f"{name_of(1)},0,2.5,4,9", "box [0, 2.5, 4, 9] is there twice: remove one"),
        ("c/99.dcm,1,1,5,5", "'c/99.dcm' is not in"),
        (f"{name_of(0)},1;1,1,5,5", "x0 '1;1', y0 '1', x1 '5', y1 '5': write four numbers such as 12.5"),
        (f"{name_of(0)},1,1,5,", "write four numbers"),
        (f"{name_of(1)},,,,", f"{name_of(1)} is there without and with a box: remove one of its lines"),
        (f"{name_of(3)},,,,", f"{name_of(3)} is there twice: remove one of its lines"),
        (",1,1,5,5", "column 'image' is empty: name the image"),
        ("a/02,0,0,4,4", "a/02.dcm is also in boxes.csv, line 33: remove one of them"),
        ("a,1,1,5,5", "a is a folder: name the file of the radiograph"),
    ],
)
def test_a_wrong_line_is_refused_with_what_to_do(films, row, said):
    write_rows(films, *[line for line in box_rows() if not line.startswith(f"{name_of(0)},")], row)
    assert said in refusal(films)


def test_bad_films_are_left_out_where_that_is_wished(films):
    (films / name_of(4)).write_bytes(b"")
    write_rows(films, *box_rows(), f"{name_of(5)},1,1,99,5", "zz,1,1,5,5", "a/02,0,0,4,4")
    assert "leave these images out with --skip-bad" in refusal(films)
    file = made(films, skip_bad=True)
    assert sorted({*map(name_of, range(FILMS))} - {*items_of(file)}) == ["a/02.dcm", "a/04.dcm", "b/05.dcm"]
    assert left_out(file) == {
        "no DICOM header: copy it anew": ["a/04.dcm"],
        "boxes that do not fit their image": ["b/05.dcm"],
        "images missing": ["zz"],
        "images that are there twice": ["a/02.dcm"],
    }


def test_a_box_is_cut_where_it_reaches_over_the_border_by_a_pixel(films):
    write_rows(films, *box_rows(), f"{name_of(1)},12,-1,20.5,17")
    assert items_of(made(films))[name_of(1)]["boxes"] == [[0, 2.5, 4, 9], [12, 0, 20, 16]]


def broken_coco(change) -> dict:
    content = coco()
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda c: c["annotations"][0].update(image_id=99), {}, "annotation 0: image 99 is not among the images"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), {}, "bbox [1, 2, 3] must be [x, y, width, height]"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, "4"]), {}, "must be [x, y, width, height]"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 0, 4]), {}, "box [1, 2, 1, 6] has no area"),
        (lambda c: c["annotations"][0].update(category_id=9), {}, "category_id 9, which is no category"),
        (lambda c: c["images"][1].update(file_name=name_of(0)), {}, f"{name_of(0)} is there twice, as image 0 and 1"),
        (lambda c: c["images"][1].update(id=0), {}, "have the same id 0: number them anew"),
        (lambda c: c["images"][1].update(file_name=""), {}, "image 1 has no file_name: add it"),
        (lambda c: c["images"][1].update(width=40), {}, "its boxes were drawn at 40 x 16 pixels, and it has 20 x 16"),
        (lambda c: c["images"][1].update(who=None), {"patient_column": "who"}, "image 1 (b/01.dcm) has no 'who'"),
        (lambda c: c.pop("images"), {}, "images must be a list of objects, as COCO has it"),
        (lambda c: c, {"categories": ()}, "(rib fracture, pacemaker): name those that count (--categories)"),
        (lambda c: c, {"categories": ["ribfracture"]}, "no category 'ribfracture': did you mean 'rib fracture'?"),
    ],
)
def test_a_wrong_coco_file_is_refused_with_what_to_do(films, change, settings, said):
    file = write_coco(films, broken_coco(change))
    message = refusal(films, "boxes.json", **{"categories": ["rib fracture"], **settings})
    assert said in message
    assert str(file) in message


def test_other_tables_and_settings_without_sense_are_refused(films):
    assert "no COCO file (.json): a table has no --categories" in refusal(films, categories=["rib"])
    assert "add up to 1" in refusal(films, fractions=(0.5, 0.2, 0.2))
    assert "no column 'file': set --image-column" in refusal(films, image_column="file")
    assert "set --corner-columns (for a)" in refusal(films, corner_columns=["a", "y0", "x1", "y1"])
    assert "there is no such file: give the COCO file" in refusal(films, "none.json")
    write_rows(films, "image,left", "a/00.dcm,1")
    assert "has neither x0, y0, x1, y1 nor x, y, width, height: name its columns with" in refusal(films)
    write_rows(films, "image,x0,y0,x1,y1", "a/00.dcm,,,,")
    assert "no image with a box can be used" in refusal(films)
    (films.parent / "boxes.json").write_text("{")
    assert "it is not JSON" in refusal(films, "boxes.json")


def test_the_same_input_gives_the_same_bytes(films, tmp_path):
    first = made(films).read_bytes()
    rows = box_rows()
    write_rows(films, rows[0], *rows[:0:-1])
    assert sections_of(made(films)).keys() == json.loads(first).keys() & {"training", "validation", "test"}
    write_rows(films, *rows)
    assert made(films).read_bytes() == first
    assert str(tmp_path) not in first.decode()
    assert made(films, seed=1).read_bytes() != first


def test_the_command_line_gives_what_the_function_gives(films, monkeypatch, capsys):
    given: dict = {}
    monkeypatch.setattr(hospital_cxr, "prepare", lambda **settings: given.update(settings))
    needed = ["--images", "a", "--boxes", "b", "--out", "c"]
    hospital_cxr.main(needed)
    assert given == {
        "images": Path("a"),
        "boxes": Path("b"),
        "out": Path("c"),
        "negatives": None,
        "image_column": "image",
        "corner_columns": None,
        "size_columns": None,
        "categories": (),
        "patient_column": None,
        "by_image": False,
        "fractions": (0.7, 0.1, 0.2),
        "seed": 0,
        "skip_bad": False,
        "dry_run": False,
    }
    others = "--negatives n --image-column i --size-columns x y w h --categories rib clavicle --patient-column p"
    hospital_cxr.main([*needed, *f"{others} --by-image --seed 3 --skip-bad --dry-run".split()])
    assert list(given.values())[3:] == [
        Path("n"), "i", None, ["x", "y", "w", "h"], ["rib", "clavicle"], "p", True, (0.7, 0.1, 0.2), 3, True, True,
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        hospital_cxr.main([*needed, "--size-columns", *"xywh", "--corner-columns", *"abcd"])


def test_a_dry_run_writes_nothing(films, capsys):
    file = made(films, dry_run=True)
    assert not file.parent.exists()
    assert f"dry run: {file} is not written" in capsys.readouterr().out
