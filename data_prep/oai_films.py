"""OAI's own radiographs of both knees (DICOM): whose each is, which of a person's counts, and the knees cut from them.

Looked for: `data_prep.dicom_series` reads headers, too, but of slices, and says nothing of what a radiograph shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from data_prep.contact_sheet import Shown, draw_sheet
from data_prep.knee_joints import Joint, doubts, find_joints, square_around
from data_prep.names import without_ending
from data_prep.oai_knee import Knee
from data_prep.oai_readings import Readings
from data_prep.pictures import shrunk
from data_prep.placing import placed_before
from data_prep.progress import each
from data_prep.sections import Items
from semimed_monai.data import DatalistError
from semimed_monai.data.find import NIFTI, PICTURES, find_images
from semimed_monai.files import whole_folder
from semimed_monai.transforms.radiographs import read_radiograph
from semimed_monai.vocabulary import DAMAGED_HEADER

FOLDER = "knees"
"""Below the dataset folder: where the knees are written."""

_PITCHES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SUBJECTS = ("SeriesDescription", "StudyDescription", "BodyPartExamined")
_TAGS = ("PatientID", "StudyDate", "Modality", "PatientOrientation", *_PITCHES, *_SUBJECTS)
_RADIOGRAPHS = ("", "CR", "DX", "RG", "RF", "OT")  # "": the header does not say
_UNDATED = "99999999"


class Film(NamedTuple):
    """What the header of a DICOM file says.

    Args:
        file: where it is.
        name: its path below the source.
        patient: PatientID, if any.
        date: of the study, as DICOM writes it.
        modality: "" where the header does not say, and so on for the next.
        shows: what it is called to show.
        orientation: to where of the patient rows and columns run.
        pitch: mm of a pixel, 0 where the header does not say.
    """

    file: Path
    name: str
    patient: str
    date: str
    modality: str
    shows: str
    orientation: tuple[str, ...]
    pitch: float

    @property
    def other(self) -> str:
        """What it is, if no radiograph of knees."""
        if self.modality not in _RADIOGRAPHS:
            return f"modality {self.modality}"
        return "" if not self.shows or "knee" in self.shows.lower() else self.shows

    def owners(self, subjects: Collection[str]) -> list[str]:
        """The subjects whom its PatientID, its folders or its name stand for."""
        *folders, name = self.name.split("/")
        return sorted({self.patient, *folders, without_ending(name)}.intersection(subjects))

    @property
    def sides(self) -> tuple[str, str]:
        """Which knee the left and the right half of the picture show."""
        return ("L", "R") if self.orientation[:1] and self.orientation[0][:1] == "R" else ("R", "L")

    @property
    def flaw(self) -> str:
        """Why no knee can be cut out of it, as far as the header says."""
        across, down = ([*self.orientation, "", ""])[:2]
        if across[:1] not in ("", "L", "R") or down[:1] not in ("", "F"):
            return f"PatientOrientation {across}\\{down}, where a person stands upright and seen from the front or back"
        return "" if self.pitch > 0 else f"no {', '.join(_PITCHES)}: its size in mm is not known"


class Cut(NamedTuple):
    """A knee that is to be cut out of a film, around its joint."""

    knee: Knee
    film: Film
    joint: Joint

    @property
    def path(self) -> str:
        """Below the dataset folder."""
        return f"{FOLDER}/{self.knee.name}.png"


class Cutting(NamedTuple):
    """How knees are cut.

    Args:
        side: of the squares, in mm.
        longest: their side in pixels, where the film's own pixels make it longer.
        check: a picture to draw of them, the least certain first.
    """

    side: float
    longest: int | None
    check: Path | None


class Found(NamedTuple):
    """What a folder of films has come to.

    Args:
        cuts: the graded knees, in the order of their names.
        films: how many were searched for them.
        left_out: names, by the reason.
        passed_by: how many files are no radiographs of knees, by what they are.
    """

    cuts: list[Cut]
    films: int
    left_out: Mapping[str, list[str]]
    passed_by: Counter[str]


def find_knees(source: Path, readings: Readings) -> Found:
    """The knees with a grade on all films below a folder.

    Raises:
        DatalistError: films that are of two persons, by their headers and their paths.
        ValueError: there is no DICOM file.
        FileNotFoundError: there is no such folder.
    """
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    films, passed_by = _films(source, left_out)
    chosen = _earliest(_by_subject(films, source, readings, left_out), left_out)
    joints = each(_joints, chosen.values(), "looking for knees")
    cuts = []
    for (subject, film), found in zip(chosen.items(), joints, strict=True):
        if isinstance(found, str):
            left_out["films that cannot be used"].append(f"{film.name} ({found})")
            continue
        for side, joint, doubt in zip(film.sides, found, doubts(found), strict=True):
            knee = Knee(subject, side)
            if knee not in readings.grades:
                left_out["knees without a grade"].append(knee.name)
            elif doubt:
                left_out["knees not found"].append(f"{knee.name} in {film.name} ({doubt})")
            else:
                cuts.append(Cut(knee, film, joint))
    return Found(sorted(cuts, key=lambda cut: cut.knee.name), len(chosen), left_out, passed_by)


def knee_items(cuts: Iterable[Cut], grades: Mapping[Knee, int]) -> Items:
    """Their items, for files that are still to be written."""
    return [cut.knee.item(cut.path, grades[cut.knee]) for cut in cuts]


def write_knees(cuts: Sequence[Cut], out: Path, cutting: Cutting) -> None:
    """Write each knee as a PNG of 8 bits, in place of those of an earlier preparation; and draw a sheet of them."""
    of_film: defaultdict[Film, list[Cut]] = defaultdict(list)
    for cut in cuts:
        of_film[cut.film].append(cut)
    with whole_folder(out / FOLDER, placed_before(out)) as draft:
        each(lambda same: _write(same, draft, cutting), of_film.values(), "cutting knees")
    if cutting.check is not None:
        doubtful = sorted(cuts, key=lambda cut: cut.joint.fit)
        draw_sheet(cutting.check, [Shown(out / cut.path, f"{cut.knee.name} {cut.joint.fit:.2f}") for cut in doubtful])


def _films(source: Path, left_out: defaultdict[str, list[str]]) -> tuple[list[Film], Counter[str]]:
    """The radiographs of knees, and how many files are something else."""
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: there is no such folder: give the one with OAI's films")
    files = [Path(name) for name in find_images(source, series=False) if not name.lower().endswith(NIFTI + PICTURES)]
    if not files:
        raise ValueError(f"{source}: no DICOM file in this folder or below: give the one with OAI's films")
    films, passed_by = [], Counter[str]()
    for file, film in zip(files, each(lambda file: _film(file, source), files, "reading headers"), strict=True):
        if isinstance(film, str):
            left_out["films that cannot be used"].append(f"{file.relative_to(source).as_posix()} ({film})")
        elif film.other:
            passed_by[film.other] += 1
        else:
            films.append(film)
    return films, passed_by


def _film(file: Path, source: Path) -> Film | str:
    """What the header says, or why it cannot be read."""
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        spacings = [data.get(name) for name in _PITCHES]
        return Film(
            file,
            file.relative_to(source).as_posix(),
            _text(data, "PatientID"),
            _text(data, "StudyDate"),
            _text(data, "Modality"),
            " / ".join(filter(None, (_text(data, name) for name in _SUBJECTS))),
            tuple(str(way) for way in data.get("PatientOrientation") or ()),
            next((float(spacing[0]) for spacing in spacings if spacing), 0.0),
        )
    except InvalidDicomError:
        return "no DICOM header: copy it anew"
    except DAMAGED_HEADER as error:
        return f"damaged header ({type(error).__name__}): copy it anew"


def _text(data: Dataset, name: str) -> str:
    return str(data.get(name) or "").strip()


def _by_subject(
    films: Sequence[Film], source: Path, readings: Readings, left_out: defaultdict[str, list[str]]
) -> dict[str, list[Film]]:
    """The films that can be used of each subject of the table who has a graded knee."""
    graded = {knee.subject for knee in readings.grades}
    found: defaultdict[str, list[Film]] = defaultdict(list)
    problems = []
    for film in films:
        owners = film.owners(readings.subjects)
        if len(owners) > 1:
            said = f"{film.name} is of {' and of '.join(owners)}, by its path and its PatientID {film.patient!r}"
            problems.append(f"{said}: move it, or correct its header")
        elif not owners:
            left_out["films of nobody in the table"].append(film.name)
        elif film.flaw:
            left_out["films that cannot be used"].append(f"{film.name} ({film.flaw})")
        elif owners[0] in graded:
            found[owners[0]].append(film)
        else:
            left_out["films of subjects without a grade"].append(film.name)
    if problems:
        raise DatalistError(source, problems)
    return found


def _earliest(films: Mapping[str, Sequence[Film]], left_out: defaultdict[str, list[str]]) -> dict[str, Film]:
    """The first film of each subject: grades are those of the baseline."""
    chosen = {}
    for subject, same in sorted(films.items()):
        first, *others = sorted(same, key=lambda film: (film.date or _UNDATED, film.name))
        left_out["further films of a subject"] += [film.name for film in others]
        chosen[subject] = first
    return chosen


def _joints(film: Film) -> tuple[Joint, Joint] | str:
    """The most likely joints, or why the film cannot be searched."""
    try:
        return find_joints(read_radiograph(str(film.file)), film.pitch)
    except ValueError as error:
        return str(error).removeprefix(f"{film.file}: ")


def _write(cuts: Sequence[Cut], folder: Path, cutting: Cutting) -> None:
    """The knees of one film."""
    film = read_radiograph(str(cuts[0].film.file))
    for cut in cuts:
        square = square_around(film, cut.joint, cutting.side, cut.film.pitch)
        picture = Image.fromarray(np.rint(255 * square).astype(np.uint8))
        size = shrunk(picture.size, cutting.longest)
        picture.resize(size, Image.Resampling.LANCZOS).save(folder / Path(cut.path).name)
