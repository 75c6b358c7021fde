"""Which parts answer: asked regularly, shown as metrics, and named to the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.errors import GatewayError, StoreUnavailable
from gateway.metrics import Metrics

# Seconds: between two rounds, and that a part may take to answer.
PROBE_EVERY = 2.0
PROBE_TIMEOUT = 2.0
_PROBE_SIZE = 4096

Probe = Callable[[], Awaitable[object]]


class Health:
    """What is up. `is_draining` is set when this process is about to end."""

    def __init__(self, probes: Mapping[str, Probe], metrics: Metrics) -> None:
        self._probes = probes
        self._gauge = metrics.dependency_up
        self.is_draining = False
        self._journal_up = True

    def is_ready(self) -> bool:
        """Whether new visitors should be sent here.

        The database and Redis are shared: while one of them is down no other gateway would do
        better, and open sessions go on. A journal that cannot be written is this machine's own.
        """
        return not self.is_draining and self._journal_up

    async def probe(self) -> Mapping[str, bool | str]:
        """Ask every part: True if it is up, else the words for the operator."""
        names = list(self._probes)
        results = await asyncio.gather(*(self._ask(self._probes[name]) for name in names))
        parts = dict(zip(names, results, strict=True))
        for name, result in parts.items():
            self._gauge.labels(name).set(result is True)
        self._journal_up = parts.get("journal", True) is True
        if self.is_draining:
            parts["gateway"] = "draining"
        return parts

    @staticmethod
    async def _ask(probe: Probe) -> bool | str:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await probe()
        except TimeoutError:
            return "does not answer"
        except GatewayError as error:
            return str(error)
        return True


def journal_probe(directory: Path) -> Probe:
    """Whether there is room to write where the journal is."""

    def write() -> None:
        path = directory / "probe"
        try:
            path.write_bytes(bytes(_PROBE_SIZE))
            # Two may look at once: an operator's question, and the regular one.
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable("journal", error.strerror or "") from None

    return lambda: asyncio.to_thread(write)
