"""A served zoo's console: what cannot be served is said, and a client that breaks off is not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from semimed_monai.zoo import open_server


@pytest.mark.parametrize("host", ["nonsuch.invalid", "192.0.2.1"], ids=["of nobody", "of another machine"])
def test_a_host_that_is_not_this_machine(built: Path, host: str) -> None:
    with pytest.raises(OSError, match=rf"nothing can be served at {host}:0 \(.*\): give another --host"):
        open_server(built, 0, host)


def test_a_port_that_somebody_has(built: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} \(Address already in use\): give another --port"):
            open_server(built, port)


def ask_and_break_off(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file that no buffer holds."""
    with (built / "large").open("wb") as file:
        file.truncate(64 << 20)
    with open_server(built, 0) as server:
        monkeypatch.setattr(server, "daemon_threads", False)  # its end waits for the answer's
        with socket.create_connection(server.server_address[:2]) as client:
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            server.handle_request()
            client.recv(1)


def test_a_client_that_breaks_off(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_and_break_off(built, monkeypatch)
    (said,) = capsys.readouterr().err.splitlines()
    assert '"GET /large HTTP/1.0" 200' in said


def test_another_error_of_the_server_is_shown(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semimed_monai.zoo.serving.SimpleHTTPRequestHandler.copyfile", lambda *given: 1 / 0)
    ask_and_break_off(built, monkeypatch)
    assert "ZeroDivisionError" in capsys.readouterr().err
