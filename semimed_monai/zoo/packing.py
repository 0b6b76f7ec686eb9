"""The same files in the same bytes, as a zip: whatever the clock or the umask.

Looked for: MONAI's model zoo calls `touch` and `zip -X`; `shutil.make_archive` keeps dates, permissions and the file
system's order.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

EPOCH = 315532800
"""The first second that a zip can tell, 1980-01-01, as SOURCE_DATE_EPOCH counts."""

_FIRST = (1980, 1, 1, 0, 0, 0)


def write_zip(path: Path, files: Mapping[str, Path]) -> int:
    """Pack files under their names in the zip, in their order; returns the bytes that they take unpacked.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("all of it")
    >>> write_zip(folder / "a.zip", {"some/a.txt": folder / "a.txt"})
    9
    """
    unpacked = 0
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, _FIRST)
            entry.create_system = 3  # Unix, on which the permissions mean something
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = file.stat().st_size  # decides whether it is written as a large one
            unpacked += entry.file_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return unpacked
