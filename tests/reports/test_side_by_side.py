"""Maps of several networks and runs side by side: the same images, each map where it lay, in the order asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from left_run import leave_configuration, leave_run, output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from semimed_monai.reports import SideBySide
from semimed_monai.reports.mapped import Mapped, joined, load_mapped
from semimed_monai.reports.page import write_page
from semimed_monai.reports.page.gallery import MASK
from semimed_monai.reports.page.maps import in_rows, shown_maps
from semimed_monai.reports.side_by_side import main

LABELS = (0, 1, 2) * 8


def kept(size: int, **settings: Any) -> SideBySide:
    """Through two engines, as an evaluation has them; an epoch forgets the one before."""
    beside = SideBySide(**settings)
    for seed, network in enumerate(("student", "cam")):
        found = output(LABELS, seed, classes=3)
        parts = [
            {name: column[start : start + size] for name, column in found.items()}
            for start in range(0, len(LABELS), size)
        ]
        engine = Engine(lambda _, batch: batch)
        beside.attach(engine, network)
        engine.run(parts, max_epochs=2)
    return beside


def test_the_same_images_are_drawn_of_every_network_however_they_are_cut() -> None:
    whole = kept(len(LABELS), images=5).mapped
    assert len(whole) == 5
    assert list(whole[0].maps) == ["student", "cam"]
    assert output(LABELS, 0, classes=3)["id"][-1] not in [one.id for one in kept(7, images=24).mapped]  # it has no mask
    assert [one.id for one in whole] == [one.id for one in kept(24, images=24).mapped][:5]
    for one, again in zip(whole, kept(5, images=5).mapped, strict=True):
        assert one.id == again.id
        assert all(np.array_equal(one.maps[name], again.maps[name]) for name in one.maps)


def test_the_pictures_are_those_of_the_images(tmp_path: Path) -> None:
    found = output(LABELS, 1, classes=3)
    kept(24, images=3).save(tmp_path / "maps.npz")
    for one in load_mapped(tmp_path / "maps.npz"):
        row = found["id"].index(one.id)
        assert np.abs(one.maps["cam"] / 255 - found["map"][row, 0].numpy()).max() < 0.003
        assert np.array_equal(one.mask, 255 * found["mask"][row, 0].numpy())


def test_chosen_images_come_in_the_order_of_the_choice_with_a_mask_or_without() -> None:
    ids = output(LABELS, 0, classes=3)["id"]
    chosen = [ids[-1], ids[3]]
    mapped = kept(7, chosen=chosen).mapped
    assert [one.id for one in mapped] == chosen
    assert not mapped[0].mask.any()
    with pytest.raises(ValueError, match=r"there is no image nobody.png in this section: choose ids of predictions"):
        _ = kept(7, chosen=[ids[0], "nobody.png"]).mapped


def test_a_network_without_maps_leaves_nothing(tmp_path: Path) -> None:
    beside = SideBySide()
    beside.update("student", {"id": ["a"], "image": torch.zeros(1, 1, 4, 4)})
    beside.gather("student")
    beside.save(tmp_path / "maps.npz")
    assert not any(tmp_path.iterdir())


def test_runs_are_joined_over_the_images_that_all_have() -> None:
    plane = np.zeros((4, 4), np.uint8)
    images = [Mapped(name, plane, plane, {"student": plane + number}) for number, name in enumerate("abc")]
    both = joined({"one": images, "two": images[1:]})
    assert [one.id for one in both] == ["b", "c"]
    assert {name: int(shown[0, 0]) for name, shown in both[1].maps.items()} == {"one: student": 2, "two: student": 2}
    assert list(joined({"one": images})[0].maps) == ["student"]
    with pytest.raises(ValueError, match="no image is shown by each of one, two: evaluate them on the same section"):
        joined({"one": images[:1], "two": images[1:]})


def test_each_map_and_the_mark_lie_in_their_column() -> None:
    def square(top: int, left: int, value: int = 255) -> np.ndarray:
        plane = np.zeros((40, 40), np.uint8)
        plane[top : top + 10, left : left + 10] = value
        return plane

    maps = {"cam": square(4, 4), "decoder": square(24, 24)}
    figure, words = in_rows([Mapped("a", square(4, 24, 100), square(24, 4), maps)], threshold=0.5)
    assert words == "Maps of 1 images beside each other: image, cam, decoder, mark"
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    for number, axes in enumerate(figure.axes):
        box = axes.get_window_extent()
        top, bottom = len(pixels) - round(box.y1), len(pixels) - round(box.y0)
        panel = pixels[top:bottom, round(box.x0) : round(box.x1)]
        quarters = {
            (row, column): part
            for row, half in enumerate(np.array_split(panel, 2, axis=0))
            for column, part in enumerate(np.array_split(half, 2, axis=1))
        }
        coloured = {place for place, part in quarters.items() if np.ptp(part, axis=2).max() > 0.2}
        assert coloured == [set(), {(0, 0)}, {(1, 1)}, {(1, 0)}][number]
        marked = np.abs(quarters[1, 0] - to_rgb(MASK)).max(axis=2).min() < 0.2
        assert marked == (number == 3)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder, method in zip(folders, ("stage 1", "stage 3"), strict=True):
        leave_run(folder, networks=("student", "cam"), beside=True, method=method, labelled_share=None)
        leave_configuration(folder)
    return folders


def test_the_command_draws_what_it_is_asked_for(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = runs
    main([f"{one}:cam", str(two), "--out", str(tmp_path / "few.png"), "--images", "1"])
    main([f"{one}:cam", f"{one}:student", f"{two}:cam", "--out", str(tmp_path / "all.png")])
    assert capsys.readouterr().out.split() == [str(tmp_path / "few.png"), str(tmp_path / "all.png")]
    few, whole = (Image.open(tmp_path / name).size for name in ("few.png", "all.png"))
    assert few[0] == whole[0]  # image, three maps, mark
    assert few[1] < 0.5 * whole[1]  # one row, three rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{one}", "--images", "0", "--out", "{out}.png"], "--images 0: give 1 or more"),
        (["{one}:decoder", "--out", "{out}.png"], "has no maps of 'decoder': it has those of student, cam"),
        (["{one}", "--out", "{out}.svg"], "give it a name that ends in .png"),
        (["{bare}", "--out", "{out}.png"], "side_by_side.npz: training and evaluation write it at their end"),
    ],
)
def test_what_cannot_be_shown_is_said(
    arguments: list[str],
    said: str,
    runs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"one": runs[0], "out": tmp_path / "maps", "bare": leave_run(tmp_path / "bare")}
    with pytest.raises(SystemExit) as ended:
        main([part.format(**places) for part in arguments])
    assert ended.value.code in (1, 2)
    assert said in capsys.readouterr().err


def test_the_page_shows_the_runs_maps_and_those_of_others(runs: tuple[Path, Path]) -> None:
    one, two = runs
    assert "other: image, student, cam, mark" in write_page(one).read_text()
    text = write_page(two, others=[one]).read_text()
    assert "image, stage 3: student, stage 3: cam, stage 1: student, stage 1: cam, mark" in text
    assert 'id="shares"' not in text


def test_runs_of_one_method_are_told_apart_by_their_folders(runs: tuple[Path, Path]) -> None:
    for folder in runs:
        leave_run(folder, networks=("cam",), beside=True, method="stage 1", seed=folder.name)
    assert list(shown_maps(runs)[0].maps) == [f"stage 1 ({folder}): cam" for folder in runs]
