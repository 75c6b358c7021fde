"""`make bench`: measure everything, print it, and write it into docs/performance.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.bodies import transfer_both
from tests.bench.gateway import Gateway, serving_gateway
from tests.bench.journal import microseconds_per_append
from tests.bench.processes import Cores, Server, choose_cores, serving
from tests.bench.report import DOCUMENT, Figures, as_markdown, write
from tests.bench.requests import cases_of, compare
from tests.portal import free_port

# The gateway with everything on is to reach this part of the bare proxy's rate.
REQUIRED_RATIO = 0.7
MAX_GROWTH = 32 << 20


@contextmanager
def serving_all(folder: Path, cores: Cores) -> Iterator[tuple[Gateway, Server]]:
    """The backend, the gateway and the bare proxy."""
    port = free_port()
    backend = [sys.executable, "-m", "tests.bench.backend", str(port)]
    with serving(backend, port, core=cores.load) as behind:
        port = free_port()
        bare = [sys.executable, "-m", "tests.bench.bare_proxy", str(port), behind.origin]
        with (
            serving(bare, port, core=cores.proxy) as proxy,
            serving_gateway(folder, behind.origin, core=cores.proxy) as gateway,
        ):
            yield gateway, proxy


def measure(rounds: int, seconds: int, cases: int | None) -> Figures:
    """All figures; of the cases the first `cases`."""
    cores, load_average = choose_cores(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name:
        folder = Path(name)
        with serving_all(folder, cores) as (gateway, bare):
            compared = [
                compare(
                    case,
                    gateway.server,
                    bare,
                    rounds=rounds,
                    seconds=seconds,
                    core=cores.load,
                    tell=lambda line: print(line, file=sys.stderr, flush=True),
                )
                for case in cases_of(gateway)[:cases]
            ]
            transfers = transfer_both(gateway, core=cores.load)
        append_us = microseconds_per_append(folder, core=cores.proxy)
    return Figures(rounds, seconds, compared, transfers, append_us, load_average)


def main() -> int:
    """Exit 1 if what is required was not reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each proxy in each case")
    parser.add_argument("--seconds", type=int, default=6, help="length of a run")
    parser.add_argument("--cases", type=int, help="only the first cases; nothing is written")
    options = parser.parse_args()
    figures = measure(options.rounds, options.seconds, options.cases)
    markdown = as_markdown(figures)
    print(markdown)
    if options.cases is None:
        write(markdown)
        print(f"Written into {DOCUMENT.name}.", file=sys.stderr)
    met = figures.compared[0].ratio >= REQUIRED_RATIO and all(
        each.growth < MAX_GROWTH for each in figures.transfers
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
