"""Errors as one message, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PLAINLY = "from semimed_monai.messages import show_plainly; show_plainly()"
OURS = "from semimed_monai.recipes import chosen_profile; chosen_profile({'phantom': {}}, 'big')"


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "SEMIMED_TRACEBACK"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**inherited, **environment}, check=False
    )


def test_an_error_of_ours_is_its_message() -> None:
    ended = _run("-c", f"{PLAINLY}\n{OURS}")
    assert ended.returncode == 1
    assert ended.stderr == (
        "\nerror: there is no profile 'big'; choose one of phantom\n(SEMIMED_TRACEBACK=1 shows where it arose)\n"
    )


def test_the_traceback_on_request() -> None:
    ended = _run("-c", f"{PLAINLY}\n{OURS}", SEMIMED_TRACEBACK="1")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "recipes.py" in ended.stderr


def test_an_error_from_elsewhere_keeps_its_traceback() -> None:
    ended = _run("-c", f"{PLAINLY}\n1 / 0")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr


def test_an_error_of_ours_behind_others() -> None:
    """What a parser raises `from` ours is shown as ours; what was raised while ours was handled is not ours."""
    for chained, shown in (
        ("raise KeyError('config') from error", "error: there is no profile"),
        ("1 / 0", "Traceback"),
    ):
        ended = _run("-c", f"{PLAINLY}\ntry:\n    {OURS}\nexcept ValueError as error:\n    {chained}")
        assert ended.returncode == 1
        assert ended.stderr.strip().startswith(shown)


FULL = "import errno, os; raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a.png')"


def test_a_full_disk_is_a_message_whoever_meets_it() -> None:
    ended = _run("-c", f"{PLAINLY}\n{FULL}")
    assert ended.returncode == 1
    assert ended.stderr.startswith("\nerror: [Errno 28] No space left on device: 'a.png': make room on that disk, or ")


def test_a_thread_keeps_its_traceback_unless_the_disk_is_full() -> None:
    for body, shown in ((FULL, False), ("1 / 0", True)):
        ended = _run("-c", f"{PLAINLY}\nimport threading\nthreading.Thread(target=exec, args=({body!r},)).start()")
        assert ("Traceback" in ended.stderr) == shown, body


def test_engines_do_not_say_an_error_once_more() -> None:
    run = "from ignite.engine import Engine\nEngine(lambda engine, batch: 1 / 0).run([0])"
    said = _run("-c", f"import logging; logging.basicConfig()\n{PLAINLY}\n{run}").stderr
    assert said.count("division by zero") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_one_word() -> None:
    ended = _run("-c", f"{PLAINLY}\nimport os, signal\nos.kill(os.getpid(), {signal.SIGINT.value})")
    assert ended.stderr == "interrupted\n"
    assert ended.returncode != 0


def test_through_monais_config_parser(tmp_path: Path) -> None:
    """The parser wraps what a component raises; a recipe as users run it."""
    config = {
        "settings": {"_target_": "semimed_monai.recipes.chosen_profile", "profiles": {"phantom": {}}, "name": "big"},
        "initialize": [{"_target_": "semimed_monai.messages.show_plainly"}],
        "run": ["$@settings"],
    }
    path = tmp_path / "train.json"
    path.write_text(json.dumps(config))
    ended = _run("-m", "monai.bundle", "run", "run", "--config_file", str(path))
    assert ended.returncode == 1
    assert "error: there is no profile 'big'; choose one of phantom" in ended.stderr
    assert "Traceback" not in ended.stderr
