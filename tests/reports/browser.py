"""Debian's Chromium, driven through the DevTools protocol over two pipes: no driver, no socket, no network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Who starts Chromium as root, as in a container, cannot have its sandbox.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-default-browser-check"),
)


class Browser:
    """One page. `said` are its errors and the console's messages, `asked` the addresses it wanted."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.width = 0
        self.said: list[str] = []
        self.asked: list[str] = []
        self._loaded = False
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result; events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path, width: int, height: int = 844) -> None:
        """Load a file at a window's width, and wait until it is there whole."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.do("Emulation.setDeviceMetricsOverride", **size)
        self.width = width
        self._loaded = False
        self.do("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._next()

    def run(self, script: str) -> Any:
        """What an expression comes to in the page."""
        found = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page, as far down as it goes."""
        found = self.do("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, f"Chromium ended with exit code {self._process.wait(timeout=10)}"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        elif event == "Log.entryAdded":
            self.said.append(about["entry"]["text"])
        elif event == "Runtime.consoleAPICalled":
            self.said.append(str(about["args"]))
        elif event == "Runtime.exceptionThrown":
            self.said.append(str(about["exceptionDetails"]))


@contextmanager
def chromium(binary: str, profile: Path) -> Iterator[Browser]:
    """Start it with an empty profile; it is gone afterwards."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4: the shell moves the pipes there, from above.
    given, taken = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (theirs_in, theirs_out))
    command = ["bash", "-c", f'exec "$@" 3<&{given} 4>&{taken}', "bash", binary, *OPTIONS, "--remote-debugging-pipe"]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={profile}"],
        pass_fds=(given, taken),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for descriptor in (theirs_in, theirs_out, given, taken):
        os.close(descriptor)
    try:
        yield Browser(process, ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(ours_out)
        os.close(ours_in)
