"""1 GiB through the gateway, either way: what arrives, how fast, and the memory that it takes."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.backend import BLOCK
from tests.bench.gateway import PAGE, Gateway
from tests.bench.processes import pinned

SIZE = 1 << 30
TIMEOUT = 60.0
_READ = 256 * 1024


@dataclass(frozen=True)
class Transfer:
    """One body. `growth`: bytes of resident memory at the peak beyond those before."""

    name: str
    bytes: int
    seconds: float
    growth: int

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds


def transfer_both(gateway: Gateway, *, core: int, size: int = SIZE) -> list[Transfer]:
    """An upload and a download of `size` bytes. Raises RuntimeError if a byte is not the same."""
    with pinned(core):
        return [
            _measured("upload", gateway, size, _upload),
            _measured("download", gateway, size, _download),
        ]


def _measured(
    name: str, gateway: Gateway, size: int, transfer: Callable[[Gateway, int], None]
) -> Transfer:
    server = gateway.server
    transfer(gateway, len(BLOCK))  # what is set up once is not growth
    before = server.memory()
    server.forget_peak()
    started = time.perf_counter()
    transfer(gateway, size)
    return Transfer(name, size, time.perf_counter() - started, server.peak_memory() - before)


def _blocks(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(BLOCK)):
        yield BLOCK[: size - start]


def _upload(gateway: Gateway, size: int) -> None:
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in _blocks(size):
            digest.update(block)
            yield block

    client = http.client.HTTPConnection("127.0.0.1", gateway.server.port, timeout=TIMEOUT)
    headers = {
        "Cookie": gateway.cookie,
        "Origin": gateway.server.origin,
        "Content-Length": str(size),
    }
    client.request("POST", f"{PAGE}/files", blocks(), headers)
    answer = client.getresponse()
    said = json.loads(answer.read())
    client.close()
    if said != {"bytes": size, "sha256": digest.hexdigest()}:
        raise RuntimeError(f"the backend got {said}")


def _download(gateway: Gateway, size: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", gateway.server.port, timeout=TIMEOUT)
    client.request("GET", f"{PAGE}/files/{size}", headers={"Cookie": gateway.cookie})
    answer = client.getresponse()
    arrived, sent = hashlib.sha256(), hashlib.sha256()
    buffer = memoryview(bytearray(_READ))
    count = 0
    while length := answer.readinto(buffer):
        arrived.update(buffer[:length])
        count += length
    client.close()
    for block in _blocks(size):
        sent.update(block)
    if count != size or arrived.digest() != sent.digest():
        raise RuntimeError(f"{count} bytes arrived, and not those that were sent")
