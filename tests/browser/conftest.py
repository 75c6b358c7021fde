"""Fixtures of the browser tests: one Chromium for all of them, and the real demo.

They live in one event loop for the whole session, as do the tests that use them: to start a
Chromium or a demo takes longer than most of these tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.demo_process import DemoProcess, running_demo
from tests.chromium import People, Person, new_person, running_chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium; what is kept between pages belongs to a person."""
    async with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="session", params=[True, False], ids=["script", "no script"])
def script(request: pytest.FixtureRequest) -> bool:
    """Whether the browser runs scripts. All tests with them run first."""
    return bool(request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(script: bool) -> AsyncIterator[DemoProcess]:
    """A demo for all tests with scripts, and another for all without.

    What can be used up (the approval, the link for one visitor) belongs to one test.
    """
    async with running_demo() as demo:
        yield demo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_demo() -> AsyncIterator[DemoProcess]:
    """A demo for tests that use nothing up, and do not ask about scripts."""
    async with running_demo() as demo:
        yield demo


@pytest_asyncio.fixture(loop_scope="session")
async def people(browser: Browser) -> AsyncIterator[People]:
    """Makes people; their browsers are closed at the end."""
    made: list[Person] = []

    async def make(**options: object) -> Person:
        made.append(await new_person(browser, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for person in made:
        await person.context.close()
