"""Errors as one message: MONAI's config parser wraps whatever a component raises in pages of traceback."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

_OURS = str(Path(__file__).parent) + os.sep
HINT = "(SEMIMED_TRACEBACK=1 shows where it arose)"
"""The line after a message."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def show_plainly() -> None:
    """From now on an error that this library raised ends the program with its message alone, and exit code 1.

    Called first in every recipe's `initialize`. SEMIMED_TRACEBACK=1 in the environment keeps the traceback. Errors from
    elsewhere keep it anyway, as they are not about what the user gave; only a full disk, which every writer meets, is a
    message too.
    """
    if not os.environ.get("SEMIMED_TRACEBACK"):
        sys.excepthook = _show
        threading.excepthook = _show_of_thread
        # Every engine that an error passes through would log its whole message once more.
        logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)


def end_when_told() -> None:
    """From now on a program that is told to end, or whose terminal is closed, leaves as by an exception: what it was
    half through writing goes. One that was started to outlive its terminal does.
    """
    for told in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(told) is not signal.SIG_IGN:
            signal.signal(told, lambda number, _: sys.exit(128 + number))


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return
    cause = cause_of(error)
    if _raised_by_us(cause):
        text = str(cause)
    elif _is_full_disk(cause):
        text = f"{cause}: make room on that disk, or give folders on another one (output_dir, ckpt_dir)"
    else:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"\nerror: {text}\n{HINT}\n")


def _show_of_thread(raised: threading.ExceptHookArgs) -> None:
    """A full disk that TensorBoard's thread met is raised, and shown, once more where the program waits for it."""
    if not _is_full_disk(raised.exc_value):
        threading.__excepthook__(raised)


def _is_full_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def cause_of(error: BaseException) -> BaseException:
    """The error that this library raised, inside what MONAI's config parser wrapped it in; else the innermost one."""
    while error.__cause__ is not None and not _raised_by_us(error):
        error = error.__cause__
    return error


def _raised_by_us(error: BaseException) -> bool:
    """Whether it is about what the user gave: of the kinds that this library raises on purpose, and raised in it."""
    frames = traceback.extract_tb(error.__traceback__)
    meant = isinstance(error, (ValueError, RuntimeError, OSError))
    return meant and bool(frames) and frames[-1].filename.startswith(_OURS)
