"""Load by wrk, and what it prints."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.processes import Server, pinned

CONNECTIONS = 32
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_COUNT = re.compile(r"([0-9]+) requests in")
_PERCENTILE = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s)$", re.MULTILINE)
_FAILED = re.compile(r"Non-2xx or 3xx responses: ([0-9]+)")


@dataclass(frozen=True)
class Run:
    """One run: requests per second, CPU of the server in microseconds per request, latencies."""

    rate: float
    cpu: float
    p50_ms: float
    p99_ms: float


def run_load(
    server: Server,
    path: str,
    *,
    seconds: int,
    core: int,
    headers: Mapping[str, str] | None = None,
    refused: bool = False,
) -> Run:
    """Load `server` for `seconds`. Raises RuntimeError unless every answer was what it had to be.

    `refused` says that every answer has to be a refusal; else none may be.
    """
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    before = server.cpu_seconds()
    with pinned(core):
        printed = subprocess.run(
            [*command, server.origin + path],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 30,
        ).stdout
    cpu = server.cpu_seconds() - before
    count = int(_found(_COUNT, printed)[1])
    failed = _FAILED.search(printed)
    if "Socket errors" in printed or int(failed[1] if failed else 0) != (count if refused else 0):
        raise RuntimeError(printed)
    latencies = {
        percent: float(number) * _UNITS[unit]
        for percent, number, unit in _PERCENTILE.findall(printed)
    }
    rate = float(_found(_RATE, printed)[1])
    return Run(rate, cpu / count * 1e6, latencies["50"], latencies["99"])


def _found(pattern: re.Pattern[str], printed: str) -> re.Match[str]:
    match = pattern.search(printed)
    if match is None:
        raise RuntimeError(f"wrk printed something else:\n{printed}")
    return match
