"""A forked process is a process: what it says, its exit code, its folder, its numbers and its end are its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from semimed_monai.experiments.forks import run_module


@pytest.fixture
def write_module(tmp_path: Path) -> Path:
    """A folder with the module `told`, which runs the lines that it is given."""
    (tmp_path / "told.py").write_text("import sys\nexec(sys.argv[1])\n")
    return tmp_path


def said_by(folder: Path, line: str, **given: object) -> tuple[int, str]:
    code = run_module(["told", line], folder / "said", cwd=folder, **given)  # type: ignore[arg-type]
    return code, (folder / "said").read_text()


def test_it_has_its_folder_arguments_and_environment(write_module: Path) -> None:
    line = "import os; print(os.getcwd(), sys.argv[0], os.environ['GIVEN'], 'HOME' in os.environ)"
    code, said = said_by(write_module, line, environment={"GIVEN": "here"})
    assert (code, said) == (0, f"{write_module} {write_module}/told.py here False\n")


def test_torch_and_monai_are_there(write_module: Path) -> None:
    """That is what it is for."""
    assert said_by(write_module, "print({'torch', 'monai.bundle'} <= set(sys.modules))") == (0, "True\n")


def test_what_it_says_is_added(write_module: Path) -> None:
    (write_module / "said").write_text("before\n")
    assert said_by(write_module, "print('out'); print('err', file=sys.stderr)")[1].splitlines()[0] == "before"
    assert {"out", "err"} <= set((write_module / "said").read_text().splitlines())


@pytest.mark.parametrize(
    ("line", "code", "last"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('why')", 1, "why"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
    ],
)
def test_how_it_ended(write_module: Path, line: str, code: int, last: str) -> None:
    ended, said = said_by(write_module, line)
    assert ended == code
    assert (said.splitlines() or [""])[-1] == last


def test_no_two_draw_the_same_numbers(write_module: Path) -> None:
    line = "import numpy; print(numpy.random.rand())"
    said_by(write_module, line)
    first, second = said_by(write_module, line)[1].split()
    assert first != second


def test_one_that_takes_too_long_is_killed(write_module: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="not done after 1 s"):
        said_by(write_module, "import os, time; print(os.getpid(), flush=True); time.sleep(60)", seconds=1)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((write_module / "said").read_text()), 0)


def _ask_for(pid: int, seconds: float) -> None:
    """A process that has ended is there until the one that it was forked from has taken note."""
    for _ in range(round(10 * seconds)):
        os.kill(pid, 0)
        time.sleep(0.1)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("seconds", [0, 1], ids=["while it runs", "while it is being begun"])
def test_an_interrupt_ends_both(write_module: Path, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does, which reaches all of a terminal's processes."""
    read_number = forkserver.read_signed
    monkeypatch.setattr(forkserver, "read_signed", lambda end: (time.sleep(seconds), read_number(end))[1])
    line = (
        f"import os, time; print(os.getpid(), flush=True); os.kill({os.getpid()}, {int(signal.SIGINT)}); time.sleep(60)"
    )
    with pytest.raises(KeyboardInterrupt):
        said_by(write_module, line)
    pid = int((write_module / "said").read_text())
    with pytest.raises(ProcessLookupError):
        _ask_for(pid, seconds=10)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_ends_with_the_program(write_module: Path) -> None:
    """As a scheduler ends a job, or the kernel one that takes too much memory."""
    (write_module / "program.py").write_text(
        "from pathlib import Path\n"
        "from semimed_monai.experiments.forks import run_module\n"
        "if __name__ == '__main__':\n"
        "    line = 'import time\\nfor _ in range(600): print(1, flush=True); time.sleep(0.1)'\n"
        "    run_module(['told', line], Path('said'))\n"
    )
    with subprocess.Popen([sys.executable, "program.py"], cwd=write_module) as program:
        said = write_module / "said"
        while not (said.is_file() and said.read_text()):
            assert program.poll() is None
            time.sleep(0.1)
        program.kill()
    time.sleep(5)  # not asked for by its number: who takes note of its end, now that the program has gone, may be late
    length = said.stat().st_size
    time.sleep(2)
    assert said.stat().st_size == length
