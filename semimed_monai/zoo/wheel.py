"""The library as a wheel, in the same bytes from the same sources.

setuptools takes the date of a wheel's files from SOURCE_DATE_EPOCH and their permissions from the files; what an
earlier build has left in `build/` it packs, too. So it is given a copy of the sources alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

import semimed_monai
from semimed_monai.zoo.packing import EPOCH

_NEEDED = ("pyproject.toml", "README.md", "LICENSE")


def library_sources() -> Path:
    """The project's folder, where the library is used from its sources.

    Raises:
        FileNotFoundError: it was installed from a wheel.
    """
    folder = Path(semimed_monai.__file__).parents[1]
    if not (folder / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"the library in {folder} was installed, and its wheel cannot be built from there: give the wheel that it "
            "was installed from as --wheel FILE"
        )
    return folder


def build_wheel(project: Path, out: Path) -> Path:
    """The wheel of a project's packages (its folders with an __init__.py) into the folder `out`; returns the file.

    Raises:
        ValueError: pip or setuptools cannot.
    """
    with TemporaryDirectory() as work:
        sources = Path(work) / "sources"
        _copy_sources(project, sources)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        isolation = ["--no-build-isolation", "--no-index"] if _has_setuptools(project) else []
        done = subprocess.run(  # noqa: S603 - this Python's own pip
            [*pip, *isolation, "--wheel-dir", str(out), str(sources)],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
            capture_output=True,
            text=True,
            check=False,
            umask=0o022,  # of the files that setuptools writes itself
        )
    if done.returncode:
        raise ValueError(f"the wheel of {project} cannot be built; pip says: {done.stderr.strip()}")
    return next(out.glob("*.whl"))


def _copy_sources(project: Path, target: Path) -> None:
    """What setuptools needs, with permissions that no umask decides."""
    target.mkdir()
    for name in _NEEDED:
        if (project / name).is_file():
            shutil.copyfile(project / name, target / name)
    for package in project.glob("*/__init__.py"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package.parent, target / package.parent.name, ignore=ignore, copy_function=shutil.copyfile)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _has_setuptools(project: Path) -> bool:
    """Whether this environment has what the project is built with: then nothing is fetched."""
    wanted = re.search(r'^requires\s*=\s*\["([^"]+)"\]', (project / "pyproject.toml").read_text(), re.MULTILINE)
    if wanted is None:
        return False
    requirement = Requirement(wanted[1])
    try:
        return metadata.version(requirement.name) in requirement.specifier
    except metadata.PackageNotFoundError:
        return False
