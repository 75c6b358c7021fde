"""`portal-gateway demo` as a process, known by nothing but what it prints."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

START_SECONDS = 30.0
_LAST_LINE = "Ctrl-C ends it"
_CODE = re.compile(r"Subject: .*\b(\d{6})$", re.MULTILINE)


@dataclass
class DemoProcess:
    """A running demo; `printed` is all that it printed so far."""

    process: asyncio.subprocess.Process
    printed: str = ""
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    def link(self, words: str) -> str:
        """The URL that is printed below the line with `words`."""
        found = re.search(rf"^  .*{re.escape(words)}.*\n +(http\S+)$", self.printed, re.MULTILINE)
        assert found is not None, self.printed
        return found[1]

    def _after(self, words: str) -> str:
        found = re.search(rf"^  {words} +(\S+)$", self.printed, re.MULTILINE)
        assert found is not None, self.printed
        return found[1]

    @property
    def origin(self) -> str:
        """Where visitors come in."""
        parts = urlsplit(self.link("private"))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def docs(self) -> str:
        """The page of the admin API."""
        return self._after("admin API")

    @property
    def key(self) -> str:
        """The key of the admin API."""
        return self._after("admin key")

    async def wait_for(self, enough: Callable[[str], bool], seconds: float) -> None:
        """Return once what is printed is enough."""
        async with asyncio.timeout(seconds), self.grown:
            await self.grown.wait_for(lambda: enough(self.printed))

    async def code_after(self, printed_before: str) -> str:
        """The first code that is mailed once `printed_before` was all that was printed."""
        start = len(printed_before)
        await self.wait_for(lambda text: _CODE.search(text, start) is not None, 10.0)
        found = _CODE.search(self.printed, start)
        assert found is not None
        return found[1]

    async def listen(self) -> None:
        """Take in what it prints, to the end."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self.grown:
                self.printed += line.decode()
                self.grown.notify_all()


@asynccontextmanager
async def running_demo() -> AsyncIterator[DemoProcess]:
    """Start the demo, and end it as Ctrl-C does: without an error, and with no trace of one."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("portal-gateway"),
        "demo",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    demo = DemoProcess(process)
    listening = asyncio.create_task(demo.listen())
    try:
        await demo.wait_for(lambda text: _LAST_LINE in text, START_SECONDS)
        yield demo
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        await listening
    assert process.returncode == 0, demo.printed
    assert "Traceback" not in demo.printed, demo.printed
