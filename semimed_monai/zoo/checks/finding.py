"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fault, where it is and what mends it.

    >>> print(Finding("knees", "LICENSE", "there is none", "add one"))
    knees: LICENSE: there is none; add one
    """

    bundle: str
    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.bundle}: {self.file}: {self.what}; {self.remedy}"
