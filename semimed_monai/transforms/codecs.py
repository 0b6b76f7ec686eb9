"""Whether a compressed DICOM file can be decoded here, and what to say where it cannot.

Looked for: pydicom's own message names neither the file nor a package that decodes all common syntaxes.
"""

from __future__ import annotations

from typing import Any

import pydicom
from pydicom.uid import UID


def has_decoder(syntax: UID) -> bool:
    """Whether pydicom can decode it.

    >>> has_decoder(pydicom.uid.RLELossless)
    True
    """
    if int(pydicom.__version__.split(".")[0]) >= 3:
        from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 - pydicom 2 does not have it

        try:
            return get_decoder(syntax).is_available
        except NotImplementedError:  # films, and what pydicom has never heard of
            return False
    handlers: list[Any] = pydicom.config.pixel_data_handlers
    return any(handler.is_available() and handler.supports_transfer_syntax(syntax) for handler in handlers)


def without_decoder(syntax: UID) -> str:
    """What is wrong with a file of this transfer syntax, and the remedy."""
    return (
        f"compressed as {syntax.name} ({syntax}), for which no decoder is installed: pip install python-gdcm, or "
        "decompress the files (gdcmconv --raw IN OUT)"
    )
