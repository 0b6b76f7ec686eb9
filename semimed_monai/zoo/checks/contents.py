"""What the files of a bundle hold: what somebody can read, and no image of a patient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from configparser import RawConfigParser
from pathlib import Path

from monai.bundle import ConfigParser
from PIL import Image
from pydicom.misc import is_dicom

from semimed_monai.zoo.bundles import Bundle
from semimed_monai.zoo.checks.finding import Finding, first_line

_IMAGES = (".dcm", ".dicom", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def broken_files(bundle: Bundle) -> Iterator[Finding]:
    """Configs, cards, settings of logging and pictures that are none."""
    for file in bundle.files:
        kind, read = _READERS.get(file.suffix.lower(), ("", None))
        if read is None:
            continue
        try:
            read(bundle.folder / file)
        except Exception as error:  # noqa: BLE001 - readers raise what they like, and each of it is a finding
            yield Finding(bundle.name, file.as_posix(), f"it is no {kind}: {first_line(error)}", "correct it")


def medical_images(bundle: Bundle) -> Iterator[Finding]:
    """By their name, and DICOM by what it begins with."""
    for file in bundle.files:
        if file.name.lower().endswith(_IMAGES) or is_dicom(bundle.folder / file):
            what = "it is a medical image, and may be a patient's"
            yield Finding(bundle.name, file.as_posix(), what, "take it out: a card shows pictures of phantoms")


def _read_config(path: Path) -> None:
    """As MONAI does, which only warns of a key that an object has twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content: object = ConfigParser.load_config_file(path)
    if not isinstance(content, dict):
        raise ValueError("it holds no object")  # noqa: TRY004 - to a user a wrong value


def _read_card(path: Path) -> None:
    path.read_text(encoding="utf-8")


def _read_log_settings(path: Path) -> None:
    """What `logging.config.fileConfig` looks for; called here, it would change the logging of this program."""
    settings = RawConfigParser()
    settings.read_string(path.read_text(encoding="utf-8"))
    for kind in ("logger", "handler", "formatter"):
        names = [name.strip() for name in settings.get(f"{kind}s", "keys").split(",")]
        if kind == "logger" and "root" not in names:
            raise ValueError("[loggers] has no root")
        for name in filter(None, names):
            if not settings.has_section(f"{kind}_{name}"):
                raise ValueError(f"there is no section [{kind}_{name}]")


def _read_picture(path: Path) -> None:
    """Twice: what `verify` reads of a PNG cannot be shown any more, and of a JPEG it reads the head only."""
    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        picture.load()


_READERS: Mapping[str, tuple[str, Callable[[Path], None]]] = {
    ".json": ("JSON", _read_config),
    **dict.fromkeys((".yaml", ".yml"), ("YAML", _read_config)),
    ".md": ("text", _read_card),
    ".conf": ("configuration of logging", _read_log_settings),
    **dict.fromkeys((".png", ".jpg", ".jpeg"), ("picture", _read_picture)),
}
