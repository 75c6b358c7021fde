"""Fixtures of the flow tests: the whole gateway, run in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.portal import Portal, running_portal


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    """The gateway on embedded defaults, before a backend that records what arrives."""
    async with running_portal(tmp_path) as portal:
        yield portal
