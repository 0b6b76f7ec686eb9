"""Bundles of a few files, a zoo of them in a folder, and one that is served."""

from __future__ import annotations

import json
import platform
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from semimed_monai.zoo import Bundle, build, open_server

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """make_bundle("knees", "0.1.0", task="…") -> its folder, with weights of 3000 bytes."""

    def make(name: str = "knees", version: str = "0.1.0", weights: bytes = b"\0\1\2" * 1000, **metadata: Any) -> Path:
        folder = tmp_path / "bundles" / name
        for part in ("configs", "docs", "models"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        content = {"version": version, "changelog": {version: "made"}, "name": name.title(), **metadata}
        (folder / "configs" / "metadata.json").write_text(json.dumps(content))
        (folder / "configs" / "inference.json").write_text("{}")
        (folder / "docs" / "README.md").write_text(f"# {name} {version}\n")
        (folder / "LICENSE").write_text("Apache License\n")
        (folder / "models" / "model.pt").write_bytes(weights)
        return folder

    return make


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Called as the library's, and packed as quickly as that."""
    file = tmp_path / "semimed_monai-0.1.0-py3-none-any.whl"
    file.write_bytes(b"wheel")
    return file


@pytest.fixture
def built(make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path) -> Path:
    """A zoo with `knees` 0.9.0 and 0.10.0."""
    for version in ("0.9.0", "0.10.0"):
        build([Bundle(make_bundle(version=version))], tmp_path / "zoo", "http://127.0.0.1:8000", wheel)
    return tmp_path / "zoo"


@pytest.fixture(scope="session")
def serving() -> Callable[[Path], Any]:
    """with serving(folder) as address: …"""

    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        with open_server(folder, 0) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()

    return serve


@pytest.fixture
def copy_of() -> Callable[[str, Path], Path]:
    """copy_of("pcam", folder) -> a bundle of this repository there, without weights and runs."""

    def copy(name: str, folder: Path) -> Path:
        for file in Bundle(BUNDLES / name).files:
            if file.parts[0] != "models":
                (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / file).write_bytes((BUNDLES / name / file).read_bytes())
        return folder / name

    return copy


@pytest.fixture
def between_names() -> Callable[[Path], None]:
    """between_names(folder): as a process leaves it that was killed while it replaced the folder."""

    def leave(folder: Path) -> None:
        with subprocess.Popen(["true"]) as dead:
            pass
        folder.rename(folder.with_name(f".{dead.pid}@{platform.node()}.old.{folder.name}"))

    return leave


@pytest.fixture
def console() -> Callable[[bool], StringIO]:
    """console(True): stderr as a terminal has it, console(False): as a log."""

    def make(terminal: bool) -> StringIO:
        text = StringIO()
        text.isatty = lambda: terminal  # type: ignore[method-assign]
        return text

    return make
