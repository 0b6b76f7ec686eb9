"""`python -m …` in a process of its own, begun anew or forked from one that has the imports behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from semimed_monai.experiments.forks import run_module


def run_new(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], seconds: int) -> tuple[int, str]:
    """Exit code (-n after signal n) and what was printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout


def run_forked(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], seconds: int) -> tuple[int, str]:
    """The same of `-m module …`, sooner (`semimed_monai.experiments.forks`)."""
    if arguments[0] != "-m":
        raise ValueError(f"only `-m module` can be forked, not {arguments[0]}")
    said = cwd.parent / f".said.{os.getpid()}"
    try:
        code = run_module(arguments[1:], said, cwd=cwd, environment={**os.environ, **environment}, seconds=seconds)
        return code, said.read_text()
    finally:
        said.unlink(missing_ok=True)
