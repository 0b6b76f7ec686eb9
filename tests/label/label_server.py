"""A real MONAI Label server: README's commands in a folder of their own, and REST."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

SECONDS = 600
README = Path(__file__).parents[2] / "README.md"


def readme_commands() -> list[str]:
    """The lines of the first code block in README's section, and of the others."""
    section = README.read_text(encoding="utf-8").split("## In MONAI Label", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line.strip()]


def command_with(words: str) -> str:
    """README's one command that has these words in it; `Server` has another port in it than 8000."""
    (found,) = [command for command in readme_commands() if words in command]
    return found


class Server:
    """README's server in a folder that has `bundles` and `my_images`.

    Args:
        folder: where the commands are given.
        environment: what else the process has in its environment.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        self.said = folder / "server.txt"
        self.environment = {
            **os.environ,
            "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
            "SEMIMED_CACHE": str(folder / "cache"),
            **(environment or {}),
        }

    def _on_port(self, command: str) -> str:
        return command.replace("8000", str(self.port))

    def run(self, command: str) -> str:
        """A command of README's that ends by itself."""
        done = subprocess.run(
            ["bash", "-c", self._on_port(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Install the app if it is not there, start the server, wait until it answers; at the end stop it."""
        if not (self.folder / "apps").exists():
            self.run(command_with("monailabel apps"))
            self.run(command_with("ln -s"))
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {self._on_port(command_with('start_server'))}"],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
            yield self
        finally:
            self._stop()

    def _wait(self) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            assert self.process.poll() is None, self.said.read_text()
            try:
                self.info = self.get("/info/")
            except (URLError, ConnectionError):
                time.sleep(0.5)
            else:
                return
        raise TimeoutError(self.said.read_text())

    def _stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def get(self, path: str) -> Any:
        """What the server answers to GET, as JSON."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            return json.load(reply)

    def call(self, method: str, path: str, **given: Any) -> Any:
        """What it answers to another method; an error is one with all that the server said."""
        import requests

        reply = requests.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS, **given)
        assert reply.ok, f"{method} {path}: {reply.status_code} {reply.text}\n{self.said.read_text()[-8000:]}"
        return reply

    def infer(self, model: str, image: str, **params: Any) -> dict[str, Any]:
        """The `params` of an answer."""
        given = {"params": json.dumps({"device": "cpu", **params})}
        answer: dict[str, Any] = self.call("POST", f"/infer/{model}?image={image}&output=json", data=given).json()
        return answer

    def label_map(self, model: str, image: str, out: Path, **params: Any) -> Path:
        """The label map of an answer, as a file of the name that the server gives it."""
        given = {"params": json.dumps({"device": "cpu", **params})}
        reply = self.call("POST", f"/infer/{model}?image={image}&output=image", data=given)
        name = re.search(r'filename="(.+?)"', reply.headers["content-disposition"])
        assert name
        file = out / ("answer" + "".join(Path(name[1]).suffixes))
        file.write_bytes(reply.content)
        return file

    def submit(self, image: str, label: Path) -> None:
        """A final label, as a client submits it."""
        with label.open("rb") as file:
            self.call("PUT", f"/datastore/label?image={image}", files={"label": (label.name, file)})

    def train(self, model: str, **params: Any) -> str:
        """Train in the server; what was said meanwhile."""
        before = len(self.said.read_text())
        self.call("POST", f"/train/{model}?run_sync=true", json={"device": "cpu", **params})
        return self.said.read_text()[before:]
