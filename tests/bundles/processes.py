"""`python -m …` in a process of its own, begun anew or forked from one that has the imports behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

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
    with TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        code = run_module(arguments[1:], said, cwd=cwd, environment={**os.environ, **environment}, seconds=seconds)
        return code, said.read_text()


def run_ranks(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], seconds: int, port: int, ranks: int = 2
) -> tuple[int, str]:
    """The same in as many processes that know of each other what torchrun tells them; the first failure's exit code."""

    def run(rank: int) -> tuple[int, str]:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
        more = {"MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in told.items()}}
        return run_forked(arguments, cwd, {**environment, **more}, seconds)

    with ThreadPoolExecutor(ranks) as threads:
        ended = list(threads.map(run, range(ranks)))
    return next((code for code, _ in ended if code), 0), "".join(said for _, said in ended)
