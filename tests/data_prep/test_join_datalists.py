"""Two datalists as one: every item as it was, found from its new place, and nobody taken for somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from written import items_of, sections_of

from data_prep import join_datalists
from data_prep.join_datalists import prepare
from semimed_monai.data import Datalist, write_datalist
from semimed_monai.data.splits import group_of

CLASSES = ["normal", "fracture"]


def films(folder: Path, count: int, **facts: Any) -> list[dict[str, Any]]:
    """Items of both classes in turn, each with a file and two of them of a person."""
    (folder / "films").mkdir(parents=True)
    items = []
    for number in range(count):
        Image.new("L", (8, 6), number).save(folder / "films" / f"{number}.png")
        image = {"image": f"films/{number}.png", "label": number % 2, "group": f"p{number // 2}"}
        items.append({**image, **{key: value(number) for key, value in facts.items()}})
    return items


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Eight training films with roles and boxes, two to validate and two to test; ids are the images."""
    items = films(tmp_path / "hospital", 12)
    for item in items:
        if item["label"]:
            item["boxes"] = [[1, 1, 4, 5]]
    for item in items[:8]:
        item["role"] = "P_hos" if item["label"] else "N_hos"
    sections = {"training": items[:8], "validation": items[8:10], "test": items[10:]}
    return write_datalist(
        tmp_path / "hospital", name="ribs", classes=CLASSES, sections=sections, provenance={"licence": "ours"}
    )


@pytest.fixture
def public(tmp_path) -> Path:
    """Six training films with ids of their own in a file of another name, one by its absolute path."""
    items = films(tmp_path / "deep" / "public", 6, id=lambda n: f"film {n}", role=lambda n: ("N_pub", "P_pub")[n % 2])
    items[0]["image"] = str(tmp_path / "deep" / "public" / "films" / "0.png")
    file = tmp_path / "deep" / "public" / "set.json"
    return write_datalist(file, name="chexpert", classes=CLASSES, sections={"training": items})


def refusal(tmp_path: Path, *lists: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at where this is used
        prepare(lists, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_every_item_is_as_it_was_and_its_file_is_found(tmp_path, hospital, public):
    file = prepare([hospital, public], tmp_path / "some" / "out")
    joined = Datalist(file)  # opens every file
    assert joined.name == "ribs + chexpert"
    before = [("ribs", hospital, *sections_of(hospital).items()), ("chexpert", public, *sections_of(public).items())]
    after = items_of(file)
    places = {item["id"]: name for name, items in sections_of(file).items() for item in items}
    count = 0
    for name, source, *sections in before:
        for section, items in sections:
            for item in items:
                id_ = f"{name}/{item.get('id') or item['image']}"
                found = after[id_]
                assert places[id_] == section
                assert found["group"] == f"{name}/{item['group']}"
                assert (file.parent / found["image"]).samefile(source.parent / item["image"])
                assert not Path(found["image"]).is_absolute()
                changed = ("id", "group", "image")
                assert {k: v for k, v in found.items() if k not in changed} == {
                    k: v for k, v in item.items() if k not in changed
                }
                count += 1
    assert count == len(after) == 18


def test_studies_of_two_lists_are_not_taken_for_one(tmp_path):
    for name in "ab":
        items = films(tmp_path / name, 4, study=lambda number: f"study {number}")
        write_datalist(tmp_path / name, name=name, classes=CLASSES, sections={"training": items})
    items = items_of(prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "out"))
    assert items["b/films/3.png"]["study"] == "b/study 3"
    Datalist(tmp_path / "out")
    same = items_of(prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "out", same_groups=True))
    assert same["b/films/3.png"]["study"] == "study 3"


def test_masks_and_label_maps_move_with_their_images(tmp_path):
    for name, key in (("a", "mask"), ("b", "label_map")):
        items = films(tmp_path / name, 4)
        for number, item in enumerate(items):
            Image.new("L", (8, 6), number % 2 + 1).save(tmp_path / name / f"{number}.png")
            item[key] = f"{number}.png"
            if key == "label_map":
                del item["label"]
        write_datalist(tmp_path / name, name=name, classes=CLASSES, sections={"training": items})
    file = prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "c" / "out")
    Datalist(file)
    assert items_of(file)["a/films/1.png"]["mask"] == "../../a/1.png"
    assert items_of(file)["b/films/1.png"]["label_map"] == "../../b/1.png"


def test_items_without_groups_are_groups_by_themselves(tmp_path, hospital, public):
    head = json.loads(public.read_text())
    for item in head["training"]:
        del item["group"]
    public.write_text(json.dumps(head))
    items = items_of(prepare([hospital, public], tmp_path / "out"))
    assert items["chexpert/film 3"]["group"] == "chexpert/films/3.png"
    assert len({group_of(item) for item in items.values()}) == 6 + 6


def test_provenance_keeps_that_of_each_list(tmp_path, hospital, public):
    provenance = json.loads(prepare([hospital, public], tmp_path / "out").read_text())["provenance"]
    origin = provenance["joined"]["ribs"]
    assert origin["provenance"] == {"licence": "ours"}
    assert origin["items"] == {"training": 8, "validation": 2, "test": 2}
    assert len(origin["sha256"]) == 64


def test_people_of_the_same_name_are_apart_unless_it_is_said_that_they_are_not(tmp_path, hospital, public, capsys):
    prepare([hospital, public], tmp_path / "out")
    said = capsys.readouterr().out
    assert "note: 3 groups of ribs and chexpert have the same name, such as 'p0', and are taken for different" in said
    file = prepare([hospital, public], tmp_path / "out", same_groups=True)
    assert items_of(file)["chexpert/film 0"]["group"] == "p0"
    assert "note:" not in capsys.readouterr().out
    head = json.loads(public.read_text())
    head["training"][0]["group"] = head["training"][1]["group"] = "p5"
    public.write_text(json.dumps(head))
    file.unlink()
    file.parent.rmdir()
    assert "group 'p5' is in training and in test" in refusal(tmp_path, hospital, public, same_groups=True)


def test_lists_that_cannot_be_joined_are_refused(tmp_path, hospital, public):
    assert "give two datalists or more" in refusal(tmp_path, hospital)
    message = refusal(tmp_path, hospital, hospital.parent)
    assert f"{hospital} and {hospital} are both called 'ribs': tell them apart with --names" in message
    assert "the same image and slice" in refusal(tmp_path, hospital, hospital, names=["a", "b"])
    assert "names a: give one for each of the 2 lists" in refusal(tmp_path, hospital, public, names=["a"])
    with pytest.raises(ValueError, match="would be overwritten: give another --out"):
        prepare([hospital, public], hospital.parent)
    assert "there is no such file" in refusal(tmp_path, hospital, tmp_path / "none.json")
    text = public.read_text()
    public.write_text(text.replace('"normal"', '"healthy"'))
    message = refusal(tmp_path, hospital, public)
    assert "has the classes normal, fracture" in message
    assert "has the classes healthy, fracture: give both the same ones in the same order" in message


def test_roles_are_given_to_all_or_to_none(tmp_path, hospital, public):
    head = json.loads(public.read_text())
    for item in head["training"]:
        del item["role"]
    public.write_text(json.dumps(head))
    message = refusal(tmp_path, hospital, public)
    assert "some training items have a role, 6 have none, the first" in message
    assert str(tmp_path / "out" / "datalist.json") in message


def test_the_command_line_joins_and_a_dry_run_writes_nothing(tmp_path, hospital, public, capsys):
    arguments = [str(hospital.parent), str(public), "--out", str(tmp_path / "out"), "--names", "a", "b"]
    join_datalists.main([*arguments, "--dry-run"])
    assert not (tmp_path / "out").exists()
    join_datalists.main(arguments)
    assert "roles: P_hos 4, N_hos 4, P_pub 3, N_pub 3\n" in capsys.readouterr().out
    assert "b/film 5" in items_of(tmp_path / "out" / "datalist.json")
    first = (tmp_path / "out" / "datalist.json").read_bytes()
    join_datalists.main(arguments)
    assert (tmp_path / "out" / "datalist.json").read_bytes() == first
