"""Requests per second: the gateway and the bare proxy in turn, under the same load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.gateway import PAGE, UNKNOWN, Gateway
from tests.bench.load import Run, run_load
from tests.bench.processes import Server

WARM_UP_SECONDS = 2


@dataclass(frozen=True)
class Case:
    """What is asked for. The bare proxy refuses nothing: it forwards what the gateway refuses."""

    name: str
    path: str
    cookie: str | None = None
    refused: bool = False

    def run(self, server: Server, seconds: int, core: int, *, refused: bool) -> Run:
        """Load `server` with this."""
        headers = {} if self.cookie is None else {"Cookie": self.cookie}
        return run_load(
            server, self.path, seconds=seconds, core=core, headers=headers, refused=refused
        )


@dataclass(frozen=True)
class Compared:
    """The medians of all rounds; `ratio` is the median of the rounds' own ratios."""

    name: str
    gateway: Run
    bare: Run
    ratio: float


def cases_of(gateway: Gateway) -> list[Case]:
    """What is measured."""
    return [
        Case("1 KiB GET with a session", PAGE, gateway.cookie),
        Case("GET by token URL without a cookie: a session is opened each time", gateway.path),
        Case("refusal: a token that names no link", UNKNOWN, refused=True),
    ]


def compare(
    case: Case,
    gateway: Server,
    bare: Server,
    *,
    rounds: int,
    seconds: int,
    core: int,
    tell: Callable[[str], None],
) -> Compared:
    """`rounds` runs of each proxy; they take turns, so that both meet the same noise."""
    for server, refused in ((gateway, case.refused), (bare, False)):
        case.run(server, WARM_UP_SECONDS, core, refused=refused)
    ours, theirs = [], []
    for number in range(1, rounds + 1):
        ours.append(case.run(gateway, seconds, core, refused=case.refused))
        theirs.append(case.run(bare, seconds, core, refused=False))
        tell(
            f"{case.name}, {number}/{rounds}: {ours[-1].rate:.0f} and {theirs[-1].rate:.0f}"
            f" a second, CPU {ours[-1].cpu:.0f} and {theirs[-1].cpu:.0f} us"
        )
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    return Compared(case.name, _median(ours), _median(theirs), median(ratios))


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        median(run.rate for run in runs),
        median(run.cpu for run in runs),
        median(run.p50_ms for run in runs),
        median(run.p99_ms for run in runs),
    )
