"""A built zoo over HTTP, as plain files: what `fetch`, `monai.bundle download`, pip and a browser read it by."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from semimed_monai.zoo.index import FILE

HOST = "127.0.0.1"
PORT = 8000
_LAST_PORT = 65535


def open_server(folder: Path, port: int = PORT, host: str = HOST) -> ThreadingHTTPServer:
    """A server that waits for `serve_forever`; port 0 is one that is free.

    Raises:
        FileNotFoundError: the folder is no built zoo.
        OSError: somebody else has the port.
        ValueError: there is no such port.
    """
    if not (folder / FILE).is_file():
        raise FileNotFoundError(
            f"{folder} is no built zoo, it has no {FILE}: `python -m semimed_monai.zoo build --out {folder}` makes one"
        )
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"port {port}: ports are 0, which takes a free one, to {_LAST_PORT}")
    try:
        return ThreadingHTTPServer((host, port), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    except OSError as error:
        raise OSError(f"nothing can be served at {host}:{port} ({error.strerror}): give another --port") from error
