"""`python -m semimed_monai.data.phantoms`: a picture of phantom knees (--out), a set of them (--set), or both."""

from __future__ import annotations

import argparse
import sys

from semimed_monai.data.phantoms.figure import draw_phantoms
from semimed_monai.data.phantoms.knee_set import FORMATS, knee_phantom_set


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m semimed_monai.data.phantoms", description=__doc__)
    parser.add_argument("--out", metavar="FILE", help="draw twelve slices with their masks' outlines")
    parser.add_argument("--set", metavar="DIR", help="write a data set")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--format", choices=FORMATS, default="nifti")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.out is None and options.set is None:
        parser.error("nothing to do: give --out FILE or --set DIR")
    if options.out is not None:
        draw_phantoms(options.out, seed=options.seed)
    if options.set is not None:
        folder = knee_phantom_set(options.set, options.people, options.seed, options.format, workers=options.workers)
        sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
