"""Where a built zoo lies: a folder, or the address that one is served at."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SECONDS = 30
"""How long a server may say nothing."""


class Store:
    """Files by name, in a folder or below an address.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "index.json").write_text("{}")
    >>> with Store(str(folder)).open("index.json") as file:
    ...     file.read()
    b'{}'
    >>> Store("http://127.0.0.1:8000").address("index.json")
    'http://127.0.0.1:8000/index.json'
    """

    def __init__(self, where: str) -> None:
        self.where = where.rstrip("/")
        self.served = re.match("https?://", where) is not None

    def address(self, name: str) -> str:
        """What a person, or pip, finds a file by."""
        return f"{self.where}/{name}" if self.served else str(Path(self.where) / name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The file, to read from; what the server does while it is read is reported, too.

        Raises:
            OSError: it is not there, nobody answers, or the answer stops before its end.
        """
        with self._answered(name) if self.served else self._opened(name) as file:
            yield file

    @contextmanager
    def _answered(self, name: str) -> Iterator[IO[bytes]]:
        address = self.address(name)
        try:
            with _asked(address) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            raise FileNotFoundError(
                f"{address} is not there ({error.code} {error.reason}): give the address of a zoo that "
                "`python -m semimed_monai.zoo build` has built"
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            why = getattr(error, "reason", None) or error
            raise ConnectionError(
                f"{address} cannot be had ({why}): start the server, `python -m semimed_monai.zoo serve`, correct the "
                "address, or, behind a proxy that does not reach it, name the server in no_proxy"
            ) from error

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        path = Path(self.where) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {path}: give a folder that `python -m semimed_monai.zoo build` has written, or build it "
                "again"
            )
        with path.open("rb") as file:
            yield file


def _asked(address: str) -> IO[bytes]:
    """The answer; an address that cannot be read is one error here, and not of urllib's many kinds."""
    try:
        answer: IO[bytes] = urllib.request.urlopen(address, timeout=SECONDS)  # noqa: S310 - http or https, see above
    except ValueError as error:
        raise urllib.error.URLError(error) from error
    return answer
