"""`python …` in a process of its own, begun anew or forked from one that has the imports behind it.

Importing torch and MONAI takes longer than most of these runs. A forked process is told apart by nothing that a recipe
sees: it has its own folder, environment, arguments and output, and ends with an exit code or a signal.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.forkserver import ensure_running  # type: ignore[attr-defined]
from pathlib import Path

import numpy as np
import pytest

_PRELOADED = [
    *(f"monai.{room}" for room in ("bundle", "engines", "handlers", "losses", "metrics")),
    *(f"semimed_monai.{room}" for room in ("data.phantoms", "engines", "handlers", "losses", "metrics", "networks")),
    *(f"semimed_monai.{room}" for room in ("recipes", "reports.page", "transforms", "views")),
    *("torch.utils.tensorboard", "processes"),
]
"""Most of what a recipe imports."""


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
    """The same of `-m module …`."""
    if arguments[0] != "-m":
        raise ValueError(f"only `-m module` can be forked, not {arguments[0]}")
    said = cwd.parent / f".said.{os.getpid()}"
    process = multiprocessing.get_context("forkserver").Process(
        target=_run_module, args=(arguments[1:], cwd, {**os.environ, **environment}, said)
    )
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    text = said.read_text()
    said.unlink()
    if process.exitcode is None:
        raise TimeoutError(f"not done after {seconds} s:\n{text}")
    return process.exitcode, text


def begin_fork_server(environment: Mapping[str, str]) -> None:
    """Import now, with these variables, what forked processes need."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}.items():
            patch.setenv(name, value)
        ensure_running()


def _run_module(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], said: Path) -> None:
    output = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ |= environment
    np.random.seed()  # noqa: NPY002 - or all would begin with the fork server's numbers
    sys.path.insert(0, str(cwd))
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except Exception as error:  # noqa: BLE001 - as Python ends a program; multiprocessing would print it its own way
        sys.excepthook(type(error), error, error.__traceback__)
        raise SystemExit(1) from None
