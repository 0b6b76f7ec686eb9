"""The evaluation page: every number is the run's own, every section is there, nothing that it shows can harm it."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import pytest
from left_run import CLASSES, leave_configuration, leave_curves, leave_findings_run, leave_run, leave_segmenter_run
from PIL import Image

from semimed_monai.files import write_table
from semimed_monai.metrics.calibration import calibration
from semimed_monai.reports.page import write_page, write_pictures
from semimed_monai.reports.page.__main__ import main
from semimed_monai.reports.page.run import read_curves
from semimed_monai.reports.relations import load_relations

NETWORKS = ("teacher", "student")


class Page(HTMLParser):
    """What stands where: texts by tag, attributes, rows of the tables as their cells' texts and data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.data: list[list[list[float]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.data.append([])
        elif tag in {"th", "td"}:
            self.rows[-1].append("")
            self.data[-1].append([])
        elif tag == "data":
            self.data[-1][-1].append(float(dict(attrs)["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag in {"th", "td"}:
            self.rows[-1][-1] = " ".join(self.rows[-1][-1].split())

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if {"th", "td"} & set(self._open):
            self.rows[-1][-1] += data

    @property
    def pictures(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]

    def words(self, start: str) -> list[str]:
        """The alternative texts that start so."""
        return [alt for picture in self.pictures if (alt := picture["alt"] or "").startswith(start)]


def page_of(folder: Path) -> Page:
    return Page(write_page(folder).read_text())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has left everything there is; its page is written."""
    folder = leave_run(tmp_path_factory.mktemp("whole") / "run")
    leave_curves(folder, loss=1.5, classification=1.0, attention=0.5)
    leave_configuration(folder)
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def whole_page(whole_run: Path) -> Page:
    return Page((whole_run / "report.html").read_text())


def test_ece_by_hand() -> None:
    found = calibration(np.array([0.92, 0.98, 0.65]), np.array([True, False, True]))
    # Two of mean confidence .95, one right; one of .65, right: 2/3 · .45 + 1/3 · .35.
    assert found.count.tolist() == [1, 2]
    assert found.confidence == pytest.approx([0.65, 0.95])
    assert found.accuracy == pytest.approx([1.0, 0.5])
    assert found.ece == pytest.approx(2 / 3 * 0.45 + 1 / 3 * 0.35, abs=1e-6)


def test_a_network_that_is_as_right_as_it_says_has_no_calibration_error() -> None:
    assert calibration(np.full(4, 0.75), np.array([True, True, True, False])).ece == pytest.approx(0, abs=1e-6)


def test_every_number_is_that_of_metrics_json(whole_run: Path, whole_page: Page) -> None:
    scores = json.loads((whole_run / "metrics.json").read_text())["scores"]
    rows = list(zip(whole_page.rows, whole_page.data, strict=True))[1 : 1 + len(scores["teacher"])]
    assert whole_page.rows[0] == ["Score", "teacher", "student"]
    assert "Recall of partial" in [cells[0] for cells, _ in rows]
    for (cells, data), name in zip(rows, scores["teacher"], strict=True):
        for place, network in enumerate(("teacher", "student"), start=1):
            entry = scores[network][name]
            assert data[place] == [entry["value"], entry["low"], entry["high"]], name
            value, low, high = (f"{100 * number:.1f}" for number in data[place])
            assert cells[place] == f"{value} [{low}, {high}]"
    teacher = scores["teacher"]["f1"]
    assert f"F1, mean of classes{100 * teacher['value']:.1f}" in whole_page.text


def test_every_score_of_maps_and_studies_has_words(tmp_path: Path) -> None:
    page = page_of(leave_run(tmp_path, studies=True))
    titles = [cells[0] for cells in page.rows if len(cells) == 3]
    assert {"Pointing game: attention is highest inside the mask", "Cohen's kappa of studies"} <= {*titles}
    assert not [title for title in titles if "_" in title]
    assert "the mean probabilities of a study's images" in page.text
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]["teacher"]
    # Each image is a study of its own here.
    assert scores["study_accuracy"] == scores["accuracy"]


def test_what_the_curves_say_agrees_with_the_metrics(whole_run: Path, whole_page: Page) -> None:
    scores = json.loads((whole_run / "metrics.json").read_text())["scores"]
    with (whole_run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for network, roc, confusion in zip(
        ("teacher", "student"), whole_page.words("ROC"), whole_page.words("Confusion"), strict=True
    ):
        areas = [float(area) for area in re.findall(r"\d\.\d{3}", roc)]
        assert np.mean(areas) == pytest.approx(scores[network]["auc"]["value"], abs=6e-4)
        pairs = [(row["label"], row["predicted"]) for row in rows if row["network"] == network]
        first = ", ".join(f"{pairs.count(('0', str(place)))} as {name}" for place, name in enumerate(CLASSES))
        assert f"of 8 normal: {first}; of 8 partial" in confusion
    own = [[float(row[f"probability/{name}"]) for name in CLASSES] for row in rows if row["network"] == "teacher"]
    right = np.argmax(own, axis=1) == [int(row["label"]) for row in rows[: len(own)]]
    ece = calibration(np.max(own, axis=1), right).ece
    assert whole_page.words("Reliability")[0].startswith(
        f"Reliability diagram; expected calibration error: teacher {100 * ece:.1f} %"
    )


def test_every_section_has_its_content(whole_page: Page) -> None:
    assert "24 labelled images of 12 groups (persons, lesions or studies), test section of knees" in whole_page.text
    assert [words.split(";")[0] for words in whole_page.words("Training")] == [
        "Training: loss by epoch",
        "Training: classification by epoch",
        "Training: attention by epoch",
    ]
    assert "1.5 in epoch 1, 4.5 in epoch 3" in whole_page.words("Training: loss")[0]
    assert whole_page.words("Validation") == ["Validation by epoch; in the last one: f1 0.300"]
    for kind in ("best", "typical", "worst"):
        assert len(whole_page.words(f"{kind} case of ")) == 3
    assert "learning_rate: 0.001" in whole_page.text
    assert "shift: [0.03, 0.03]" in whole_page.text
    assert "monai: 1.6.1-then" in whole_page.text
    assert '"_target_": "torch.nn.Linear"' in whole_page.text
    assert "Grading of knees" in whole_page.text


def test_captions_tell_what_predictions_csv_tells(whole_run: Path, whole_page: Page) -> None:
    with (whole_run / "predictions.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file) if row["network"] == "teacher"}
    full = [row for row in rows.values() if row["label"] == "2"]
    worst = min(full, key=lambda row: float(row["probability/full"]))
    predicted = CLASSES[int(worst["predicted"])]
    (alt,) = whole_page.words("worst case of full")
    assert alt == f"worst case of full: {worst['id']}; the image, the mask's outline, beside it the map"
    confidence, given = (100 * float(worst[f"probability/{name}"]) for name in (predicted, "full"))
    said = f"Worst: graded {predicted} with {confidence:.1f} %; full got {given:.1f} %; IoU {float(worst['iou']):.2f}"
    assert f"{said}{worst['id']}, group {worst['group']}" in whole_page.text


def test_the_file_needs_no_other_and_is_the_same_each_time(whole_run: Path, tmp_path: Path) -> None:
    text = (whole_run / "report.html").read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed"}
        assert not {"onload", "onerror"} & attributes.keys()
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), attributes
    assert "url(" not in text
    assert "@import" not in text
    assert all(picture["alt"] for picture in page.pictures)
    assert write_page(whole_run, out=tmp_path / "again.html").read_text() == text


def test_hostile_names_are_words(tmp_path: Path) -> None:
    classes = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "$\\frac{1}{2$ {{ 7 * 7 }}"]
    folder = leave_run(tmp_path / "<s>run", classes=classes, dataset="<i>knees</i>", seed="<u>1</u>")
    page = page_of(folder)
    assert not {"script", "s", "i", "u"} & {tag for tag, _ in page.tags}
    assert all((picture["src"] or "").startswith("data:") for picture in page.pictures)
    for name in (*classes, "<i>knees</i>", "<u>1</u>", str(folder)):
        assert name in page.text


def test_a_run_without_maps_cases_curves_or_configuration_says_so(tmp_path: Path) -> None:
    page = page_of(leave_run(tmp_path, maps=False, networks=["student"]))
    assert page.rows[0] == ["Score", "student"]
    assert "there is no cases.npz" in page.text
    assert "There are no TensorBoard files" in page.text
    assert "The folder holds no configuration.json" in page.text
    assert "Versions where this page was made" in page.text
    assert "TIoU of" not in page.text
    assert "IoU" not in "".join(page.words("best"))


def test_networks_that_grade_alike_are_drawn_once_and_one_may_have_no_maps(tmp_path: Path) -> None:
    folder = leave_run(tmp_path, networks=["student", "cam", "bare"])
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    of = {name: [row for row in rows if row["network"] == name] for name in ("student", "cam", "bare")}
    for row, alike in zip(of["cam"], of["student"], strict=True):
        row.update({key: value for key, value in alike.items() if key.startswith("probability/")})
    for row in of["bare"]:
        row.update(iou="", pixel_ap="")
    write_table(folder / "predictions.csv", rows)
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["scores"]["bare"]["iou"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = page_of(folder)
    assert "Student, cam" in page.text
    assert len(page.words("ROC")) == 2
    assert next(row for row in page.rows if row[0].startswith("IoU of attention"))[-1] == ""


def test_cases_without_maps_or_masks_are_bare_images(tmp_path: Path) -> None:
    folder = leave_run(tmp_path)
    with np.load(folder / "cases.npz") as file:
        kept = {name: array for name, array in file.items() if not name.startswith(("map_", "mask_"))}
    np.savez(folder / "cases.npz", **kept)
    alts = page_of(folder).words("best case of normal")
    assert len(alts) == 1
    assert alts[0].endswith("; the image")


def test_a_class_without_a_case_is_named_and_left_out(tmp_path: Path) -> None:
    page = page_of(leave_run(tmp_path, labels=[0, 2] * 8))
    assert "No case of this section is of: partial." in page.text
    assert "partial not defined" in page.words("ROC")[0]
    assert "of 0 partial: 0 as normal" in page.words("Confusion")[0]
    row = next(cells for cells in page.rows if cells[0] == "Recall of partial")
    assert row[1:] == ["not defined", "not defined"]
    assert not page.words("best case of partial")


def test_unlabelled_rows_do_not_count(tmp_path: Path) -> None:
    page = page_of(leave_run(tmp_path, labels=[0, 1, 2, -1] * 4))
    assert "12 labelled images" in page.text
    assert "of 4 normal" in page.words("Confusion")[0]
    with pytest.raises(ValueError, match="has no labelled row"):
        write_page(leave_run(tmp_path / "none", labels=[-1] * 4, maps=False))


def test_a_resumed_run_is_one_curve_and_a_restarted_one_the_later(tmp_path: Path) -> None:
    leave_curves(tmp_path / "resumed", last=3, classification=1.0)
    leave_curves(tmp_path / "resumed", first=3, last=4, scale=10.0, classification=1.0)
    terms, validation = read_curves(tmp_path / "resumed")
    assert terms["classification"].epochs == [1, 2, 3, 4]
    assert terms["classification"].values == pytest.approx([1, 2, 30, 40])
    assert validation.keys() == {"f1"}
    leave_curves(tmp_path / "again", last=5, classification=1.0, attention=1.0)
    leave_curves(tmp_path / "again", last=2, scale=10.0, classification=1.0)
    terms, _ = read_curves(tmp_path / "again", ["classification"])
    assert terms.keys() == {"classification"}
    assert terms["classification"].values == pytest.approx([10, 20])


def test_what_a_term_observes_between_0_and_1_shares_a_chart(tmp_path: Path) -> None:
    """t and m of dynamic sharpening by epoch, as in the paper's figure; a, from 4 to 6, has its own."""
    observed = {"attention/t": 0.1, "attention/a": 2.0, "attention/m": 0.2}
    leave_run(tmp_path)
    leave_curves(tmp_path, classification=1.0, **observed)
    page = page_of(tmp_path)
    assert page.words("Attention") == ["Attention: m, t by epoch; in the last one: m 0.600, t 0.300"]
    assert [text.split(";")[0] for text in page.words("Training: ")] == [
        "Training: classification by epoch",
        "Training: attention/a by epoch",
    ]


def test_shares_of_labels_side_by_side(tmp_path: Path) -> None:
    few = leave_run(tmp_path / "few", labelled_share=0.1)
    others = [leave_run(tmp_path / f"{share}", labelled_share=share, seed=1) for share in (0.3, 1.0)]
    page = Page(write_page(few, others=others, out=tmp_path / "page.html").read_text())
    for score in ("F1", "AUC", "TIoU"):
        assert len(page.words(f"{score} by labelled share: teacher ")) == 1
    scores = json.loads((few / "metrics.json").read_text())["scores"]
    assert f"teacher {100 * scores['teacher']['f1']['value']:.1f} % at 10%" in page.words("F1 by labelled share")[0]
    row = next(cells for cells in page.rows if cells[-1] == str(others[0]) and "student" in cells)
    assert row[:3] == ["30 %", "1", "student"]
    assert "Method" not in page.text


def test_methods_are_told_apart_by_their_terms_and_unequal_runs_refused(tmp_path: Path) -> None:
    one = leave_run(tmp_path / "one")
    page = Page(write_page(one, others=[leave_run(tmp_path / "two", terms=["classification"])]).read_text())
    assert "A: classification + attention. B: classification." in page.text
    assert not page.words("F1 by labelled share")  # one share makes no curve
    with pytest.raises(ValueError, match="cannot be compared, they differ in dataset_version: 4, 5"):
        write_page(one, others=[leave_run(tmp_path / "three", dataset_version="5")])
    with pytest.raises(ValueError, match="does not say its labelled_share"):
        write_page(one, others=[leave_run(tmp_path / "four", labelled_share=None)])


def test_methods_of_the_same_terms_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    """But not by what a curve runs over or by where a run lies."""
    folders = []
    for lambda_a, share in ((0.5, 0.1), (0.5, 0.3), (0.0, 0.1), (0.0, 0.3)):
        folder = leave_run(tmp_path / f"{lambda_a}_{share}", labelled_share=share)
        settings = {"lambda_a": lambda_a, "lambda_r": 0.001, "labelled_share": share, "output_dir": str(folder)}
        (folder / "configuration.json").write_text(json.dumps({"settings": settings}))
        folders.append(folder)
    page = Page(write_page(folders[0], others=folders[1:], out=tmp_path / "page.html").read_text())
    terms = "classification + attention"
    assert f"A: {terms}; lambda_a 0.5. B: {terms}; lambda_a 0.0." in page.text
    alike = Page(write_page(folders[0], others=folders[1:2], out=tmp_path / "alike.html").read_text())
    assert "Method" not in alike.text


@pytest.fixture(scope="module")
def findings_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which images have several findings; nobody has the last."""
    return leave_findings_run(tmp_path_factory.mktemp("findings") / "run")


def test_findings_have_their_own_page(findings_run: Path) -> None:
    page = page_of(findings_run)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["#metrics", "#curves", "#calibration", "#relations", "#cases", "#training", "#configuration"]
    assert [f"#{attributes['id']}" for tag, attributes in page.tags if tag == "section"] == links
    assert "Confusion" not in page.text
    scores = json.loads((findings_run / "metrics.json").read_text())["scores"]
    for network, roc in zip(NETWORKS, page.words("ROC"), strict=True):
        areas = [float(area) for area in re.findall(r"\d\.\d{3}", roc)]
        assert np.mean(areas) == pytest.approx(scores[network]["auc"]["value"], abs=6e-4)
        assert roc.endswith("Hernia not defined")
    assert "No image of this section has: Hernia." in page.text
    assert next(cells for cells in page.rows if cells[0] == "AUC of Hernia")[1:] == ["not defined", "not defined"]


def test_how_findings_are_calibrated_by_hand(findings_run: Path) -> None:
    with (findings_run / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "teacher"]
    names = [name.removeprefix("label/") for name in rows[0] if name.startswith("label/")]
    pairs = [(float(row[f"probability/{name}"]), row[f"label/{name}"]) for row in rows for name in names]
    known = [(chance, there == "1") for chance, there in pairs if there != "-1"]
    assert 0 < len(known) < len(pairs)
    bins = [[pair for pair in known if n / 10 < pair[0] <= (n + 1) / 10] for n in range(10)]
    ece = sum(abs(sum(there - chance for chance, there in pairs)) for pairs in bins) / len(known)
    assert f"teacher {100 * ece:.1f} %" in page_of(findings_run).words("Reliability")[0]


def test_an_image_is_a_case_of_each_finding_that_it_has(findings_run: Path) -> None:
    with (findings_run / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "teacher"]
    with_mass = [row for row in rows if row["label/Mass"] == "1"]
    best = max(with_mass, key=lambda row: float(row["probability/Mass"]))
    page = page_of(findings_run)
    assert page.words("best case of Mass") == [f"best case of Mass: {best['id']}; the image, beside it the map"]
    said = f"Best: Mass got {100 * float(best['probability/Mass']):.1f} %"
    others = "; also there: Nodule" if best["label/Nodule"] == "1" else ""
    assert f"{said}{others}{best['id']}, group {best['group']}" in page.text


def test_relations_are_drawn_and_their_distance_is_l_sc(findings_run: Path) -> None:
    relations = load_relations(findings_run / "relations.npz")
    teacher, student = relations.of["teacher"], relations.of["student"]
    distance = sum((a - b) ** 2 for a, b in zip(teacher.ravel(), student.ravel(), strict=True)) / len(teacher)
    (alt,) = page_of(findings_run).words("Relation matrices")
    count = len(teacher)
    expected = f"Relation matrices of {count} images: teacher, student, and their difference; L_sc between them: "
    assert alt == f"{expected}{distance:.3g}"


@pytest.fixture(scope="module")
def segmenter_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter's run that has left everything there is."""
    folder = leave_segmenter_run(tmp_path_factory.mktemp("segmenter") / "run", count=11)
    leave_curves(folder, loss=1.5, segmentation=1.5)
    leave_configuration(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter_page(segmenter_run: Path) -> Page:
    return page_of(segmenter_run)


def test_a_segmenters_numbers_are_those_of_metrics_json_in_percent_and_pixels(
    segmenter_run: Path, segmenter_page: Page
) -> None:
    scores = json.loads((segmenter_run / "metrics.json").read_text())["scores"]["segmenter"]
    found = {
        cells[0]: (cells[1], data[1]) for cells, data in zip(segmenter_page.rows, segmenter_page.data, strict=True)
    }
    for title, name, scale in (
        ("Dice, mean of classes", "dice", 100),
        ("Dice of meniscus", "dice/meniscus", 100),
        ("HD95 (px), mean of classes", "hd95_px", 1),
        ("HD95 (px) of cartilage", "hd95_px/cartilage", 1),
    ):
        entry = scores[name]
        cell, data = found[title]
        assert data == [entry["value"], entry["low"], entry["high"]]
        value, low, high = (f"{scale * number:.1f}" for number in data)
        assert cell == f"{value} [{low}, {high}]"
    assert len(found) == 1 + len(scores)
    assert f"HD95 (px), mean of classes{scores['hd95_px']['value']:.1f}" in segmenter_page.text


def test_how_dice_is_distributed_by_hand(segmenter_page: Page) -> None:
    # Of 20 columns 20, 19 … are found in the ten images with a mask; by `segmented`, 8·row/10 columns are missed.
    dice = [2 * kept / (kept + 20) for kept in (20, 19, 18, 18, 17, 16, 15, 14, 14, 13)]
    quarter, median = (100 * np.quantile(dice, share) for share in (0.25, 0.5))
    words = f"median {median:.1f} %, a quarter at most {quarter:.1f} %, 10 images"
    assert segmenter_page.words("Dice of the images") == [
        f"Dice of the images, as cumulative share; cartilage {words}; meniscus {words}"
    ]


def test_a_segmenters_page_has_its_own_sections_and_no_others(segmenter_page: Page) -> None:
    links = [attributes["href"] for tag, attributes in segmenter_page.tags if tag == "a"]
    assert links == ["#metrics", "#dice", "#cases", "#training", "#configuration"]
    sections = [f"#{attributes['id']}" for tag, attributes in segmenter_page.tags if tag == "section"]
    assert sections == links
    for word in ("ROC", "Confusion", "Reliability", "calibration", "attention", "TIoU", "In percent"):
        assert word not in segmenter_page.text + " ".join(segmenter_page.words(""))
    assert "10 measured images of 5 groups" in segmenter_page.text
    assert len(segmenter_page.pictures) == 1 + 3 + 3
    assert "learning_rate: 0.001" in segmenter_page.text


def test_a_segmenters_captions_tell_what_predictions_csv_tells(segmenter_run: Path, segmenter_page: Page) -> None:
    with (segmenter_run / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["dice/cartilage"] != "nan"]
    means = {row["id"]: (float(row["dice/cartilage"]) + float(row["dice/meniscus"])) / 2 for row in rows}
    for kind, name in (("best", max(means, key=means.__getitem__)), ("worst", min(means, key=means.__getitem__))):
        outlines = "the outlines of the given and the found mask: cartilage, meniscus"
        assert segmenter_page.words(kind) == [f"{kind} case: {name}; the image, beside it {outlines}"]
        share = f"{100 * means[name]:.1f} %"  # both classes are found alike
        assert f"{kind.capitalize()}: mean Dice {share}; cartilage {share}; meniscus {share}" in segmenter_page.text


def test_a_class_that_no_image_shows_is_named(tmp_path: Path) -> None:
    page = page_of(leave_segmenter_run(tmp_path, classes=("background", "cartilage", "meniscus", "bone")))
    assert "No image of this section shows: bone." in page.text
    assert "bone not defined" in page.words("Dice of the images")[0]
    assert "bone does not count" in page.text
    assert next(cells for cells in page.rows if cells[0] == "Dice of bone")[1] == "not defined"


def test_outlines_are_where_the_masks_are(tmp_path: Path) -> None:
    """Blue and orange, left and right of the middle, in the right half of the picture only."""
    folder = leave_segmenter_run(tmp_path)
    source = page_of(folder).pictures[1]["src"] or ""
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")
    pixels = np.asarray(picture).astype(int)
    blue, orange = pixels[..., 2] - pixels[..., 0] > 60, pixels[..., 0] - pixels[..., 2] > 60
    width = pixels.shape[1]
    for colour, left, right in ((blue, 0.5, 0.77), (orange, 0.73, 1.0)):
        _, columns = np.nonzero(colour)
        assert columns.size > 50
        assert left * width <= columns.min() < columns.max() <= right * width


def test_a_segmenters_run_stands_alone(tmp_path: Path, segmenter_run: Path) -> None:
    with pytest.raises(ValueError, match="is a segmenter's run; only runs of classifiers share a page: give it alone"):
        write_page(segmenter_run, others=[leave_segmenter_run(tmp_path / "other")], out=tmp_path / "page.html")


def test_cases_of_another_segmentation_are_refused(tmp_path: Path) -> None:
    folder = leave_segmenter_run(tmp_path / "run")
    shutil.copy(leave_segmenter_run(tmp_path / "other", count=20) / "cases.npz", folder)
    with pytest.raises(ValueError, match="is of another evaluation than predictions"):
        write_page(folder)


def test_charts_and_cases_are_files_too(
    whole_run: Path, findings_run: Path, segmenter_run: Path, tmp_path: Path
) -> None:
    for run, charts in (
        (findings_run, {f"{kind}_{of}" for kind in ("roc", "precision_recall") for of in NETWORKS}),
        (whole_run, {f"{kind}_{of}" for kind in ("roc", "precision_recall", "confusion") for of in NETWORKS}),
        (segmenter_run, {"dice_segmenter"}),
    ):
        folder = tmp_path / run.name / run.parent.name
        folder.mkdir(parents=True)
        files = write_pictures(run, folder)
        assert sorted(files) == sorted(folder.iterdir())
        assert {file.stem for file in files if file.suffix == ".svg"} - {"reliability"} == charts
        pictures = [file for file in files if file.suffix == ".png" and file.stem != "relations"]
        assert {file.stem.split("_")[2] for file in pictures} == {"best", "typical", "worst"}
        for file in pictures:
            with Image.open(file) as image:
                image.verify()


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    assert not write_page(leave_run(tmp_path)).exists()


@pytest.mark.parametrize("leave", [leave_run, leave_findings_run, leave_segmenter_run])
def test_the_command_writes_and_says_where(
    leave: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = leave(tmp_path / "run")
    main([str(folder)])
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    main([str(folder), "--out", str(tmp_path / "new/page.html")])
    assert (tmp_path / "new/page.html").read_text() == (folder / "report.html").read_text()


def spoil(folder: Path, kind: str) -> None:
    """Make of a run's folder one that no page can be made of."""
    if kind == "no metrics":
        (folder / "metrics.json").unlink()
    elif kind == "no predictions":
        (folder / "predictions.csv").unlink()
    elif kind == "cut off":
        (folder / "metrics.json").write_text('{"scores": {')
    elif kind == "cases cut off":
        (folder / "cases.npz").write_bytes((folder / "cases.npz").read_bytes()[:300])
    elif kind == "other answers":
        (folder / "predictions.csv").write_text("network,id,group,age\nteacher,a,p,0.9\n")
    elif kind == "other networks":
        shutil.copy(leave_run(folder / "other", networks=["student"]) / "predictions.csv", folder)
    else:
        shutil.copy(leave_run(folder / "other", networks=["x", "teacher"]) / "predictions.csv", folder)
        shutil.copy(leave_run(folder / "other", networks=["teacher"]) / "metrics.json", folder)
        lines = (folder / "predictions.csv").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("x,")]
        (folder / "predictions.csv").write_text("\n".join(kept) + "\n")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no metrics", "there is no .*metrics.json: training and evaluation write it at their end"),
        ("no predictions", "there is no .*predictions.csv: training and evaluation write it"),
        ("cut off", "metrics.json is no JSON file"),
        (
            "other answers",
            "has no columns probability/… or dice/…: this page is for bundles that grade, find or segment",
        ),
        ("cases cut off", "cases.npz cannot be read .*: evaluate again, or remove it"),
        ("other networks", "metrics.json is of teacher, student, predictions.csv of student"),
        ("other cases", "cases.npz is of another evaluation than predictions.csv: evaluate again, or remove it"),
    ],
)
def test_what_cannot_be_shown_ends_in_one_message(
    kind: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(leave_run(tmp_path), kind)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()
