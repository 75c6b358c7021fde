"""`python -m tests.bench.instructions`: instructions per request, counted by valgrind.

A machine that does other things changes every time that is measured on it, and hardly this: the
number of instructions that the process itself executes for a GET of 1 KiB with a session. What
the kernel does for it is not in the figure, and neither is what the process does without requests,
which is counted by itself and taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.gateway import PAGE, logged_in, serving_gateway
from tests.bench.processes import Server, choose_cores, serving
from tests.portal import free_port

CONNECTIONS = 8
WARM_UP = 160
# Seconds for a program that runs fifty times more slowly to start.
START_TIMEOUT = 240.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class Counted:
    """A server under callgrind, which counts only when it is told to."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._pid = server.pid
        self._folder = folder

    @staticmethod
    def prefix(folder: Path) -> list[str]:
        """What stands before the command of a program that is to be counted."""
        out = f"--callgrind-out-file={folder}/out.%p"
        return ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", out, sys.executable]

    def begin(self) -> None:
        self._control("-i", "on")

    def end(self) -> int:
        """Stop counting; the instructions since `begin`."""
        self._control("-i", "off")
        before = set(self._folder.glob("out.*"))
        self._control("-d")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for dump in set(self._folder.glob("out.*")) - before:
                if found := _TOTAL.findall(dump.read_text()):
                    return int(found[-1])
            time.sleep(0.05)
        raise TimeoutError("callgrind wrote no dump")

    def _control(self, *orders: str) -> None:
        command = ["callgrind_control", *orders, str(self._pid)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def ask(port: int, cookie: str, count: int) -> None:
    """`count` requests over a few connections. Raises ValueError for an answer that is not 200."""
    request = f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // CONNECTIONS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if length is None or not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head.decode("latin-1"))
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def per_request(counted: Counted, port: int, cookie: str, requests: int) -> float:
    """Instructions for one request, less what the process does in the same time without any."""
    asyncio.run(ask(port, cookie, WARM_UP))
    started = time.monotonic()
    counted.begin()
    asyncio.run(ask(port, cookie, requests))
    took = time.monotonic() - started
    total = counted.end()
    counted.begin()
    time.sleep(took)
    return (total - counted.end()) / requests


def main(arguments: Sequence[str] | None = None) -> int:
    """Count both proxies, and print what they need."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instructions")
    parser.add_argument("--requests", type=int, default=1600)
    requests = parser.parse_args(arguments).requests
    cores = choose_cores()
    with tempfile.TemporaryDirectory(prefix="portal-count-") as name:
        folder, port, proxy_port = Path(name), free_port(), free_port()
        backend = [sys.executable, "-m", "tests.bench.backend", str(port)]
        with serving(backend, port, core=cores.load) as behind:
            bare = ["-m", "tests.bench.bare_proxy", str(proxy_port), behind.origin]
            prefix = Counted.prefix(folder)
            with serving(
                [*prefix, *bare], proxy_port, core=cores.proxy, start_timeout=START_TIMEOUT
            ) as proxy:
                theirs = per_request(Counted(proxy, folder), proxy_port, "a=b", requests)
            with serving_gateway(
                folder, behind.origin, core=cores.proxy, prefix=prefix, start_timeout=START_TIMEOUT
            ) as gateway:
                server = gateway.server
                counted = Counted(server, folder)
                ours = per_request(counted, server.port, gateway.cookie, requests)
                sealed = per_request(counted, server.port, logged_in(gateway), requests)
    print(f"bare proxy  {theirs / 1000:.0f} thousand instructions a request")
    print(f"gateway     {ours / 1000:.0f} thousand instructions a request")
    print(f"  with two cookies of the backend: {sealed / 1000:.0f} thousand")
    return 0


if __name__ == "__main__":
    sys.exit(main())
