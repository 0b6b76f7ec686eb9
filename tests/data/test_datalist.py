"""The datalist's form, its items, what is hidden of them; test_contents.py has what is found in the files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semimed_monai.data import Datalist, DatalistError, write_datalist

CLASSES = ["normal", "partial", "full"]
README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.usefixtures("cache")


def test_items_have_the_form_that_the_transforms_get(folder):
    listed = Datalist(folder)
    assert (listed.name, listed.version, listed.classes, listed.provenance) == ("set", "1", CLASSES, {"seed": 1})
    assert listed.labelled()[3] == {
        "id": "3.png",
        "group": "p1",
        "image": str(folder / "3.png"),
        "slice": None,
        "label": 1,
        "mask": str(folder / "3m.png"),
        "label_map": None,
    }
    assert (len(listed.labelled()), listed.unlabelled()) == (18, [])
    assert [(item["id"], item["slice"]) for item in listed.section("test")] == [(f"v.nii.gz#{n}", n) for n in range(3)]
    assert listed.labelled() == Datalist(str(folder / "datalist.json")).labelled()


def in_studies(head):
    """The two images of each person, and the volume's slices one by one."""
    for section in ("training", "validation", "test"):
        for item in head[section]:
            item["study"] = f"{item['group']}/{item.get('slice', 1)}"


def test_studies_are_handed_on_also_of_unlabelled_items(folder, changed):
    listed = Datalist(changed(folder, in_studies), labelled_share=0.3)
    for items in (listed.labelled(), listed.unlabelled(), listed.section("validation")):
        assert [item["study"] for item in items] == [f"{item['group']}/1" for item in items]
    assert [item["study"] for item in listed.section("test")] == ["v/0", "v/1", "v/2"]


def test_some_sections_may_have_studies_and_others_none(folder, changed):
    def only_in_test(head):
        for item in head["test"]:
            item["study"] = item["id"] = str(item["slice"])

    listed = Datalist(changed(folder, only_in_test))
    assert "study" not in listed.labelled()[0]
    assert [item["study"] for item in listed.section("test")] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": 3}, "training[3] (3.png): study 3 must be a text"),
        ({"study": ""}, "training[3] (3.png): study '' must be a text"),
        ({"study": None}, "some training items have a study, 1 have none, the first training[3] (3.png): give all of"),
        ({"label": 0}, "study 'p1/1' with mixed labels (1 of training[2] (2.png), 0 of training[3] (3.png)): a study"),
        ({"label": None}, "study 'p1/1' with mixed labels (1 of training[2] (2.png), none of training[3] (3.png))"),
        ({"study": "p2/1", "label": 2}, "study 'p2/1' with mixed groups (p1 of training[3] (3.png), p2 of training[4]"),
    ],
)
def test_a_wrong_study(folder, change, message, changed, only):
    changed(folder, in_studies)
    assert message in only(changed(folder, lambda head: head["training"][3].update(change)))


def test_a_study_of_images_without_a_group(tmp_path, only):
    items = [{"image": f"{n}.png", "label": 0, "study": "s"} for n in range(9)]
    write_datalist(tmp_path, name="x", classes=["a"], sections={"training": items})
    mixed = "study 's' with mixed groups (0.png of training[0] (0.png), 1.png of training[1] (1.png)): a study has one"
    assert mixed in only(tmp_path, check=False)


def test_digest_is_of_the_file_and_changes_with_it(folder, changed):
    before = Datalist(folder).digest
    assert Datalist(folder).digest == before
    changed(folder, lambda head: head.update(version="2"))
    assert Datalist(folder).digest != before


def test_share_hides_whole_groups_and_is_nested(folder):
    few, more = (Datalist(folder, labelled_share=share) for share in (0.3, 0.6))
    assert [len(listed.labelled()) for listed in (few, more)] == [6, 10]
    assert {item["label"] for item in few.labelled()} == {0, 1, 2}
    assert {item["id"] for item in few.labelled()} < {item["id"] for item in more.labelled()}
    assert not {item["group"] for item in few.labelled()} & {item["group"] for item in few.unlabelled()}
    assert len(few.labelled()) + len(few.unlabelled()) == 18
    for item in few.unlabelled():
        assert (item["label"], item["mask"], item["label_map"]) == (-1, None, None)
        assert "boxes" not in item


def test_callers_cannot_change_the_items(folder):
    listed = Datalist(folder)
    listed.labelled()[0]["label"] = 2
    assert listed.labelled()[0]["label"] == 0


@settings(max_examples=20)
@given(shuffle=st.randoms(use_true_random=False))
def test_hidden_labels_masks_and_boxes_change_nothing(tmp_path_factory, shuffle):
    folder = tmp_path_factory.mktemp("hidden")
    items = [
        {
            "image": f"{n}.png",
            "label": n % 3,
            "mask": f"{n}m.png",
            "boxes": [[0, 0, 1 + n, 1]],
            "group": f"p{n}",
            "id": f"i{n}",
            "labelled": n < 6,
        }
        for n in range(15)
    ]
    order = shuffle.sample(range(6, 15), 9)
    swapped = items[:6] + [
        {**items[n], **{key: items[other][key] for key in ("label", "mask", "boxes")}}
        for n, other in zip(range(6, 15), order, strict=True)
    ]
    seen = []
    for training in (items, swapped):
        write_datalist(folder, name="hidden", classes=CLASSES, sections={"training": training})
        listed = Datalist(folder, labelled_share=0.5, check=False)
        state = json.dumps({key: value for key, value in vars(listed).items() if key != "digest"}, default=str)
        seen.append((listed.labelled(), listed.unlabelled(), listed.summary(), state))
    assert seen[0] == seen[1]
    assert [item["label"] for item in seen[0][0]] == [0, 1, 2, 0, 1, 2]


def test_hidden_masks_are_not_looked_at_by_the_choice(folder, changed):
    before = Datalist(folder, labelled_share=0.3)
    hidden = {item["id"] for item in before.unlabelled()}

    def drop(head):
        for item in head["training"]:
            if item["image"] in hidden:
                del item["mask"]

    after = Datalist(changed(folder, drop), labelled_share=0.3)
    assert (after.labelled(), after.unlabelled()) == (before.labelled(), before.unlabelled())


def test_training_cannot_be_had_with_its_hidden_labels(folder):
    with pytest.raises(ValueError, match=r"training is labelled\(\) and unlabelled\(\)"):
        Datalist(folder).section("training")


def test_only_the_sections_that_are_used_must_be_there_and_labelled(folder, changed, only):
    def leave_test_labelled(head):
        head["training"] = []
        for item in head["validation"]:
            del item["label"]

    changed(folder, leave_test_labelled)
    assert len(Datalist(folder, sections=["test"]).section("test")) == 3
    changed(folder, lambda head: head["test"][0].pop("label"))
    assert "test[0] (v.nii.gz#0): evaluation needs a label" in only(folder, sections=["test"])


def test_sections_that_are_not_used_are_checked_for_form(folder, changed, only):
    changed(folder, lambda head: head["training"][0].update(label=3))
    assert "training[0] (0.png): label 3 is not a class" in only(folder, sections=["test"])


def test_the_readmes_example_can_be_trained_on(tmp_path):
    (tmp_path / "datalist.json").write_text(README.read_text().split("```json\n")[1].split("```")[0])
    listed = Datalist(tmp_path, check=False)
    assert [len(items) for items in (listed.labelled(), listed.unlabelled())] == [2, 1]
    assert all(listed.section(name) for name in ("validation", "test"))


def test_empty_section_says_so(folder, changed):
    changed(folder, lambda head: head.pop("validation"))
    with pytest.raises(ValueError, match="'set' has no validation items: add some"):
        Datalist(folder).section("validation")


def test_summary_counts_what_may_be_seen(folder):
    head, columns, *rows = Datalist(folder, labelled_share=0.3).summary().splitlines()
    assert head == "set, version 1 (labelled_share 0.3, seed 0: 6 of 18 keep their labels, 33.3%)"
    assert [line.split() for line in (columns, *rows)] == [
        ["section", "items", "groups", "masks", "normal", "partial", "full"],
        ["training,", "labelled", "6", "3", "6", "2", "2", "2"],
        ["training,", "unlabelled", "12", "6", "-", "-", "-", "-"],
        ["validation", "6", "3", "6", "2", "2", "2"],
        ["test", "3", "1", "3", "1", "1", "1"],
    ]


def test_summary_counts_no_hidden_label_where_there_may_be_several(tmp_path):
    """Three persons, of whom one keeps its labels: a hidden -1 is no positive; and the share is said as it is."""
    items = [{"image": f"{n}.png", "label": [1, int(n == 0)], "group": f"p{n}"} for n in range(3)]
    items += [{"image": "3.png", "group": "p3"}]  # it never had a label that it could keep
    sections = {"training": items, "test": [{"image": "4.png", "label": [0, 1], "group": "p4"}]}
    write_datalist(tmp_path, name="films", classes=["effusion", "mass"], sections=sections)
    head, _, *rows = Datalist(tmp_path, labelled_share=0.02, check=False).summary().splitlines()
    assert head == "films, version 1 (labelled_share 0.02, seed 0: 1 of 3 keep their labels, 33.3%)"
    assert [line.split() for line in rows] == [
        ["training,", "labelled", "1", "1", "-", "1", "1"],
        ["training,", "unlabelled", "3", "3", "-", "-", "-"],
        ["validation", "-", "-", "-", "-", "-"],
        ["test", "1", "1", "-", "-", "1"],
    ]


def test_summary_of_a_test_section_alone_says_no_share(folder, changed):
    changed(folder, lambda head: head.pop("training"))
    head = Datalist(folder, sections=["test"]).summary().splitlines()[0]
    assert head == "set, version 1 (labelled_share 1.0, seed 0)"


def test_items_without_a_label_are_unlabelled_and_lose_their_masks(folder, changed):
    changed(folder, lambda head: [item.pop("label") for item in head["training"][:4]])
    hidden = Datalist(folder).unlabelled()
    assert [(item["id"], item["label"], item["mask"]) for item in hidden] == [(f"{n}.png", -1, None) for n in range(4)]


def test_list_without_labels_is_labelled_by_its_masks(folder, changed):
    def drop(head):
        for section in ("training", "validation", "test"):
            for item in head[section]:
                del item["label"]
        del head["training"][0]["mask"]

    listed = Datalist(changed(folder, drop))
    assert [item["id"] for item in listed.unlabelled()] == ["0.png"]
    assert len(listed.labelled()) == 17
    assert 6 <= len(Datalist(folder, labelled_share=0.4).labelled()) <= 8


def test_segmentation_takes_the_folders_list_for_it_or_the_only_one_or_the_file_named(folder, changed):
    def name_and_drop(head):
        head["name"] = "tissues"
        for section in ("training", "validation", "test"):
            for item in head[section]:
                del item["label"]

    changed(folder, name_and_drop)
    assert Datalist(folder, segmentation=True).name == "tissues"
    shutil.copy(folder / "datalist.json", folder / "segmentation.json")
    changed(folder, lambda head: head.update(name="other"))
    names = [Datalist(path, segmentation=True).name for path in (folder, folder / "datalist.json")]
    assert names == ["tissues", "other"]


def test_a_list_of_grades_is_not_for_segmentation(folder, only):
    assert "it has labels, so its masks are no class numbers" in only(folder, segmentation=True)


def test_several_labels_are_hidden_in_their_form(tmp_path):
    items = [{"image": f"{n}.png", "label": [n % 2, 1 - n % 2, 1]} for n in range(10)]
    write_datalist(tmp_path, name="chest", classes=CLASSES, sections={"training": items})
    listed = Datalist(tmp_path, labelled_share=0.4, check=False)
    assert sorted(item["label"] for item in listed.labelled()) == [[0, 1, 1]] * 2 + [[1, 0, 1]] * 2
    assert [item["label"] for item in listed.unlabelled()] == [[-1, -1, -1]] * 6


# One test for each bad input.


def test_folder_that_does_not_exist(tmp_path, only):
    assert only(tmp_path / "none") == "there is no such folder: set dataset_dir to one that holds a datalist.json"


def test_folder_without_a_datalist(tmp_path, only):
    assert "there is no such file: write it as in README.md, or with a module of data_prep" in only(tmp_path)


def test_file_that_is_not_json(folder, only):
    (folder / "datalist.json").write_text("{")
    assert "it is not JSON" in only(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, 'must be an object with "format": "semimed-datalist/1"'),
        ({"training": []}, "section 'training' is empty: list at least one image"),
        ({"training": {"image": "0.png"}}, "section 'training' must be a list of objects"),
        ({"test": ["0.png"]}, "section 'test' must be a list of objects"),
        ({"classes": []}, "'classes' must be a list of names"),
        ({"classes": ["a", "b", "a"]}, "'classes' names one twice (a, b, a)"),
        ({"version": 1}, "'version' must be a text"),
        ({"trainning": []}, "unknown key 'trainning': did you mean 'training'?"),
    ],
)
def test_wrong_head(folder, change, message, changed, only):
    assert message in only(changed(folder, lambda head: head.update(change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "partial"}, "label 'partial' is text; write its index 1"),
        ({"label": "2"}, "label '2' is text; write its class's index: 0 = normal, 1 = partial, 2 = full"),
        ({"label": 3}, "label 3 is not a class: write 0 = normal, 1 = partial, 2 = full"),
        ({"label": -1}, "label -1 is not a class"),
        ({"label": True}, "label True is not a class"),
        ({"label": 1.0}, "label 1.0 is not a class"),
        ({"label": [0, 1]}, "label [0, 1] must have a 0 or a 1 for each of the 3 classes"),
        ({"label": [0, 1, 2]}, "label [0, 1, 2] must have a 0 or a 1"),
        ({"label": [0, 1, 0]}, "some labels are numbers and some are lists"),
        ({"label_map": "0m.png"}, "a label_map is class and mask in one: remove 'label' and 'mask'"),
        ({"image": None}, "it has no 'image'"),
        ({"mask": 3}, "mask 3 must be a text"),
        ({"slice": -1}, "slice -1 must be a whole number from 0"),
        ({"slice": 0}, "slice 0 of 0.png does not exist: it has no slices, leave 'slice' out"),
        ({"boxes": [[0, 0, 1]]}, "boxes [[0, 0, 1]] must be a list of [x0, y0, x1, y1]"),
        ({"boxes": [[2, 0, 1, 1]]}, "with x0 < x1 and y0 < y1"),
        ({"lable": 1}, "unknown key 'lable': did you mean 'label'?"),
        ({"labelled": "yes"}, "labelled 'yes': it may only be true or false"),
        ({"labelled": True}, "group 'p0': 'labelled' must be the same in all of its training items"),
        ({"group": 7}, "group 7 must be a text"),
        ({"group": None}, "some items have a group, 1 have none, the first training[0] (0.png): give all a group"),
        ({"group": "p10"}, "group 'p10' is in training and in validation: leave it in one of them"),
        ({"image": "5.png", "mask": "5m.png"}, "training[5] (5.png): the same image and slice, or the same id, as tr"),
        ({"image": "./5.png", "mask": "5m.png"}, "training[5] (5.png): the same image and slice, or the same id, as t"),
        ({"id": "5.png"}, "training[5] (5.png): the same image and slice, or the same id, as training[0]"),
    ],
)
def test_wrong_item(folder, change, message, changed, problems):
    found = problems(changed(folder, lambda head: head["training"][0].update(change)))
    assert [problem for problem in found if message in problem]
    assert len(found) == 1 or "group" in message or "labelled '" in message


def test_class_without_a_labelled_item(folder, changed, only):
    def drop(head):
        for item in head["training"]:
            item["labelled"] = item["label"] != 2

    assert "class 'full' has no labelled training item (labelled_share 0.5, seed 0): label one" in only(
        changed(folder, drop), labelled_share=0.5
    )


def test_training_without_any_label(folder, changed, only):
    changed(folder, lambda head: [item.pop("label") for item in head["training"]])
    assert "no training item is labelled" in only(folder)


def test_validation_item_without_a_label(folder, changed, only):
    changed(folder, lambda head: head["validation"][1].pop("label"))
    assert "validation[1] (19.png): evaluation needs a label" in only(folder)


def test_all_problems_come_together(folder, changed, problems):
    (folder / "7.png").unlink()
    (folder / "3.png").write_bytes(b"nothing")

    def spoil(head):
        head["training"][0]["label"] = "full"
        head["training"][5]["group"] = "v"
        head["validation"][2]["lable"] = 1

    found = "\n".join(problems(changed(folder, spoil)))
    assert len(found.splitlines()) == 5
    for part in ("'full' is text", "'v' is in training and in test", "'lable'", "7.png is missing", "3.png cannot be"):
        assert part in found


def test_long_list_of_problems_is_cut(folder, changed):
    def spoil(head):
        head["training"] = [{"image": f"x{n}.png", "label": 9, "group": f"g{n}"} for n in range(60)]

    with pytest.raises(DatalistError) as caught:
        Datalist(changed(folder, spoil), check=False)
    assert len(caught.value.problems) == 60
    assert str(caught.value).count("label 9 is not a class") == 50
    assert str(caught.value).endswith("... and 10 more")


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_share_that_is_none(folder, share):
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        Datalist(folder, labelled_share=share)


# Writing.


def test_written_twice_is_the_same_file_whatever_the_order_of_keys(tmp_path):
    texts = []
    for item in ({"image": "a.png", "label": 0}, {"label": 0, "image": "a.png"}):
        file = write_datalist(
            tmp_path / "new" / "list.json", name="x", classes=["a"], sections={"training": [item]}, version="3"
        )
        texts.append(file.read_text())
        assert [path.name for path in file.parent.iterdir()] == ["list.json"]
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])) == [
        "format", "name", "version", "provenance", "classes", "training", "validation", "test"
    ]  # fmt: skip


def test_interrupted_write_leaves_the_old_file(folder):
    before = (folder / "datalist.json").read_bytes()
    with pytest.raises(TypeError):
        write_datalist(folder, name="x", classes=["a"], sections={"training": [{"image": "a", "label": object()}]})
    assert (folder / "datalist.json").read_bytes() == before


@pytest.mark.parametrize("sections", [{"train": []}, {"training": [{"image": "a", "lable": 1}]}])
def test_unknown_names_are_not_written(tmp_path, sections):
    with pytest.raises(ValueError, match=r"sections are training, validation, test, an item's keys image"):
        write_datalist(tmp_path, name="x", classes=["a"], sections=sections)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 0.5, "a", True])
def test_a_seed_that_is_none(tmp_path, seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0, got"):
        Datalist(tmp_path, seed=seed)
