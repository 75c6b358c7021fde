"""Trac, as its makers ship it: installed by pip, served by its own tracd with Basic authentication.

It gets a virtual environment of its own (`.venv-systems`, kept between runs), because what it
needs is not what the gateway needs.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import struct
import subprocess
import sys
import time
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from tests.portal import free_port

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-systems"
INSTALL_SECONDS, START_SECONDS = 100.0, 20.0
ACCOUNT, PASSWORD = "portal", "only-the-gateway-knows"


@dataclass(frozen=True)
class Trac:
    """A running tracd. `login` is the value of the cookie that the service account got for its
    name and password, which are `basic` as they were sent."""

    url: str
    basic: str
    login: str


def require_trac() -> Path:
    """The folder of Trac's programs. Installs it once; skips where `PORTAL_TESTS_WITHOUT` says."""
    if "trac" in os.environ.get("PORTAL_TESTS_WITHOUT", "").split(","):
        pytest.skip("PORTAL_TESTS_WITHOUT=trac")
    wanted = _requirements()
    installed = VENV / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        _install(wanted.splitlines())
        installed.write_text(wanted)
    return VENV / "bin"


def _requirements() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return "\n".join(project["optional-dependencies"]["systems"])


def _install(requirements: list[str]) -> None:
    pip = [
        VENV / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    try:
        _run(sys.executable, "-m", "venv", "--clear", VENV, seconds=INSTALL_SECONDS)
        _run(*pip, *requirements, seconds=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        pytest.fail(
            f"pip could not install Trac ({', '.join(requirements)}); "
            f"set PORTAL_TESTS_WITHOUT=trac to skip these tests.\n{said}",
            pytrace=False,
        )


def _run(*command: object, seconds: float = 60.0) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=seconds)


@contextmanager
def running_trac(folder: Path) -> Iterator[Trac]:
    """Make an environment with two tickets in `folder`, and serve it until the block ends.

    Nobody but the service account sees anything.
    """
    programs = require_trac()
    environment = folder / "environment"
    _make_environment(programs, environment, folder)
    passwords = folder / "htpasswd"
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    passwords.write_text(f"{ACCOUNT}:{{SHA}}{digest}\n")
    port = free_port()
    command = [programs / "tracd", "--single-env", "--hostname=127.0.0.1", f"--port={port}"]
    command += [f"--basic-auth=*,{passwords},Trac", environment]
    with (folder / "tracd.log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        try:
            _wait_until_it_answers(process, port, folder / "tracd.log")
            basic = base64.b64encode(f"{ACCOUNT}:{PASSWORD}".encode()).decode()
            yield Trac(f"http://127.0.0.1:{port}", basic, _log_in(port, basic))
        finally:
            process.terminate()
            process.wait()


def _make_environment(programs: Path, environment: Path, folder: Path) -> None:
    admin = (programs / "trac-admin", environment)
    _run(*admin, "initenv", "Facility services", "sqlite:db/trac.db")
    # As shipped, everybody who comes by may read everything.
    for group in ("anonymous", "authenticated"):
        _run(*admin, "permission", "remove", group, "*")
    _run(*admin, "permission", "add", ACCOUNT, "TICKET_VIEW")
    _run(*admin, "config", "set", "header_logo", "src", "common/trac_banner.png")
    _run(*admin, "config", "set", "header_logo", "alt", "Trac")
    picture = folder / "photo.png"
    picture.write_bytes(_png(48, 32))
    _run(programs / "python", Path(__file__).with_name("trac_tickets.py"), environment, picture)


def _png(width: int, height: int) -> bytes:
    """A picture of one colour (the PNG specification, section 5.3)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xb3\x26\x1e" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _status(port):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"tracd did not start:\n{log.read_text()}", pytrace=False)
        time.sleep(0.05)


def _log_in(port: int, basic: str) -> str:
    """What the manual tells operators to do: the login cookie's value."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/login", headers={"Authorization": f"Basic {basic}"})
        cookies = SimpleCookie(connection.getresponse().getheader("Set-Cookie"))
        return cookies["trac_auth"].value
    finally:
        connection.close()


def _status(port: int) -> int:
    """The status of the front page, 0 as long as nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
