"""The background work goes on, whatever happens to a part of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from gateway import worker
from gateway.errors import StoreUnavailable
from gateway.metrics import Metrics
from gateway.worker import Job, Worker


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_FIRST", 0.001)
    monkeypatch.setattr(worker, "RETRY_MOST", 0.002)


class Steps:
    """A step that ends as it is told, time and again, and says when the list is through."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self._outcomes = list(outcomes)
        self.done = asyncio.Event()
        self.taken = 0

    async def __call__(self) -> None:
        self.taken += 1
        if not self._outcomes:
            self.done.set()
            await asyncio.Event().wait()
        outcome = self._outcomes.pop(0)
        if outcome is not None:
            raise outcome


DOWN = StoreUnavailable("database", "cannot be reached")


async def run_until(done: Callable[[], Awaitable[object]], metrics: Metrics, *jobs: Job) -> None:
    """Run a worker until `done` returns, and cancel it."""
    background = asyncio.create_task(Worker(jobs, metrics).run())
    try:
        async with asyncio.timeout(5):
            await done()
    finally:
        background.cancel()
        with pytest.raises(asyncio.CancelledError):
            await background


def errors_counted(metrics: Metrics, store: str) -> float | None:
    return metrics.registry.get_sample_value("portal_store_errors_total", {"store": store})


async def test_an_outage_is_said_once_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="gateway.worker")
    metrics = Metrics()
    steps = Steps(None, DOWN, DOWN, DOWN, None, DOWN, None)
    await run_until(steps.done.wait, metrics, Job("The drain", steps))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "The drain has to wait: database is unavailable: cannot be reached."),
        ("INFO", "The drain goes on."),
    ] * 2
    assert errors_counted(metrics, "database") == 4


async def test_a_fault_of_one_job_does_not_touch_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = Steps(KeyError("x"), KeyError("x"), None)
    sound = Steps(*[None] * 50)
    metrics = Metrics()

    async def both() -> None:
        await faulty.done.wait()
        await sound.done.wait()

    await run_until(both, metrics, Job("One", faulty), Job("Another", sound))
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "One failed, and is tried again."
    ]
    assert sound.taken == 51
    assert errors_counted(metrics, "database") is None


async def test_jobs_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom, often = Steps(None, None), Steps(*[None] * 20)
    await run_until(
        often.done.wait, Metrics(), Job("Seldom", seldom, every=60), Job("Often", often)
    )
    assert seldom.taken == 1


@pytest.mark.parametrize(
    ("failures", "delay"),
    [
        pytest.param(1, 0.25, id="the first"),
        pytest.param(2, 0.5, id="the second"),
        pytest.param(4, 2.0, id="the fourth"),
        pytest.param(9, 5.0, id="bounded"),
        pytest.param(10**6, 5.0, id="after a weekend"),
    ],
)
def test_tries_become_rarer(monkeypatch: pytest.MonkeyPatch, failures: int, delay: float) -> None:
    monkeypatch.undo()
    assert worker.retry_delay(failures) == delay
