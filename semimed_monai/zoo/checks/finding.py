"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass

from semimed_monai.messages import cause_of


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


def first_line(error: Exception) -> str:
    r"""What an error says first, or its kind where it says nothing.

    >>> first_line(ValueError("no such key\nat all")), first_line(KeyError())
    ('no such key', 'KeyError')
    """
    cause = cause_of(error)
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
