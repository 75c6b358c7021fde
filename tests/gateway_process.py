"""`portal-gateway serve` as a process, the way an operator starts it, and ways to end it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, DummyCookieJar

from tests.echo_backend import EchoBackend
from tests.portal import ADMIN_KEY, Portal

PROGRAM = Path(sys.executable).with_name("portal-gateway")
START_SECONDS = 30.0
END_SECONDS = 20.0
_PENDING = re.compile(r"^portal_journal_pending_entries ([0-9.]+)$", re.MULTILINE)


def quiet_port() -> int:
    """A free port that the kernel gives to no outgoing connection.

    A server that is started again has to find its port as it left it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


async def run_program(*words: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a command to its end: its exit code, and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *words,
        env=_environment(environment), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_SECONDS):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode()


def _environment(settings: dict[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PORTAL_")}
    return inherited | {f"PORTAL_{name}": value for name, value in settings.items()}


class GatewayProcess:
    """A gateway on SQLite and the embedded Redis, unless `settings` say otherwise.

    It may be started again after its end: it has the same ports and the same folder. `part` is
    what it serves.
    """

    def __init__(self, folder: Path, upstream: str, part: str = "all", **settings: str) -> None:
        self.part = part
        self.port, self.admin_port = quiet_port(), quiet_port()
        self.folder = folder
        self.origin = f"http://127.0.0.1:{self.port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.settings = {
            "PUBLIC_URL": self.origin,
            "LISTEN": f"127.0.0.1:{self.port}",
            "ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "UPSTREAM__URL": upstream,
            "DATABASE_URL": f"sqlite:///{folder / 'portal.db'}",
            "DATA_DIR": str(folder / "data"),
            "ADMIN_KEY": ADMIN_KEY,
        } | settings
        self.process: asyncio.subprocess.Process | None = None
        # What it tells the service manager (sd_notify), which is us.
        name = f"portal-{secrets.token_hex(8)}"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(f"\0{name}")
        self._manager.setblocking(False)
        self._notify = f"@{name}"

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self.process is not None
        return self.process.pid

    @property
    def stderr(self) -> str:
        """All that its lives have logged."""
        return (self.folder / "stderr.log").read_text()

    async def spawn(self) -> None:
        """Start it, and wait for nothing."""
        with (self.folder / "stderr.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                PROGRAM, "serve", "--part", self.part,
                env=_environment(self.settings) | {"NOTIFY_SOCKET": self._notify},
                cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self) -> None:
        """Start it, and return once it says that it is ready."""
        await self.spawn()
        assert self.process is not None
        ready = asyncio.create_task(self.says("READY=1"))
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not ready.done():
            ready.cancel()
            raise AssertionError(f"the gateway ended: {self.stderr}")
        await ready

    async def says(self, state: str) -> None:
        """Return once it tells the service manager this."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(START_SECONDS):
            while await loop.sock_recv(self._manager, 4096) != state.encode():
                pass

    async def kill(self) -> None:
        """End it as a machine does that loses power, but for its disk."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        async with asyncio.timeout(END_SECONDS):
            return await self.process.wait()

    async def close(self) -> None:
        """Make sure that nothing of it is left."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()
        self._manager.close()


class ServedPortal(Portal):
    """The same view of a gateway as in this process, from outside."""

    async def metrics(self) -> str:
        """What `/metrics` answers."""
        async with self.http.get(f"{self.admin}/metrics") as response:
            return await response.text()

    async def settled(self) -> None:
        """Return once the database holds all that is in the journal."""
        async with asyncio.timeout(10):
            while True:
                pending = _PENDING.search(await self.metrics())
                if pending is not None and float(pending[1]) == 0:
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def served_portal(
    gateway: GatewayProcess, backend: EchoBackend
) -> AsyncIterator[ServedPortal]:
    """Clients of a process before `backend`; it is up to the test to start it."""
    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as http:
        try:
            yield ServedPortal(
                process=None,  # type: ignore[arg-type]
                origin=gateway.origin,
                admin=gateway.admin,
                http=http,
                backend=backend,
                mails=[],
                settings=None,  # type: ignore[arg-type]
            )
        finally:
            await gateway.close()
