"""A tree of knees, and a cache folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from knee_trees import SAGITTAL, SUBJECTS, counted, write_table

from semimed_monai.data.phantoms.files import write_dicom_series


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path) -> Path:
    """Six subjects with a series each, of which the table grades slice n as n % 3; a seventh who is in no table."""
    for name in (*SUBJECTS, "s9"):
        write_dicom_series(tmp_path / "tree" / name / "pd", counted(), SAGITTAL, name)
    grades = ("normal", "partial", "full")
    rows = [f"{name},{name}/pd,{place},{grade}" for name in SUBJECTS for place, grade in enumerate(grades)]
    write_table(tmp_path / "grades.csv", rows)
    return tmp_path / "tree"
