"""README's section "From the zoo": its commands, word for word, as a user gives them."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORT = 8000


def commands() -> list[str]:
    section = re.search(r"^## From the zoo\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section
    return [line for fence in re.findall(r"```bash\n(.*?)```", section[1], re.DOTALL) for line in fence.splitlines()]


@pytest.fixture
def port(free_port: int) -> int:
    """README's, unless somebody has it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", PORT))
        except OSError:
            return free_port
        return PORT


def test_the_section_s_commands(
    run_program: Callable[..., tuple[int, str]], tmp_path: Path, port: int, interruptible: None
) -> None:
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    check, build, serve, *rest = (line.replace(str(PORT), str(port)) for line in commands())
    for line in (check, build):
        code, said = run_program(*shlex.split(line)[2:], cwd=tmp_path)
        assert code == 0, said
    with subprocess.Popen(
        [sys.executable, *shlex.split(serve)[1:], *([] if port == PORT else ["--port", str(port)])],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert f"http://127.0.0.1:{port}/" in server.stdout.readline()
            for line in rest:
                program, *arguments = shlex.split(line)
                if program == "pip":  # the library is installed: that the wheel is one is enough
                    arguments = ["-m", "pip", "download", "--no-deps", "--dest", "wheel", *arguments[1:]]
                code, said = run_program(*arguments[1:], cwd=tmp_path)
                assert code == 0, said
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 130
    for folder in ("my_bundles/dcmt", "my_bundles/pcam", "their_bundles/stsc_skin_classification"):
        assert (tmp_path / folder / "configs" / "metadata.json").is_file()
    assert (tmp_path / "zoo" / "index.html").is_file()
    assert [file.suffix for file in (tmp_path / "wheel").iterdir()] == [".whl"]
