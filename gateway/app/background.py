"""Tasks that run as long as the process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack


class Background:
    """Runs tasks until `stack` is left; the last one started is the first one ended."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def run(self, work: Coroutine[object, object, None]) -> None:
        """Start `work`."""
        task = asyncio.get_running_loop().create_task(work)
        self._stack.push_async_callback(_end, task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
