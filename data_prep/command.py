"""What the commands of this package have in common: the split's settings, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.sections import FRACTIONS
from semimed_monai.data.datalist import SECTIONS


def parser(module: str, does: str, documentation: str | None) -> argparse.ArgumentParser:
    """Of `python -m module`: its help ends with the module's documentation, but for the first line and the example."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=does,
        epilog=(documentation or "").split("\n\n", 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_split(parser: argparse.ArgumentParser, group: str, ways: Mapping[str, str] | None = None) -> None:
    """--fractions and --seed, for a set of which `group` is not split; --split where there are several ways, and how.

    The first of the ways is the default.
    """
    if ways:
        meant = "; ".join(f"{name}: {how}" for name, how in ways.items())
        first = next(iter(ways))
        parser.add_argument("--split", choices=list(ways), default=first, help=f"{meant}; default {first}")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=len(SECTIONS),
        default=FRACTIONS,
        metavar=tuple(SECTIONS),
        help=f"shares of the labelled images, which add up to 1; default {' '.join(map(str, FRACTIONS))}",
    )
    parser.add_argument("--seed", type=int, default=0, help=f"decides which {group} goes where; default 0")


def add_out(parser: argparse.ArgumentParser) -> None:
    """--out."""
    parser.add_argument("--out", type=Path, required=True, help="the dataset folder to write datalist.json into")


def add_slice_base(parser: argparse.ArgumentParser) -> None:
    """--slice-base."""
    parser.add_argument(
        "--slice-base", type=int, choices=(0, 1), default=0, help="the number of a volume's first slice; default 0"
    )


def add_copy(parser: argparse.ArgumentParser) -> None:
    """--copy and --resize."""
    parser.add_argument("--copy", action="store_true", help="copy the files too; otherwise the datalist points to them")
    parser.add_argument("--resize", type=int, metavar="N", help="copy them with a longest side of N pixels")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """--dry-run."""
    parser.add_argument("--dry-run", action="store_true", help="only print what would be written")


def run(prepare: Callable[..., Any], parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Prepare with the command line's settings; what is wrong is one message, with exit code 1 (130 after Ctrl-C)."""
    try:
        prepare(**vars(parser.parse_args(arguments)))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: no datalist is written\n")
        sys.exit(130)
