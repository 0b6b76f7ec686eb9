"""FROC curves of several methods in one figure: which runs are a line, what it shows, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from left_run import leave_run
from PIL import Image

from semimed_monai.metrics import LevelCounts, write_curve
from semimed_monai.metrics.froc import Curve
from semimed_monai.reports.froc import draw_froc, main
from semimed_monai.reports.page import figures, write_page, write_pictures
from semimed_monai.reports.page.names import run_names
from semimed_monai.reports.page.run import read_metrics


def counts_of(found: int, false: int = 4) -> LevelCounts:
    """Ten images with a lesion each, of which so many are found at one false positive in each of `false` images."""
    counts = LevelCounts.none()
    for image in range(10):
        map_ = np.zeros((8, 8), np.uint16)
        map_[1, 1] = 500 if image < found else 0
        map_[6, 6] = 400 if image < false else 0
        counts += LevelCounts.of(map_, [[0, 0, 3, 3]])
    return counts


def leave_detector(
    folder: Path, found: int = 5, method: str = "", settings: dict[str, Any] | None = None, **facts: Any
) -> Path:
    leave_run(folder, maps=False, networks=["teacher"], **facts)
    write_curve(folder / "froc.csv", counts_of(found))
    if method:
        content = {"settings": {"method": method, "output_dir": str(folder), **(settings or {})}}
        (folder / "configuration.json").write_text(json.dumps(content))
    return folder


def words_of(curves: dict[str, list[Curve]]) -> str:
    return figures.froc(curves)[1]


def test_mean_and_deviation_of_a_methods_runs_by_hand() -> None:
    rising: Curve = (np.array([0.0, 0.25]), np.array([0.2, 0.8]))
    flat: Curve = (np.array([0.0]), np.array([0.4]))
    # At .1 to .5: .2, .2, .8, .8, .8, mean .56; and .4. Mean .48, and their deviation is .16 / √2.
    assert "two 0.480 ± 0.113, 2 runs, one 0.400" in words_of({"two": [rising, flat], "one": [flat]})
    figure, _ = figures.froc({"two": [rising, flat], "one": [flat]}, most=0.75)
    (axes,) = figure.axes
    assert axes.get_xlim() == (0, 0.75)
    (two, one), (band,) = axes.get_lines(), axes.collections
    np.testing.assert_allclose(two.get_xydata(), [[0, 0.3], [0.25, 0.6], [0.75, 0.6]])
    np.testing.assert_allclose(one.get_xydata(), [[0, 0.4], [0.75, 0.4]])
    spread = np.std([0.8, 0.4], ddof=1)
    heights = np.unique(band.get_paths()[0].vertices[:, 1].round(9))
    np.testing.assert_allclose(
        heights,
        sorted({0.3 - np.std([0.2, 0.4], ddof=1), 0.3 + np.std([0.2, 0.4], ddof=1), 0.6 - spread, 0.6 + spread}),
    )


def test_runs_are_a_line_where_only_seed_and_place_differ(tmp_path: Path) -> None:
    sharp = [
        leave_detector(tmp_path / f"sharp{seed}", method="sharpening", settings={"t": 0.5}, seed=seed)
        for seed in (0, 1)
    ]
    fixed = leave_detector(tmp_path / "fixed", method="sharpening", settings={"t": 0.2})
    other = leave_detector(tmp_path / "other", method="mean teacher", settings={"decay": 0.99})
    bare = leave_detector(tmp_path / "bare")
    shares = [leave_detector(tmp_path / f"{share}", method="some", labelled_share=share) for share in (0.1, 0.5)]
    runs = {folder: read_metrics(folder) for folder in (*sharp, fixed, other, bare, *shares)}
    assert list(run_names(runs).values()) == [
        *("sharpening, t 0.5", "sharpening, t 0.5", "sharpening, t 0.2", "mean teacher", "classification + attention"),
        *("some, labelled_share 0.1", "some, labelled_share 0.5"),
    ]
    assert set(run_names({folder: runs[folder] for folder in sharp}).values()) == {"sharpening"}


@pytest.mark.parametrize("kind", [".png", ".svg", ".pdf"])
def test_the_command_draws_the_figure(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [leave_detector(tmp_path / f"{seed}", found=4 + seed, method="sharpening", seed=seed) for seed in (0, 1)]
    out = tmp_path / "figures" / f"froc{kind}"
    main([*map(str, runs), "--out", str(out), "--most", "0.5"])
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_bytes()[:5].startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[kind])
    if kind == ".png":
        with Image.open(out) as picture:
            assert min(picture.size) > 700


def test_the_command_says_how_it_is_used(run_program: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = run_program("semimed_monai.reports.froc", "--help", cwd=tmp_path)
    assert code == 0
    assert "RUN_FOLDER" in said
    assert "--out froc.png" in said


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = leave_detector(tmp_path / "run")
    other = leave_detector(tmp_path / "other", dataset_version="5")
    graded = leave_run(tmp_path / "graded")
    for runs, out, most, message in (
        ([run, other], "x.png", 1, "cannot be compared, they differ in dataset_version: 4, 5"),
        ([run, tmp_path / "run" / ".." / "run"], "x.png", 1, "a run is given twice"),
        ([run], "x.jpeg", 1, "a figure's name ends in one of .png, .svg, .pdf"),
        ([run], "x.png", 0, "most is 0: give a number above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            draw_froc(runs, tmp_path / out, most)
    with pytest.raises(FileNotFoundError, match=r"there is no .*graded/froc\.csv: the evaluation of a detector"):
        draw_froc([graded], tmp_path / "x.png")
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "x.png")])
    assert capsys.readouterr().err.startswith("error: there is no ")
    assert not (tmp_path / "x.png").exists()


def test_a_detectors_page_shows_its_curve_and_others_none(tmp_path: Path) -> None:
    detector = leave_detector(tmp_path / "detector", found=6)
    page = write_page(detector).read_text()
    assert '<a href="#froc">' in page
    assert "FROC curves; mean recall at 0.1 to 0.5 false positives per image: teacher 0.600" in page
    (tmp_path / "pictures").mkdir()
    assert "froc.svg" in [file.name for file in write_pictures(detector, tmp_path / "pictures")]
    assert "FROC" not in write_page(leave_run(tmp_path / "graded")).read_text()
