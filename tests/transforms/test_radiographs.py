"""Chest radiographs: the same picture from every kind of file, and its boxes where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEGLosslessSV1, RLELossless
from small_files import dicom_plane, refused, write_nifti

from semimed_monai.transforms import (
    box_mask,
    boxes_from_square,
    boxes_to_square,
    chest_xray,
    read_radiograph,
    to_square,
)
from semimed_monai.transforms import radiographs as module

# What is to be seen, 0 to 255: every value once, in no order.
SHOWN = np.random.default_rng(0).permutation(256).reshape(8, 32)
# A table that rises slowly, then fast; where in it a value is seen first.
RISE = np.concatenate([np.repeat(np.arange(128), 2), np.repeat(np.arange(128, 256), 6)])


def written(path: Path, stored: NDArray[Any], photometric: str = "MONOCHROME2", **header: Any) -> str:
    """A DICOM file of these rows x columns."""
    data = dicom_plane(stored.T, photometric)
    for name, value in header.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return str(path)


def linear(low: float, high: float) -> dict[str, Any]:
    """The window of DICOM's LINEAR function from low to high, by PS3.3 C.11.2.1.2."""
    return {"WindowCenter": [f"{(low + high + 1) / 2}", "5"], "WindowWidth": [f"{high - low + 1}", "10"]}


def table(entries: NDArray[Any], start: int, bits: int, name: str = "VOILUTSequence") -> dict[str, Any]:
    found = Dataset()
    found.LUTDescriptor = [len(entries), start, bits]
    found.LUTData = [int(entry) for entry in entries]
    found["LUTDescriptor"].VR = found["LUTData"].VR = "US"
    if name == "ModalityLUTSequence":
        found.ModalityLUTType = "US"
    return {name: [found]}


def at(shown: NDArray[Any]) -> NDArray[Any]:
    return np.searchsorted(RISE, shown)


EXACT = {"VOILUTFunction": "LINEAR_EXACT", "WindowCenter": "1510", "WindowWidth": "1020"}
VARIANTS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "no window": (300 + 3 * SHOWN, {}),
    "no window, 0 is white": (300 + 3 * (255 - SHOWN), {"photometric": "MONOCHROME1"}),
    "window": (1000 + 4 * SHOWN, linear(1000, 2020)),
    "window, function empty": (1000 + 4 * SHOWN, {**linear(1000, 2020), "VOILUTFunction": ""}),
    "window, exact": (1000 + 4 * SHOWN, EXACT),
    "window, 0 is white": (1000 + 4 * (255 - SHOWN), {**linear(1000, 2020), "photometric": "MONOCHROME1"}),
    "inverse shape": (1000 + 4 * (255 - SHOWN), {**linear(1000, 2020), "PresentationLUTShape": "INVERSE"}),
    "0 is white, said twice": (
        1000 + 4 * (255 - SHOWN),
        {**linear(1000, 2020), "photometric": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ),
    "identity shape": (1000 + 4 * SHOWN, {**linear(1000, 2020), "PresentationLUTShape": "IDENTITY"}),
    "rescaled": (4 * SHOWN, {"RescaleSlope": "2", "RescaleIntercept": "-100", **linear(-100, 1940)}),
    "rescaled downwards": (255 - SHOWN, {"RescaleSlope": "-1", "RescaleIntercept": "255", **linear(0, 255)}),
    "signed": (4 * SHOWN - 600, {"PixelRepresentation": 1, **linear(-600, 420)}),
    "table of 8 bits": (700 + at(SHOWN), table(RISE, 700, 8)),
    "table of 12 bits": (700 + at(SHOWN), table(16 * RISE, 700, 12)),
    "table of 16 bits": (700 + at(SHOWN), table(257 * RISE, 700, 16)),
    "table of 12 bits that says 16": (700 + at(SHOWN), table(16 * RISE, 700, 16)),
    "table before window": (700 + at(SHOWN), {**table(257 * RISE, 700, 16), **linear(0, 9)}),
    "table, 0 is white": (700 + at(255 - SHOWN), {**table(RISE, 700, 8), "photometric": "MONOCHROME1"}),
    "table, rescaled": (
        at(SHOWN),
        {**table(RISE, 700, 8), "RescaleSlope": "1.0", "RescaleIntercept": "700.0"},
    ),
    "modality's table": (50 + at(SHOWN), {**table(RISE, 50, 8, "ModalityLUTSequence"), **linear(0, 255)}),
    "modality's table of 12 bits": (
        50 + at(SHOWN),
        {**table(16 * RISE, 50, 12, "ModalityLUTSequence"), **linear(0, 16 * 255)},
    ),
}


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.fromarray(SHOWN.astype(np.uint8)).save(tmp_path / "shown.png")
    return str(tmp_path / "shown.png")


@pytest.mark.parametrize("variant", VARIANTS)
def test_dicom_and_png_of_one_picture_give_one_image(tmp_path: Path, picture: str, variant: str) -> None:
    stored, header = VARIANTS[variant]
    path = written(tmp_path / "film.dcm", stored, **header)

    expected, found = (chest_xray(32)({"image": file})["image"] for file in (picture, path))

    assert expected[0, 12:20].mul(255).round().long().tolist() == SHOWN.tolist()
    assert (found - expected).abs().max() < 1 / 255
    assert not isinstance(found, MetaTensor)


def test_a_window_cuts_before_black_and_white_are_exchanged(tmp_path: Path) -> None:
    """Of the stored values 0, 10, 20, 30 the window shows 10 to 30; white is 0 in the second file."""
    stored = np.array([[0, 10, 20, 30]])
    for photometric, shown in (("MONOCHROME2", [0, 0, 0.5, 1]), ("MONOCHROME1", [1, 1, 0.5, 0])):
        path = written(tmp_path / "film.dcm", stored, photometric, **linear(10, 30))
        assert read_radiograph(path).tolist() == [pytest.approx(shown)]


def test_a_sigmoid_is_half_at_its_centre(tmp_path: Path) -> None:
    """By PS3.3 C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w))."""
    header = {"VOILUTFunction": "SIGMOID", "WindowCenter": "100", "WindowWidth": "40"}
    path = written(tmp_path / "film.dcm", np.array([[60, 100, 120]]), **header)
    assert read_radiograph(path)[0].tolist() == pytest.approx([1 / (1 + np.e**4), 0.5, 1 / (1 + np.e**-2)])


def test_pictures_of_more_than_eight_bits_and_grey_ones_in_colours(tmp_path: Path, picture: str) -> None:
    expected = chest_xray(32)({"image": picture})["image"]
    Image.fromarray((500 + 200 * SHOWN).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.open(picture).convert("RGB").save(tmp_path / "colours.png")
    Image.open(picture).convert("RGB").save(tmp_path / "lossy.jpg", quality=100)
    for name, within in (("deep.png", 1e-6), ("colours.png", 1e-6), ("lossy.jpg", 2 / 255)):
        found = chest_xray(32)({"image": str(tmp_path / name)})["image"]
        assert (found - expected).abs().max() <= within, name
    Image.fromarray(SHOWN > 127).save(tmp_path / "two.png")
    assert np.array_equal(read_radiograph(str(tmp_path / "two.png")), SHOWN > 127)
    Image.fromarray(np.full((4, 4), 51, np.uint8)).save(tmp_path / "dim.png")
    assert read_radiograph(str(tmp_path / "dim.png")).tolist() == [[pytest.approx(0.2)] * 4] * 4


def test_a_compressed_file_is_what_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "film.dcm", 1000 + 4 * SHOWN, **linear(1000, 2020))
    plain = read_radiograph(path)
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    assert np.array_equal(read_radiograph(path), plain)


def item(path: str, **known: Any) -> dict[str, Any]:
    """As `Datalist` hands it to readers."""
    return {"id": "film", "group": "p1", "image": path, "slice": None, "mask": None, "label_map": None, **known}


@pytest.mark.parametrize(
    ("known", "has_mask", "inside", "role"),
    [
        ({"label": 1, "boxes": [[4, 2, 12, 6]], "role": 0}, True, 8 * 4, 0),
        ({"label": 0, "role": 1}, True, 0, 1),
        ({"label": 1, "role": 2}, False, 0, 2),
        ({"label": 0, "role": 3}, True, 0, 3),
        ({"label": 1, "boxes": [[4, 2, 12, 6], [0, 0, 1, 1]]}, True, 8 * 4 + 1, -1),
        ({"label": 0, "boxes": []}, True, 0, -1),
        ({"label": -1}, False, 0, -1),
    ],
)
def test_what_is_known_of_a_row(picture: str, known: dict[str, Any], has_mask: bool, inside: int, role: int) -> None:
    row = chest_xray(32)(item(picture, **known))
    assert (row["id"], row["group"], row["source"], row["slice"]) == ("film", "p1", picture, 0)
    assert row["image"].dtype == row["mask"].dtype == row["boxes"].dtype == torch.float32
    assert row["image"].shape == row["mask"].shape == (1, 32, 32)
    assert row["boxes"].shape == (len(known.get("boxes", [])), 4)
    assert (row["label"], row["has_mask"], row["role"]) == (known["label"], has_mask, role)
    assert row["mask"].sum() == inside
    if inside:
        assert row["boxes"][0].tolist() == [4, 14, 12, 18]  # 12 rows of padding above
        assert row["mask"][0, 14:18, 4:12].all()


@pytest.mark.parametrize(
    ("label", "boxes", "has_mask"),
    [
        ([0, 1, 1], None, False),
        ([0, 0, 0], None, True),
        ([0, 1, 0], [[4, 2, 12, 6]], True),
        ([-1, -1, -1], None, False),
    ],
)
def test_several_findings_are_a_vector(
    picture: str, label: list[int], boxes: list[list[int]] | None, has_mask: bool
) -> None:
    row = chest_xray(32)(item(picture, label=label, boxes=boxes))
    assert torch.equal(row["label"], torch.tensor(label, dtype=torch.float32))
    assert row["has_mask"] == has_mask
    assert row["mask"].sum() == (8 * 4 if boxes else 0)


def test_a_row_has_a_study_if_its_item_has(picture: str) -> None:
    assert chest_xray(6)(item(picture, study="p1/s2"))["study"] == "p1/s2"
    assert "study" not in chest_xray(6)(item(picture))


def test_inference_gives_a_path_only(picture: str) -> None:
    preprocess = ConfigParser({"p": {"_target_": "semimed_monai.transforms.chest_xray", "size": 16}})
    row = preprocess.get_parsed_content("p")({"image": picture})
    assert (row["id"], row["group"], row["label"], row["has_mask"], row["role"]) == (picture, picture, -1, False, -1)
    assert row["boxes"].shape == (0, 4)
    assert row["mask"].shape == (1, 16, 16)


sides, corners = st.integers(1, 60), st.floats(0, 1, width=32)


@given(rows=sides, columns=sides, size=sides, corner=st.lists(corners, min_size=4, max_size=4), squash=st.booleans())
def test_boxes_come_back(rows: int, columns: int, size: int, corner: list[float], squash: bool) -> None:
    box = torch.tensor([corner]) * torch.tensor([columns, rows, columns, rows])
    aspect = "squash" if squash else "pad"
    square = boxes_to_square(box, rows, columns, size, aspect)
    assert square.min() >= 0
    assert square.max() <= size * (1 + 1e-6)
    torch.testing.assert_close(boxes_from_square(square, rows, columns, size, aspect), box, atol=1e-4, rtol=1e-5)


@given(
    shape=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    size=st.integers(20, 120),
    place=st.tuples(st.integers(8, 16), st.integers(8, 16), st.integers(6, 16), st.integers(6, 16)),
    squash=st.booleans(),
)
def test_what_is_painted_in_a_box_lies_in_the_box_that_was_carried(
    shape: tuple[int, int], size: int, place: tuple[int, int, int, int], squash: bool
) -> None:
    """The painted rectangle's middle and area in the square are the carried box's."""
    (rows, columns), (x0, y0, width, height) = shape, place
    plane = torch.zeros(1, rows, columns)
    plane[0, y0 : y0 + height, x0 : x0 + width] = 1
    aspect = "squash" if squash else "pad"
    square = to_square(plane, size, aspect)[0].double()
    left, top, right, bottom = boxes_to_square(
        torch.tensor([[x0, y0, x0 + width, y0 + height]], dtype=torch.float64), rows, columns, size, aspect
    )[0].tolist()
    centres = torch.arange(size) + 0.5
    mass = square.sum()
    assert float(mass) == pytest.approx((right - left) * (bottom - top), rel=0.05)
    assert float((square.sum(0) * centres).sum() / mass) == pytest.approx((left + right) / 2, abs=0.1)
    assert float((square.sum(1) * centres).sum() / mass) == pytest.approx((top + bottom) / 2, abs=0.1)


def test_a_painted_rectangle_is_under_its_mask(tmp_path: Path) -> None:
    pixels = np.zeros((60, 100), np.uint8)
    pixels[20:36, 44:64] = 255
    Image.fromarray(pixels).save(tmp_path / "painted.png")
    row = chest_xray(50)({"image": str(tmp_path / "painted.png"), "label": 1, "boxes": [[44, 20, 64, 36]]})
    assert row["boxes"].tolist() == [[22, 20, 32, 28]]
    assert torch.equal(row["mask"] > 0, row["image"] > 0.5)


@given(st.lists(st.tuples(*[st.floats(0, 12, width=32)] * 4), max_size=4))
def test_the_mask_is_the_pixels_whose_centres_lie_in_a_box(found: list[tuple[float, float, float, float]]) -> None:
    boxes = torch.tensor(found).reshape(-1, 4)
    mask = box_mask(boxes, 12)
    expected = np.zeros((12, 12))
    for x0, y0, x1, y1 in boxes.tolist():
        for row in range(12):
            for column in range(12):
                if x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1:
                    expected[row, column] = 1
        expected[min(int((y0 + y1) / 2), 11), min(int((x0 + x1) / 2), 11)] = 1
    assert np.array_equal(mask[0].numpy(), expected)


def test_a_blank_image_where_none_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path / "blank.dcm", np.full((4, 4), 7))
    assert not chest_xray(4)({"image": path})["image"].any()
    with refused(r"blank\.dcm: every pixel is displayed as 0; export or copy"):
        chest_xray(4, refuse_blank=True)({"image": path})


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _text(path: Path) -> None:
    path.write_text("no image")


def _changed(**header: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = pydicom.dcmread(path)
        for name, value in header.items():
            setattr(data, name, value)
        data.save_as(path)

    return change


def _report(path: Path) -> None:
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)


def _film(path: Path) -> None:
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = MPEG2MPML
    data.PixelData = encapsulate([b"\xff\xd8"])
    data.save_as(path)


def _spoilt_jpeg(path: Path) -> None:
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.PixelData = encapsulate([b"\xff\xd8"])
    data.save_as(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, r"its pixels cannot be decoded, .*; copy it anew, or export it as a PNG"),
        (_text, "is no DICOM, PNG or JPEG: empty, damaged or misnamed; copy it anew"),
        (_report, "it holds no image .*: leave it out"),
        (_changed(NumberOfFrames=3), "it holds 3 frames, .*: export the frame that is meant"),
        (
            _changed(PhotometricInterpretation="RGB", SamplesPerPixel=3),
            "its colours are RGB, .*export it as MONOCHROME2",
        ),
        (
            _changed(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY"),
            "MONOCHROME1 says that 0 is white, .*: remove what is wrong",
        ),
        (
            _changed(ImagerPixelSpacing=["0.2", "0.143"]),
            r"its pixels are not square \(ImagerPixelSpacing 0\.2 x 0\.143\): resample it",
        ),
        (_changed(PixelAspectRatio=["4", "3"]), r"its pixels are not square \(PixelAspectRatio 4 x 3\): resample it"),
        (
            _changed(WindowCenter="5", WindowWidth="0"),
            "its pixels cannot be .*displayed as its header says .*Window Width",
        ),
        (
            _film,
            r"it is compressed as MPEG2 .*for which no decoder is installed: pip install python-gdcm, or decompress",
        ),
        (_spoilt_jpeg, "its pixels cannot be decoded, "),
    ],
)
def test_a_file_that_is_no_radiograph(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "film.dcm"
    written(path, 1000 + 4 * SHOWN)
    spoil(path)
    with pytest.raises(ValueError, match=rf"film\.dcm: {message}"):
        read_radiograph(str(path))


def test_nearly_square_pixels_pass(tmp_path: Path) -> None:
    written(tmp_path / "film.dcm", SHOWN, PixelSpacing=["0.1400", "0.1395"])
    assert read_radiograph(str(tmp_path / "film.dcm")).shape == SHOWN.shape


def test_the_remedy_for_a_missing_decoder_names_the_syntax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_decoder", lambda syntax: False)
    path = written(tmp_path / "film.dcm", SHOWN)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.PixelData = encapsulate([b"\xff\xd8"])
    data.save_as(path)
    with pytest.raises(ValueError, match=r"film\.dcm: it is compressed as JPEG Lossless.*gdcmconv --raw"):
        read_radiograph(path)


def test_volumes_folders_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    for path in (write_nifti(tmp_path / "chest.nii", np.zeros((4, 4, 4))), str(tmp_path)):
        with pytest.raises(ValueError, match=r"a radiograph is one DICOM file, PNG or JPEG: name such a file"):
            read_radiograph(path)
    with pytest.raises(FileNotFoundError, match="check the path in the datalist"):
        read_radiograph(str(tmp_path / "none.dcm"))


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"slice": 1}, 'slice 1 is wanted of a radiograph, which has one: leave "slice" out'),
        ({"boxes": [[0, 0, 33, 4]]}, r"box \[0\.0, 0\.0, 33\.0, 4\.0\] is no .* inside its 32 x 8 pixels: correct it"),
        ({"boxes": [[0, 0, 8, 4], [5, 6, 5, 8]]}, r"box \[5\.0, 6\.0, 5\.0, 8\.0\] is no"),
    ],
)
def test_an_item_that_does_not_fit_its_file(picture: str, known: dict[str, Any], message: str) -> None:
    with refused(rf"shown\.png: {message}"):
        chest_xray(16)({"image": picture, **known})
    assert chest_xray(16)({"image": picture, "slice": 0})["slice"] == 0
