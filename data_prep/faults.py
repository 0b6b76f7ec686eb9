"""Why a file is not used, and whether that is a reason to use none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong with a file or series.

    Args:
        reason: in words that are the same for all to which it happens, where that can be.
        stops: it was meant to be used, and its owner has to decide something; others are left out and reported.
        series: the DICOM series of a file that cannot be used: "" if it does not say, None if it is no DICOM file.
    """

    reason: str
    stops: bool = False
    series: str | None = None


def first(faults: Iterable[tuple[bool, Fault]]) -> Fault | None:
    """The first fault that holds.

    >>> first([(False, Fault("damaged")), (True, Fault("empty"))]).reason
    'empty'
    """
    return next((fault for holds, fault in faults if holds), None)
