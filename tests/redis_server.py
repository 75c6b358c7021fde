"""A real redis-server for the tests: on a free port, in a folder of its own, stopped at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 15.0


class RedisServer:
    """One redis-server process; `options` are more words of its command line.

    With a `sentinel` file it is a Sentinel, with that configuration.
    """

    def __init__(self, folder: Path, *options: str, sentinel: Path | None = None) -> None:
        self.port = free_port()
        self.folder = folder
        store = ["--save", "", "--appendonly", "no"] if sentinel is None else ["--sentinel"]
        self._words = [*([str(sentinel)] if sentinel else []), *store, *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server as a `redis_url`."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return once it answers."""
        command = ["redis-server", *self._words, "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(
                    f"redis-server did not start:\n{(self.folder / 'redis.log').read_text()}"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it, as a machine does that loses power."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Connections stay open and are accepted, and nothing is answered any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """What the server answers to one command, as it stands on the wire (up to 64 KiB)."""
        request = b"*%d\r\n" % len(words)
        request += b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            # One that wants a password first is up, too.
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def free_port() -> int:
    """A port of the loopback that nothing listens on now, nor 10,000 higher (a cluster's bus)."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            return port


def require_redis_server() -> None:
    """Fail, or skip where `PORTAL_TESTS_WITHOUT` allows it, if redis-server is not installed."""
    if "redis" in os.environ.get("PORTAL_TESTS_WITHOUT", "").split(","):
        pytest.skip("PORTAL_TESTS_WITHOUT=redis")
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is not installed; set PORTAL_TESTS_WITHOUT=redis to skip these")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running server for the whole session; tests empty it, and never stop or freeze it."""
    yield from _running_server()


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A running server for one test, which may stop, start and freeze it."""
    yield from _running_server()


def _running_server() -> Iterator[RedisServer]:
    require_redis_server()
    with tempfile.TemporaryDirectory(prefix="portal-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
