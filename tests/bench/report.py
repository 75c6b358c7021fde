"""The figures as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop

from tests.bench.bodies import Transfer
from tests.bench.load import CONNECTIONS
from tests.bench.requests import Compared

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN = "<!-- written by `make bench` -->"
END = "<!-- end of what `make bench` wrote -->"


@dataclass(frozen=True)
class Figures:
    """All that was measured, and how long each run was."""

    rounds: int
    seconds: int
    compared: Sequence[Compared]
    transfers: Sequence[Transfer]
    append_us: float
    load_average: float


def as_markdown(figures: Figures) -> str:
    """The figures, with the machine and the date that they are of."""
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {_machine()}. {figures.rounds} rounds of "
        f"{figures.seconds} s for each proxy and case, {CONNECTIONS} connections. The machine's "
        f"load average when it began was {figures.load_average:.2f}.",
        "",
        "| case | **gateway / bare** | requests/s | CPU us/request | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for each in figures.compared:
        ours, bare = each.gateway, each.bare
        lines.append(
            f"| {each.name} | **{each.ratio:.2f}** | {ours.rate:.0f} / {bare.rate:.0f} "
            f"| {ours.cpu:.0f} / {bare.cpu:.0f} | {ours.p50_ms:.2f} / {bare.p50_ms:.2f} "
            f"| {ours.p99_ms:.2f} / {bare.p99_ms:.2f} |"
        )
    lines += ["", "| body | MiB/s | growth of the gateway's memory, MiB |", "|---|---|---|"]
    lines += [
        f"| {each.bytes / 2**30:g} GiB {each.name} | {each.rate / 2**20:.0f} "
        f"| **{each.growth / 2**20:.1f}** |"
        for each in figures.transfers
    ]
    lines += ["", f"An entry in the access journal: {figures.append_us:.1f} us."]
    return "\n".join(lines)


def _machine() -> str:
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return (
        f"{os.cpu_count()} cores of {_processor()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, "
        f"uvloop {uvloop.__version__}, {' '.join(wrk.split()[:2])}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(markdown: str, document: Path = DOCUMENT) -> None:
    """Put the figures between the document's markers. Raises ValueError if it has none."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: the markers are missing")
    document.write_text(f"{before}{BEGIN}\n{markdown}\n{END}{after}")
