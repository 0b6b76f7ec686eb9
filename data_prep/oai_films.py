"""OAI's own radiographs of both knees (DICOM): whose each is, which of a person's counts, and the knees cut from them.

Grades are those of the baseline, so a film of a later visit must not get them. Where the table has V00BARCDBU, a film
counts if that is the barcode in its AccessionNumber, where OAI is said to keep it; this was not seen on a real film.
If no film has a barcode of the table, films count by date: those of a subject's first day, and where none of them can
be used the subject is left out. A film without StudyDate is of the day that a folder of its path names (20050214), and
without one comes last. That the first film which is there is the baseline's nothing says: films dated more than a year
after most are named.

Of several films that count, as when one was taken anew, that in which the most knees are found is cut.

Looked for: `data_prep.dicom_series` reads headers, too, but of slices, and says nothing of what a radiograph shows.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median_low
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
from data_prep.oai_readings import Readings, barcode
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
_TAGS = ("PatientID", "StudyDate", "AccessionNumber", "Modality", "PatientOrientation", *_PITCHES, *_SUBJECTS)
_RADIOGRAPHS = ("", "CR", "DX", "RG", "RF", "OT")  # "": the header does not say
_UNDATED = "99999999"
_DAY = re.compile(r"(19|20)\d{6}")
_YEAR = 10000  # between two dates as whole numbers, 20050214
_UNUSABLE = "films that cannot be used"
_FURTHER = "further films of a subject"


class Film(NamedTuple):
    """What the header of a DICOM file says.

    Args:
        file: where it is.
        name: its path below the source.
        date: of the study, as DICOM writes it, "" where neither header nor path says.
        damage: why the header cannot be read, if so; then nothing of the following is known.
        patient: PatientID, if any.
        barcode: AccessionNumber as `oai_readings.barcode` writes it, if it is one.
        modality: "" where the header does not say, and so on for the next.
        shows: what it is called to show.
        orientation: to where of the patient rows and columns run.
        pitch: mm of a pixel, 0 where the header does not say.
    """

    file: Path
    name: str
    date: str
    damage: str = ""
    patient: str = ""
    barcode: str = ""
    modality: str = ""
    shows: str = ""
    orientation: tuple[str, ...] = ()
    pitch: float = 0.0

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
        if self.damage:
            return self.damage
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
        films: of how many subjects a film could be searched for them.
        left_out: names, by the reason; and of films that are used, but may be of a later visit.
        passed_by: how many files are no radiographs of knees, by what they are.
        by_barcode: whether films count by their barcodes, and not by date.
    """

    cuts: list[Cut]
    films: int
    left_out: Mapping[str, list[str]]
    passed_by: Counter[str]
    by_barcode: bool


_LeftOut = defaultdict[str, list[str]]
_Searched = tuple[Film, tuple[Joint, Joint] | str]
"""A film and the most likely joints in it, or why it cannot be searched."""


def find_knees(source: Path, readings: Readings) -> Found:
    """The knees with a grade on all films below a folder.

    Raises:
        DatalistError: films that are of two persons, by their headers and their paths.
        ValueError: there is no DICOM file.
        FileNotFoundError: there is no such folder.
    """
    left_out: _LeftOut = defaultdict(list)
    films, passed_by = _films(source)
    of_subjects = _by_subject(films, source, readings, left_out)
    by_barcode = any(_was_graded(film, subject, readings) for subject, same in of_subjects.items() for film in same)
    count = _graded(of_subjects, readings, left_out) if by_barcode else _of_first_day(of_subjects, left_out)
    searched = each(_search, count.values(), "looking for knees")
    used = {subject: one for subject, same in zip(count, searched, strict=True) if (one := _best(same, left_out))}
    left_out["subjects none of whose films of the baseline can be used"] += [name for name in count if name not in used]
    cuts = [cut for subject, one in used.items() for cut in _cuts(subject, one, readings, left_out)]
    if not by_barcode:
        perhaps = _perhaps_later([film for film, _ in used.values()])
        left_out["used, but perhaps of a later visit: undated, or over a year after most"] += perhaps
    return Found(sorted(cuts, key=lambda cut: cut.knee.name), len(used), left_out, passed_by, by_barcode)


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


def _films(source: Path) -> tuple[list[Film], Counter[str]]:
    """The radiographs of knees, and how many files are something else; what cannot be read may be such a film."""
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: there is no such folder: give the one with OAI's films")
    files = [Path(name) for name in find_images(source, series=False) if not name.lower().endswith(NIFTI + PICTURES)]
    if not files:
        raise ValueError(f"{source}: no DICOM file in this folder or below: give the one with OAI's films")
    films, passed_by = [], Counter[str]()
    for film in each(lambda file: _film(file, source), files, "reading headers"):
        if film.other:
            passed_by[film.other] += 1
        else:
            films.append(film)
    return films, passed_by


def _film(file: Path, source: Path) -> Film:
    """What the header says, or why it cannot be read."""
    name = file.relative_to(source).as_posix()
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        spacings = [data.get(name) for name in _PITCHES]
        return Film(
            file,
            name,
            _day(_text(data, "StudyDate"), name),
            patient=_text(data, "PatientID"),
            barcode=barcode(_text(data, "AccessionNumber")),
            modality=_text(data, "Modality"),
            shows=" / ".join(filter(None, (_text(data, name) for name in _SUBJECTS))),
            orientation=tuple(str(way) for way in data.get("PatientOrientation") or ()),
            pitch=next((float(spacing[0]) for spacing in spacings if spacing), 0.0),
        )
    except InvalidDicomError:
        damage = "no DICOM header: copy it anew"
    except DAMAGED_HEADER as error:
        damage = f"damaged header ({type(error).__name__}): copy it anew"
    return Film(file, name, _day("", name), damage)


def _day(date: str, name: str) -> str:
    """StudyDate, or else the first folder that is named like one.

    >>> _day("2005.02.14", "9000099/20060301/001"), _day("", "9000099/20060301/001"), _day("", "9000099/001")
    ('20050214', '20060301', '')
    """
    said = [date.replace(".", ""), *name.split("/")[:-1]]
    return next((day for day in said if _DAY.fullmatch(day)), "")


def _text(data: Dataset, name: str) -> str:
    return str(data.get(name) or "").strip()


def _by_subject(films: Sequence[Film], source: Path, readings: Readings, left_out: _LeftOut) -> dict[str, list[Film]]:
    """The films, usable or not, of each subject of the table who has a graded knee; subjects and films in order."""
    graded = {knee.subject for knee in readings.grades}
    found: defaultdict[str, list[Film]] = defaultdict(list)
    problems = []
    for film in sorted(films, key=lambda film: (film.date or _UNDATED, film.name)):
        owners = film.owners(readings.subjects)
        if len(owners) > 1:
            said = f"{film.name} is of {' and of '.join(owners)}, by its path and its PatientID {film.patient!r}"
            problems.append(f"{said}: move it, or correct its header")
        elif not owners and film.damage:
            left_out[_UNUSABLE].append(f"{film.name} ({film.damage})")
        elif not owners:
            left_out["films of nobody in the table"].append(film.name)
        elif owners[0] in graded:
            found[owners[0]].append(film)
        else:
            left_out["films of subjects without a grade"].append(film.name)
    if problems:
        raise DatalistError(source, sorted(problems))
    return dict(sorted(found.items()))


def _was_graded(film: Film, subject: str, readings: Readings) -> bool:
    """Whether the subject's grades were read out of this very film."""
    return film.barcode in readings.barcodes.get(subject, ())


def _graded(films: Mapping[str, Sequence[Film]], readings: Readings, left_out: _LeftOut) -> dict[str, list[Film]]:
    """The films of each subject whose barcode stands in the table."""
    count = {}
    for subject, same in films.items():
        count[subject] = [film for film in same if _was_graded(film, subject, readings)]
        left_out["films of another barcode than the table's"] += [
            film.name for film in same if film not in count[subject]
        ]
    left_out["subjects without the film of the table's barcode"] += [
        subject for subject, same in count.items() if not same
    ]
    return {subject: same for subject, same in count.items() if same}


def _of_first_day(films: Mapping[str, Sequence[Film]], left_out: _LeftOut) -> dict[str, list[Film]]:
    """The films of each subject's first day, or the first of those without a date."""
    count = {}
    for subject, (first, *others) in films.items():
        count[subject] = [first, *(film for film in others if film.date and film.date == first.date)]
        left_out[_FURTHER] += [film.name for film in others if film not in count[subject]]
    return count


def _search(films: Iterable[Film]) -> list[_Searched]:
    """What is found in each film; those in which the most knees are found first."""
    return sorted(((film, _joints(film)) for film in films), key=_lost)


def _lost(searched: _Searched) -> int:
    """How many knees are not found, or more where the film cannot be searched."""
    found = searched[1]
    return 3 if isinstance(found, str) else sum(map(bool, doubts(found)))


def _best(searched: Iterable[_Searched], left_out: _LeftOut) -> tuple[Film, tuple[Joint, Joint]] | None:
    """The first that could be searched, if any."""
    usable = []
    for film, found in searched:
        if isinstance(found, str):
            left_out[_UNUSABLE].append(f"{film.name} ({found})")
        else:
            usable.append((film, found))
    left_out[_FURTHER] += [film.name for film, _ in usable[1:]]
    return usable[0] if usable else None


def _cuts(subject: str, used: tuple[Film, tuple[Joint, Joint]], readings: Readings, left_out: _LeftOut) -> list[Cut]:
    """The knees of a film that have a grade and are found."""
    film, found = used
    cuts = []
    for side, joint, doubt in zip(film.sides, found, doubts(found), strict=True):
        knee = Knee(subject, side)
        if knee not in readings.grades:
            left_out["knees without a grade"].append(knee.name)
        elif doubt:
            left_out["knees not found"].append(f"{knee.name} in {film.name} ({doubt})")
        else:
            cuts.append(Cut(knee, film, joint))
    return cuts


def _perhaps_later(films: Sequence[Film]) -> list[str]:
    """Those without a date, and those more than a year after the median."""
    dates = [int(film.date) for film in films if film.date]
    latest = median_low(dates) + _YEAR if dates else 0
    return [f"{film.name} ({film.date or 'no date'})" for film in films if not film.date or int(film.date) > latest]


def _joints(film: Film) -> tuple[Joint, Joint] | str:
    """The most likely joints, or why the film cannot be searched."""
    if film.flaw:
        return film.flaw
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
