"""A built zoo over HTTP, as plain files: what `fetch`, `monai.bundle download`, pip and a browser read it by."""

from __future__ import annotations

import errno
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from semimed_monai.zoo.index import FILE

HOST = "127.0.0.1"
PORT = 8000
_LAST_PORT = 65535
_OF_THE_PORT = (errno.EADDRINUSE, errno.EACCES)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no error here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def open_server(folder: Path, port: int = PORT, host: str = HOST) -> ThreadingHTTPServer:
    """A server that waits for `serve_forever`; port 0 is one that is free.

    Raises:
        FileNotFoundError: the folder is no built zoo.
        OSError: somebody else has the port, or the host is none of this machine's.
        ValueError: there is no such port.
    """
    if not (folder / FILE).is_file():
        raise FileNotFoundError(
            f"{folder} is no built zoo, it has no {FILE}: `python -m semimed_monai.zoo build --out {folder}` makes one"
        )
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"port {port}: ports are 0, which takes a free one, to {_LAST_PORT}")
    try:
        return _Server((host, port), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    except OSError as error:
        other = "--port" if error.errno in _OF_THE_PORT else "--host"
        raise OSError(f"nothing can be served at {host}:{port} ({error.strerror}): give another {other}") from error
